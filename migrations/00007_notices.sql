-- +goose Up
-- +goose StatementBegin
CREATE TABLE medium_types (
    name         text PRIMARY KEY,
    meaning      text NOT NULL,
    options      jsonb NOT NULL DEFAULT '[]',
    address      text NOT NULL DEFAULT '',
    address_like text NOT NULL DEFAULT '',
    known        boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE medium_types IS 'The types of medium this version knows. Written by sonde migrate.';
COMMENT ON COLUMN medium_types.name IS 'Name of the type, as in mediums.type.';
COMMENT ON COLUMN medium_types.meaning IS 'How it reaches people.';
COMMENT ON COLUMN medium_types.options IS 'Its options, described like tools.options.';
COMMENT ON COLUMN medium_types.address IS 'The form of an address on it, a regular expression; empty: any.';
COMMENT ON COLUMN medium_types.address_like IS 'An address that fits.';
COMMENT ON COLUMN medium_types.known IS 'False: a type of an older or newer version.';

CREATE TABLE mediums (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CONSTRAINT "mediums.name is taken: UPDATE that medium, or choose another" UNIQUE,
    type       text NOT NULL REFERENCES medium_types (name),
    options    jsonb NOT NULL DEFAULT '{}',
    enabled    boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE mediums IS 'Ways to reach people.';
COMMENT ON COLUMN mediums.id IS 'Number of the row.';
COMMENT ON COLUMN mediums.name IS 'What ladders call it.';
COMMENT ON COLUMN mediums.type IS 'One of medium_types.name.';
COMMENT ON COLUMN mediums.options IS 'Options of the type; secrets are references, file:/path or env:NAME.';
COMMENT ON COLUMN mediums.enabled IS 'False: ladders skip it.';
COMMENT ON COLUMN mediums.created_at IS 'When the row was inserted.';

CREATE FUNCTION sonde_check_medium() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    known_options jsonb;
    problem       text;
BEGIN
    IF coalesce(NEW.name, '') = '' OR NEW.name <> btrim(NEW.name) OR sonde_has_hidden(NEW.name) OR length(NEW.name) > 100 THEN
        PERFORM sonde_refuse('mediums', 'name', 'a medium needs a name', 'at most 100 characters, no blanks at either end; for example ''sms''');
    END IF;
    SELECT options INTO known_options FROM medium_types WHERE name = NEW.type AND (known OR TG_OP = 'UPDATE');
    IF NOT FOUND THEN
        PERFORM sonde_refuse('mediums', 'type', format('there is no type of medium "%s"', NEW.type),
            'known types: ' || sonde_some(ARRAY(SELECT name FROM medium_types WHERE known ORDER BY name)));
    END IF;
    problem := sonde_options_problem(known_options, NEW.options);
    IF problem IS NOT NULL THEN
        PERFORM sonde_refuse('mediums', 'options', problem, format('SELECT jsonb_pretty(options) FROM medium_types WHERE name = %L shows what is right', NEW.type));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_medium IS 'Row trigger of mediums: refuses wrong rows with a sentence.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON mediums FOR EACH ROW EXECUTE FUNCTION sonde_check_medium();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON mediums FOR EACH ROW WHEN (NEW.enabled IS NULL OR NEW.created_at IS NULL)
    EXECUTE FUNCTION sonde_refuse_null('enabled', 'created_at');
CREATE TRIGGER tell_daemons AFTER INSERT OR UPDATE OR DELETE ON mediums FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

CREATE TABLE recipients (
    name       text CONSTRAINT "recipients.name is taken: UPDATE that row, or choose another" PRIMARY KEY,
    time_zone  text,
    enabled    boolean NOT NULL DEFAULT true,
    daily      boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE recipients IS 'People who are told.';
COMMENT ON COLUMN recipients.name IS 'Name.';
COMMENT ON COLUMN recipients.time_zone IS 'Time zone of messages to them; NULL: the setting time_zone.';
COMMENT ON COLUMN recipients.enabled IS 'False: they are told nothing.';
COMMENT ON COLUMN recipients.daily IS 'Whether they get the daily message.';
COMMENT ON COLUMN recipients.created_at IS 'When the row was inserted.';

CREATE FUNCTION sonde_check_recipient() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    problem text;
BEGIN
    IF coalesce(NEW.name, '') = '' OR NEW.name <> btrim(NEW.name) OR sonde_has_hidden(NEW.name) OR length(NEW.name) > 100 THEN
        PERFORM sonde_refuse('recipients', 'name', format('"%s" is no good name', left(NEW.name, 120)), 'at most 100 characters, no blanks at either end; for example ''anna''');
    END IF;
    IF NEW.time_zone IS NOT NULL THEN
        problem := sonde_time_zone_problem(NEW.time_zone);
        IF problem IS NOT NULL THEN
            PERFORM sonde_refuse('recipients', 'time_zone', problem, 'for example ''Europe/Berlin''');
        END IF;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_recipient IS 'Row trigger of recipients: refuses wrong rows with a sentence.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON recipients FOR EACH ROW EXECUTE FUNCTION sonde_check_recipient();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON recipients FOR EACH ROW WHEN (NEW.enabled IS NULL OR NEW.daily IS NULL OR NEW.created_at IS NULL)
    EXECUTE FUNCTION sonde_refuse_null('enabled', 'daily', 'created_at');
CREATE TRIGGER tell_daemons AFTER INSERT OR UPDATE OR DELETE ON recipients FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

CREATE TABLE ladders (
    recipient text NOT NULL REFERENCES recipients (name) ON UPDATE CASCADE,
    step      int NOT NULL,
    medium    text NOT NULL REFERENCES mediums (name) ON UPDATE CASCADE,
    address   text NOT NULL,
    visible   boolean NOT NULL DEFAULT true,
    CONSTRAINT "ladders.step is taken: UPDATE that step, or choose another" PRIMARY KEY (recipient, step)
);
CREATE INDEX ladders_medium ON ladders (medium);
COMMENT ON TABLE ladders IS 'The ordered mediums of each recipient. The first visible one that succeeds ends the climb; invisible ones are always sent to as well.';
COMMENT ON COLUMN ladders.recipient IS 'Who; an unknown one is entered into recipients.';
COMMENT ON COLUMN ladders.step IS 'Order of the climb, from 1.';
COMMENT ON COLUMN ladders.medium IS 'The medium, one of mediums.name.';
COMMENT ON COLUMN ladders.address IS 'Address on that medium, such as 4915112345678.';
COMMENT ON COLUMN ladders.visible IS 'False: sent to always, and never ends the climb.';

CREATE FUNCTION sonde_check_ladder() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of medium_types%ROWTYPE;
BEGIN
    IF coalesce(NEW.recipient, '') = '' THEN
        PERFORM sonde_refuse('ladders', 'recipient', 'a ladder needs a recipient', 'for example ''anna''');
    END IF;
    IF NEW.step IS NULL OR NEW.step NOT BETWEEN 1 AND 100 THEN
        PERFORM sonde_refuse('ladders', 'step', format('%s is not between 1 and 100', coalesce(NEW.step::text, 'NULL')));
    END IF;
    SELECT t.* INTO of FROM mediums m JOIN medium_types t ON t.name = m.type WHERE m.name = NEW.medium;
    IF NOT FOUND THEN
        PERFORM sonde_refuse('ladders', 'medium', format('there is no medium "%s"', NEW.medium),
            'insert it into mediums first; known mediums: ' || sonde_some(ARRAY(SELECT name FROM mediums ORDER BY name)));
    END IF;
    IF coalesce(NEW.address, '') = '' OR NEW.address ~ '[[:cntrl:]]' THEN
        PERFORM sonde_refuse('ladders', 'address', 'say where on this medium', 'for example ''4915112345678''');
    END IF;
    IF NEW.address !~ of.address THEN
        PERFORM sonde_refuse('ladders', 'address', format('"%s" is no address on medium "%s", which is %s', left(NEW.address, 120), NEW.medium, of.name),
            format('write it like %L', of.address_like));
    END IF;
    INSERT INTO recipients (name) VALUES (NEW.recipient) ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_ladder IS 'Row trigger of ladders: refuses wrong rows with a sentence, enters an unknown recipient.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON ladders FOR EACH ROW EXECUTE FUNCTION sonde_check_ladder();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON ladders FOR EACH ROW WHEN (NEW.visible IS NULL) EXECUTE FUNCTION sonde_refuse_null('visible');

CREATE FUNCTION sonde_medium_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who text;
BEGIN
    SELECT recipient INTO who FROM ladders WHERE medium = OLD.name ORDER BY recipient LIMIT 1;
    IF FOUND THEN
        PERFORM sonde_refuse('mediums', 'name', format('medium "%s" is on the ladder of %s and cannot be deleted', OLD.name, who),
            format('UPDATE mediums SET enabled = false WHERE name = %L, or DELETE FROM ladders WHERE medium = %L first', OLD.name, OLD.name));
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION sonde_medium_deleted IS 'Row trigger of mediums: one that a ladder uses is not deleted.';
CREATE TRIGGER check_delete BEFORE DELETE ON mediums FOR EACH ROW EXECUTE FUNCTION sonde_medium_deleted();
CREATE TRIGGER tell_daemons AFTER INSERT OR UPDATE OR DELETE ON ladders FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

CREATE TABLE policies (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient text NOT NULL REFERENCES recipients (name) ON UPDATE CASCADE,
    node      text REFERENCES nodes (name) ON UPDATE CASCADE,
    label     text,
    severity  text NOT NULL DEFAULT 'info',
    enabled   boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE policies IS 'Who gets which alerts. As long as there is no row, everybody gets everything.';
COMMENT ON COLUMN policies.id IS 'Number of the row.';
COMMENT ON COLUMN policies.recipient IS 'Who.';
COMMENT ON COLUMN policies.node IS 'Alerts of this node; NULL: of every node.';
COMMENT ON COLUMN policies.label IS 'Alerts of nodes that carry this label; NULL: of every node.';
COMMENT ON COLUMN policies.severity IS 'Alerts of this severity or a higher one: info, warning, critical.';
COMMENT ON COLUMN policies.enabled IS 'False: as if the row were not there.';

CREATE FUNCTION sonde_check_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM recipients WHERE name = NEW.recipient) THEN
        PERFORM sonde_refuse('policies', 'recipient', format('there is no recipient "%s"', NEW.recipient),
            'known recipients: ' || sonde_some(ARRAY(SELECT name FROM recipients ORDER BY name)));
    END IF;
    IF NEW.node IS NOT NULL AND NOT EXISTS (SELECT FROM nodes WHERE name = NEW.node) THEN
        PERFORM sonde_refuse('policies', 'node', format('there is no node "%s"', NEW.node));
    END IF;
    IF NEW.label = '' THEN
        PERFORM sonde_refuse('policies', 'label', 'a label is a word that is not empty', 'leave it out to mean every node');
    END IF;
    IF NEW.severity IS NULL OR NEW.severity NOT IN ('info', 'warning', 'critical') THEN
        PERFORM sonde_refuse('policies', 'severity', format('"%s" is none', NEW.severity), 'one of info, warning, critical');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_policy IS 'Row trigger of policies: refuses wrong rows with a sentence.';
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON policies FOR EACH ROW WHEN (NEW.enabled IS NULL) EXECUTE FUNCTION sonde_refuse_null('enabled');

CREATE FUNCTION sonde_recipient_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    used text;
BEGIN
    SELECT 'a ladder' INTO used FROM ladders WHERE recipient = OLD.name LIMIT 1;
    IF used IS NULL THEN
        SELECT format('policy %s', id) INTO used FROM policies WHERE recipient = OLD.name LIMIT 1;
    END IF;
    IF used IS NOT NULL THEN
        PERFORM sonde_refuse('recipients', 'name', format('recipient "%s" has %s and cannot be deleted', OLD.name, used),
            format('UPDATE recipients SET enabled = false WHERE name = %L, or delete their rows of ladders and policies first', OLD.name));
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION sonde_recipient_deleted IS 'Row trigger of recipients: one with a ladder or a policy is not deleted.';
CREATE TRIGGER check_delete BEFORE DELETE ON recipients FOR EACH ROW EXECUTE FUNCTION sonde_recipient_deleted();
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON policies FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION sonde_check_policy();
CREATE TRIGGER tell_daemons AFTER INSERT OR UPDATE OR DELETE ON policies FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

CREATE TABLE notices (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id   bigint,
    kind       text NOT NULL CHECK (kind IN ('raise', 'remind', 'clear', 'flapping', 'daily', 'digest', 'test')),
    severity   text NOT NULL DEFAULT 'info',
    node       text NOT NULL DEFAULT '',
    recipient  text,
    subject    text NOT NULL,
    text       text NOT NULL,
    short      text NOT NULL,
    day        date,
    tells      bigint[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at    timestamptz,
    done_text  text
);
CREATE INDEX notices_open ON notices (created_at) WHERE done_at IS NULL;
CREATE UNIQUE INDEX notices_one_daily ON notices (recipient, day) WHERE kind = 'daily';
CREATE UNIQUE INDEX notices_one_own ON notices (alert_id, recipient);
CREATE INDEX notices_alert ON notices (alert_id);
COMMENT ON TABLE notices IS 'Each message to people, written in the transaction that decided it. The notifier sends it once to each recipient.';
COMMENT ON COLUMN notices.id IS 'Number of the notice.';
COMMENT ON COLUMN notices.alert_id IS 'The alert it tells of; NULL for the daily message and tests.';
COMMENT ON COLUMN notices.kind IS 'raise, remind, clear, flapping, daily, digest (several old ones in one) or test.';
COMMENT ON COLUMN notices.severity IS 'Severity of the alert.';
COMMENT ON COLUMN notices.node IS 'Node it is about, for policies.';
COMMENT ON COLUMN notices.recipient IS 'Only for this recipient, of an alert because of what it hides; NULL: for whom the policies choose.';
COMMENT ON COLUMN notices.subject IS 'One line.';
COMMENT ON COLUMN notices.text IS 'The whole message.';
COMMENT ON COLUMN notices.short IS 'The message in one GSM-7 segment.';
COMMENT ON COLUMN notices.day IS 'The day of a daily message, by the recipient''s time zone.';
COMMENT ON COLUMN notices.tells IS 'The older notices that a digest tells of.';
COMMENT ON COLUMN notices.created_at IS 'When it was decided.';
COMMENT ON COLUMN notices.done_at IS 'When nothing is left to do for it.';
COMMENT ON COLUMN notices.done_text IS 'How it ended: sent to whom, or why not sent.';

CREATE FUNCTION sonde_tell_notifier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sonde_notice', '');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sonde_tell_notifier IS 'Statement trigger: notifies the channel sonde_notice that there is something to send.';
CREATE TRIGGER tell_notifier AFTER INSERT ON notices FOR EACH STATEMENT EXECUTE FUNCTION sonde_tell_notifier();

CREATE TABLE deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notice_id   bigint NOT NULL,
    recipient   text NOT NULL,
    step        int NOT NULL,
    medium      text NOT NULL,
    address     text NOT NULL,
    visible     boolean NOT NULL DEFAULT true,
    state       text NOT NULL CHECK (state IN ('trying', 'ok', 'failed', 'unknown')),
    tries       int NOT NULL DEFAULT 1,
    doubts      int NOT NULL DEFAULT 0,
    token       text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12),
    owner       text NOT NULL,
    lease_until timestamptz NOT NULL,
    reference   text,
    answer      text,
    began_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    CONSTRAINT deliveries_once UNIQUE (notice_id, recipient, step)
);
CREATE INDEX deliveries_trying ON deliveries (lease_until) WHERE state = 'trying';
COMMENT ON TABLE deliveries IS 'Each attempt to deliver a notice, with its answer. Committed as trying before the medium is called.';
COMMENT ON COLUMN deliveries.id IS 'Number of the delivery; mediums name their message by it.';
COMMENT ON COLUMN deliveries.notice_id IS 'The notice.';
COMMENT ON COLUMN deliveries.recipient IS 'To whom.';
COMMENT ON COLUMN deliveries.step IS 'Step of the ladder.';
COMMENT ON COLUMN deliveries.medium IS 'Medium of that step.';
COMMENT ON COLUMN deliveries.address IS 'Address on the medium.';
COMMENT ON COLUMN deliveries.visible IS 'Whether success ends the climb.';
COMMENT ON COLUMN deliveries.state IS 'trying, ok (proven), failed (surely not sent), unknown (may have gone out).';
COMMENT ON COLUMN deliveries.tries IS 'How often the medium was called.';
COMMENT ON COLUMN deliveries.doubts IS 'How often it could not be known whether the message went out.';
COMMENT ON COLUMN deliveries.token IS 'Makes the name of the message unique over all databases: sonde-<id>-<token>-<tries>.';
COMMENT ON COLUMN deliveries.owner IS 'The notifier that works on it.';
COMMENT ON COLUMN deliveries.lease_until IS 'After this another notifier takes over and asks the medium first.';
COMMENT ON COLUMN deliveries.reference IS 'What the medium calls the message.';
COMMENT ON COLUMN deliveries.answer IS 'Answer of the medium, in words.';
COMMENT ON COLUMN deliveries.began_at IS 'When the attempt began.';
COMMENT ON COLUMN deliveries.ended_at IS 'When its end was known.';
-- +goose StatementEnd
