-- +goose Up
-- +goose StatementBegin
-- What a person may not write is refused by a sentence: the column, what was
-- given, what would be right. Triggers say it, because the message of a CHECK
-- names only the constraint.
CREATE FUNCTION sonde_refuse(tab text, col text, sentence text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF hint IS NULL THEN
        RAISE EXCEPTION '%.%: %', tab, col, sentence
            USING ERRCODE = 'check_violation', TABLE = tab, COLUMN = col;
    END IF;
    RAISE EXCEPTION '%.%: %', tab, col, sentence
        USING ERRCODE = 'check_violation', TABLE = tab, COLUMN = col, HINT = hint;
END $$;
COMMENT ON FUNCTION sonde_refuse IS 'Refuses a row with a sentence that begins with table.column.';

-- Called only when a column is NULL that may not be (the WHEN of each trigger), so it may take its time.
CREATE FUNCTION sonde_refuse_null() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    col    text;
    usual  text;
BEGIN
    FOREACH col IN ARRAY TG_ARGV LOOP
        IF to_jsonb(NEW) -> col = 'null' THEN
            SELECT pg_get_expr(d.adbin, d.adrelid) INTO usual FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = TG_RELID AND a.attname = col;
            PERFORM sonde_refuse(TG_TABLE_NAME, col, 'NULL is no value here', 'leave it out, or write DEFAULT, to have ' || usual);
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_refuse_null IS 'Row trigger: refuses NULL in the columns that it names, with a sentence.';

-- Daemons hold instants in types that know no infinity, and write them as dates of four digits.
CREATE FUNCTION sonde_check_instant(tab text, col text, at timestamptz, hint text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF at NOT BETWEEN '2000-01-01Z' AND '2200-01-01Z' THEN
        PERFORM sonde_refuse(tab, col, format('"%s" is not between the years 2000 and 2200', at), hint);
    END IF;
END $$;
COMMENT ON FUNCTION sonde_check_instant IS 'Refuses infinity, and instants that are none people mean, with a sentence.';

-- Letters that nobody sees and that turn round or break what is written after them, on pages and telephones.
CREATE FUNCTION sonde_has_hidden(given text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
    $$ SELECT given ~ E'[[:cntrl:]\u200B\u2028-\u202E\u2066-\u2069\uFEFF]' $$;
COMMENT ON FUNCTION sonde_has_hidden IS 'Whether a text has control characters, or others that change how the text around them is shown.';

-- Tells the daemons that configuration changed. The payload is the table; what
-- changed is read by changed_xid, so one notification per statement is enough.
CREATE FUNCTION sonde_config_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sonde_config', TG_TABLE_NAME);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sonde_config_changed IS 'Statement trigger: notifies the channel sonde_config with the name of the changed table.';

-- Some ends of a list for a message: a, b, c, … (12 in all).
CREATE FUNCTION sonde_some(names text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN cardinality(names) = 0 OR names IS NULL THEN 'there are none'
        WHEN cardinality(names) <= 12 THEN array_to_string(names, ', ')
        ELSE array_to_string(names[1:12], ', ') || format(', … (%s in all)', cardinality(names))
    END
$$;
COMMENT ON FUNCTION sonde_some IS 'The names of a list, shortened, for use in a message.';

-- The same rules as measure.ParseDuration in Go: seconds, or NULL when the text is no duration.
CREATE FUNCTION sonde_duration(given text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    m     text[];
    total double precision := 0;
    unit  double precision;
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    END IF;
    m := regexp_match(given, '^(?:([0-9]+) days? )?([0-9]{1,6}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]+)?)$');
    IF m IS NOT NULL THEN
        total := coalesce(m[1]::float8, 0) * 86400 + m[2]::float8 * 3600 + m[3]::float8 * 60 + m[4]::float8;
    ELSE
        m := regexp_match(given, '^P(?:([0-9]+(?:\.[0-9]+)?)W)?(?:([0-9]+(?:\.[0-9]+)?)D)?(?:T(?:([0-9]+(?:\.[0-9]+)?)H)?(?:([0-9]+(?:\.[0-9]+)?)M)?(?:([0-9]+(?:\.[0-9]+)?)S)?)?$');
        IF m IS NOT NULL AND given ~ '[0-9]' AND given !~ 'T$' THEN
            total := coalesce(m[1]::float8, 0) * 604800 + coalesce(m[2]::float8, 0) * 86400
                   + coalesce(m[3]::float8, 0) * 3600 + coalesce(m[4]::float8, 0) * 60 + coalesce(m[5]::float8, 0);
        ELSIF given ~ '^(?:[0-9]+(?:\.[0-9]+)?[ ]*[a-zA-Zµ]+[ ]*)+$' THEN
            FOR m IN SELECT regexp_matches(given, '([0-9]+(?:\.[0-9]+)?)[ ]*([a-zA-Zµ]+)[ ]*', 'g') LOOP
                IF m[2] = 'M' THEN
                    RETURN NULL;
                END IF;
                unit := CASE lower(m[2])
                    WHEN 'us' THEN 1e-6 WHEN 'µs' THEN 1e-6 WHEN 'usec' THEN 1e-6 WHEN 'microsecond' THEN 1e-6 WHEN 'microseconds' THEN 1e-6
                    WHEN 'ms' THEN 1e-3 WHEN 'msec' THEN 1e-3 WHEN 'millisecond' THEN 1e-3 WHEN 'milliseconds' THEN 1e-3
                    WHEN 's' THEN 1 WHEN 'sec' THEN 1 WHEN 'secs' THEN 1 WHEN 'second' THEN 1 WHEN 'seconds' THEN 1
                    WHEN 'm' THEN 60 WHEN 'min' THEN 60 WHEN 'mins' THEN 60 WHEN 'minute' THEN 60 WHEN 'minutes' THEN 60
                    WHEN 'h' THEN 3600 WHEN 'hr' THEN 3600 WHEN 'hrs' THEN 3600 WHEN 'hour' THEN 3600 WHEN 'hours' THEN 3600
                    WHEN 'd' THEN 86400 WHEN 'day' THEN 86400 WHEN 'days' THEN 86400
                    WHEN 'w' THEN 604800 WHEN 'week' THEN 604800 WHEN 'weeks' THEN 604800
                END;
                IF unit IS NULL THEN
                    RETURN NULL;
                END IF;
                total := total + m[1]::float8 * unit;
            END LOOP;
        ELSE
            RETURN NULL;
        END IF;
    END IF;
    IF total > 100.0 * 365 * 86400 THEN
        RETURN NULL;
    END IF;
    RETURN round(total * 1e6) / 1e6;
EXCEPTION WHEN numeric_value_out_of_range THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sonde_duration IS 'Seconds of a duration as people write it (100ms, 1h30m, PT5M, 1 day 02:00:00); NULL when the text is none.';

CREATE TABLE settings (
    name    text PRIMARY KEY,
    value   text NOT NULL,
    kind    text NOT NULL CHECK (kind IN ('int', 'duration', 'time_zone', 'time_of_day', 'text', 'switch', 'domain', 'name_server')),
    least   double precision,
    most    double precision,
    meaning text NOT NULL
);
COMMENT ON TABLE settings IS 'Platform-wide settings: one row each, values checked. UPDATE settings SET value = … WHERE name = …';
COMMENT ON COLUMN settings.name IS 'Name of the setting.';
COMMENT ON COLUMN settings.value IS 'Its value, as text.';
COMMENT ON COLUMN settings.kind IS 'How value is read and checked.';
COMMENT ON COLUMN settings.least IS 'Least right value (seconds for a duration); NULL for no limit.';
COMMENT ON COLUMN settings.most IS 'Greatest right value (seconds for a duration); NULL for no limit.';
COMMENT ON COLUMN settings.meaning IS 'What it does.';

CREATE FUNCTION sonde_check_setting() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n double precision;
    m text[];
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM sonde_refuse('settings', 'name', format('setting "%s" cannot be deleted', OLD.name), 'update its value instead');
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.name, NEW.kind) IS DISTINCT FROM (OLD.name, OLD.kind) THEN
        PERFORM sonde_refuse('settings', 'name', format('setting "%s" keeps its name and kind', OLD.name));
    END IF;
    IF NEW.kind IS NULL THEN
        PERFORM sonde_refuse('settings', 'name', format('there is no setting "%s"', NEW.name),
            'settings are there already, UPDATE one of ' || array_to_string(ARRAY(SELECT name FROM settings ORDER BY name), ', '));
    END IF;
    IF NEW.value IS NULL THEN
        PERFORM sonde_refuse('settings', 'value', format('setting "%s" needs a value', NEW.name));
    END IF;
    CASE NEW.kind
    WHEN 'int' THEN
        IF NEW.value !~ '^-?[0-9]{1,15}$' THEN
            PERFORM sonde_refuse('settings', 'value', format('setting "%s" must be a whole number, not "%s"', NEW.name, NEW.value));
        END IF;
        n := NEW.value::float8;
    WHEN 'duration' THEN
        n := sonde_duration(NEW.value);
        IF n IS NULL THEN
            PERFORM sonde_refuse('settings', 'value', format('setting "%s" must be a duration such as "10s" or "1h30m", not "%s"', NEW.name, NEW.value));
        END IF;
    WHEN 'time_zone' THEN
        IF NOT EXISTS (SELECT FROM pg_timezone_names WHERE name = NEW.value) THEN
            PERFORM sonde_refuse('settings', 'value', format('setting "%s" must be a time zone such as "Europe/Berlin", not "%s"', NEW.name, NEW.value));
        END IF;
    WHEN 'time_of_day' THEN
        IF NEW.value !~ '^([01][0-9]|2[0-3]):[0-5][0-9]$' THEN
            PERFORM sonde_refuse('settings', 'value', format('setting "%s" must be a time of day such as "08:00", not "%s"', NEW.name, NEW.value));
        END IF;
    WHEN 'switch' THEN
        IF NEW.value NOT IN ('on', 'off') THEN
            PERFORM sonde_refuse('settings', 'value', format('setting "%s" must be "on" or "off", not "%s"', NEW.name, NEW.value));
        END IF;
    WHEN 'domain' THEN
        -- Before it come the 32 nibbles of an IPv6 address: the whole has 253 characters at most.
        IF NEW.value <> '' AND (length(NEW.value) > 189 OR NEW.value !~ '^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$') THEN
            PERFORM sonde_refuse('settings', 'value', format('setting "%s" must be a domain such as "origin.asn.cymru.com", or empty, not "%s"', NEW.name, left(NEW.value, 200)));
        END IF;
    WHEN 'name_server' THEN
        m := regexp_match(NEW.value, '^(?:([0-9.]+)|([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)|([0-9.]+):([0-9]{1,5})|\[([0-9A-Fa-f:.]+)\]:([0-9]{1,5}))$');
        BEGIN
            IF NEW.value <> '' AND (m IS NULL OR masklen(coalesce(m[1], m[2], m[3], m[5])::inet) NOT IN (32, 128) OR coalesce(m[1], m[3]) !~ '^[0-9]+(\.[0-9]+){3}$'
                OR coalesce(m[4], m[6], '53')::int NOT BETWEEN 1 AND 65535) THEN
                RAISE invalid_text_representation;
            END IF;
        EXCEPTION WHEN invalid_text_representation THEN
            PERFORM sonde_refuse('settings', 'value', format('setting "%s" must be an address such as "192.0.2.53" or "[2001:db8::53]:5353", or empty, not "%s"', NEW.name, left(NEW.value, 200)));
        END;
    ELSE
        NULL;
    END CASE;
    IF n < NEW.least OR n > NEW.most THEN
        PERFORM sonde_refuse('settings', 'value', format('setting "%s" must be between %s and %s%s, not %s', NEW.name,
            coalesce(NEW.least::text, 'anything'), coalesce(NEW.most::text, 'anything'),
            CASE NEW.kind WHEN 'duration' THEN ' seconds' ELSE '' END, NEW.value));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_setting IS 'Row trigger of settings: checks the value by its kind.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE OR DELETE ON settings FOR EACH ROW EXECUTE FUNCTION sonde_check_setting();
CREATE TRIGGER tell_daemons AFTER UPDATE ON settings FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

INSERT INTO settings (name, value, kind, least, most, meaning) VALUES
    ('keep_days_pingdata',  '400', 'int', 1, 36500, 'Days that rows of pingdata are kept.'),
    ('keep_days_routedata', '400', 'int', 1, 36500, 'Days that rows of routedata are kept.'),
    ('keep_days_regdata', '60', 'int', 1, 36500, 'Days that rows of regdata are kept: series on an even grid, which data tables have in another form.'),
    ('keep_days_hwgraphs', '60', 'int', 1, 36500, 'Days that rows of hwgraphs and hwalerts are kept: forecasts with their bands, and the excursions out of them.'),
    ('start_tolerance', '10s', 'duration', 1, 3600, 'How late a run may start; a spec that runs more often than this gets its run_interval instead.'),
    ('time_zone', 'UTC', 'time_zone', NULL, NULL, 'Time zone of the pages and of messages to recipients that name none.'),
    ('daily_message_at', '08:00', 'time_of_day', NULL, NULL, 'When the daily message that says all is well is sent, in the time zone of each recipient.'),
    ('repeat_limit', '4h', 'duration', 60, 2592000, 'An open alert is told again no more often than this.'),
    ('graver_after', '4h', 'duration', 60, 2592000, 'A finding with a score of 0.5 or more that lasts so long is a step graver than its rule says; one of 0.8 is so at once.'),
    ('keep_days_notices', '30', 'int', 1, 36500, 'Days that ended notices, their deliveries and findings without an alert are kept.');

CREATE FUNCTION sonde_setting_seconds(setting text) RETURNS double precision LANGUAGE sql STABLE AS
    $$ SELECT sonde_duration(value) FROM settings WHERE name = setting $$;
COMMENT ON FUNCTION sonde_setting_seconds IS 'A setting of kind duration, in seconds.';

CREATE TABLE nodes (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CONSTRAINT "nodes.name is taken: UPDATE that node, or choose another name" UNIQUE,
    address     text NOT NULL,
    site        text NOT NULL DEFAULT '',
    latitude    double precision,
    longitude   double precision,
    parent      text REFERENCES nodes (name) ON UPDATE CASCADE,
    labels      text[] NOT NULL DEFAULT '{}',
    enabled     boolean NOT NULL DEFAULT true,
    enabled_since timestamptz NOT NULL DEFAULT now(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX nodes_changed ON nodes (changed_xid);
CREATE INDEX nodes_parent ON nodes (parent);
COMMENT ON TABLE nodes IS 'Anything measured or measuring: a host, a router, a service, a monitoring host. Never deleted once measured: disabled.';
COMMENT ON COLUMN nodes.id IS 'Number of the row.';
COMMENT ON COLUMN nodes.name IS 'What people call it; other tables refer to it by this name. It may be changed: the others follow.';
COMMENT ON COLUMN nodes.address IS 'Host name or IP address that probes measure. A name is resolved at each run.';
COMMENT ON COLUMN nodes.site IS 'Where it stands, in words.';
COMMENT ON COLUMN nodes.latitude IS 'Degrees north, -90 to 90.';
COMMENT ON COLUMN nodes.longitude IS 'Degrees east, -180 to 180.';
COMMENT ON COLUMN nodes.parent IS 'The node through which this one is reached: when the parent is down, alerts of this one are listed with the parent''s.';
COMMENT ON COLUMN nodes.labels IS 'Free words for policies and maintenance, such as {core,customer=acme}.';
COMMENT ON COLUMN nodes.enabled IS 'False: no run to it is made due.';
COMMENT ON COLUMN nodes.enabled_since IS 'When it was inserted or enabled. Written by the database.';
COMMENT ON COLUMN nodes.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN nodes.changed_xid IS 'Transaction that changed the row last; daemons find changes by it.';

CREATE TABLE comments (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    author      text NOT NULL DEFAULT session_user,
    node        text,
    toolspec_id bigint,
    alert_id    bigint,
    change      boolean NOT NULL DEFAULT false,
    text        text NOT NULL
);
CREATE INDEX comments_node ON comments (node, at);
CREATE INDEX comments_spec ON comments (toolspec_id, at);
CREATE INDEX comments_alert ON comments (alert_id);
COMMENT ON TABLE comments IS 'What people wrote on an alert, a node or a moment, and changes of configuration that a series must be read with.';
COMMENT ON COLUMN comments.id IS 'Number of the row.';
COMMENT ON COLUMN comments.at IS 'The moment it is about.';
COMMENT ON COLUMN comments.author IS 'Who wrote it.';
COMMENT ON COLUMN comments.node IS 'The node it is about, by its name of that time.';
COMMENT ON COLUMN comments.toolspec_id IS 'The spec it is about.';
COMMENT ON COLUMN comments.alert_id IS 'The alert it is about.';
COMMENT ON COLUMN comments.change IS 'True: written by the database when an address or option changed; a mark in the series.';
COMMENT ON COLUMN comments.text IS 'The comment.';

CREATE FUNCTION sonde_check_comment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(btrim(NEW.text), '') = '' THEN
        PERFORM sonde_refuse('comments', 'text', 'a comment needs words');
    END IF;
    PERFORM sonde_check_instant('comments', 'at', NEW.at, 'leave it out to mean now');
    -- A change notes itself while it is made; what is about an alert or a spec may have the name of its time.
    IF TG_OP = 'INSERT' AND NOT NEW.change THEN
        IF NOT EXISTS (SELECT FROM alerts WHERE id = NEW.alert_id) AND NEW.alert_id IS NOT NULL THEN
            PERFORM sonde_refuse('comments', 'alert_id', format('there is no alert %s', NEW.alert_id), 'SELECT id, node, text FROM alerts ORDER BY id DESC LIMIT 20');
        END IF;
        IF NOT EXISTS (SELECT FROM toolspecs WHERE id = NEW.toolspec_id) AND NEW.toolspec_id IS NOT NULL AND NEW.alert_id IS NULL THEN
            PERFORM sonde_refuse('comments', 'toolspec_id', format('there is no spec %s', NEW.toolspec_id), 'SELECT id, node, tool FROM toolspecs');
        END IF;
        IF NOT EXISTS (SELECT FROM nodes WHERE name = NEW.node) AND NEW.node IS NOT NULL AND NEW.alert_id IS NULL AND NEW.toolspec_id IS NULL THEN
            PERFORM sonde_refuse('comments', 'node', format('there is no node "%s"', NEW.node),
                'known nodes: ' || sonde_some(ARRAY(SELECT name FROM nodes ORDER BY name LIMIT 200)));
        END IF;
    END IF;
    -- Pages show them whole.
    IF length(NEW.text) > 10000 THEN
        PERFORM sonde_refuse('comments', 'text', format('%s characters are too many', length(NEW.text)), 'at most 10000');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_comment IS 'Row trigger of comments: refuses an empty one with a sentence.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON comments FOR EACH ROW EXECUTE FUNCTION sonde_check_comment();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON comments FOR EACH ROW WHEN (NEW.at IS NULL OR NEW.author IS NULL OR NEW.change IS NULL)
    EXECUTE FUNCTION sonde_refuse_null('at', 'author', 'change');

CREATE FUNCTION sonde_check_node() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    up text;
    steps int := 0;
BEGIN
    IF coalesce(NEW.name, '') = '' THEN
        PERFORM sonde_refuse('nodes', 'name', 'a node needs a name', 'for example ''cern''');
    END IF;
    IF NEW.name <> btrim(NEW.name) OR sonde_has_hidden(NEW.name) OR length(NEW.name) > 100 THEN
        PERFORM sonde_refuse('nodes', 'name', format('"%s" is no good name', left(NEW.name, 120)), 'at most 100 characters, no blanks at either end, no control characters');
    END IF;
    IF coalesce(NEW.address, '') = '' THEN
        PERFORM sonde_refuse('nodes', 'address', format('node "%s" needs an address', NEW.name), 'a host name or an IP address');
    END IF;
    -- A host name by RFC 1123 (underscores are seen in the wild), or an IP literal with an optional zone.
    IF NOT (NEW.address ~ '^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$' AND length(NEW.address) <= 254
            OR NEW.address ~ '^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?$') THEN
        PERFORM sonde_refuse('nodes', 'address', format('"%s" is neither a host name nor an IP address', left(NEW.address, 120)),
            'write for example www.cern.ch, 192.0.2.1 or 2001:db8::1, without scheme, port or netmask');
    END IF;
    IF NEW.address ~ '^[0-9.]+$' OR NEW.address ~ ':' THEN
        BEGIN
            IF masklen(split_part(NEW.address, '%', 1)::inet) NOT IN (32, 128) OR NEW.address ~ '^[0-9.]+$' AND NEW.address !~ '^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$' THEN
                RAISE invalid_text_representation;
            END IF;
        EXCEPTION WHEN invalid_text_representation THEN
            PERFORM sonde_refuse('nodes', 'address', format('"%s" is no IP address', NEW.address), 'write for example 192.0.2.1 or 2001:db8::1');
        END;
    END IF;
    IF NEW.latitude NOT BETWEEN -90 AND 90 THEN
        PERFORM sonde_refuse('nodes', 'latitude', format('%s is not between -90 and 90', NEW.latitude));
    END IF;
    IF NEW.longitude NOT BETWEEN -180 AND 180 THEN
        PERFORM sonde_refuse('nodes', 'longitude', format('%s is not between -180 and 180', NEW.longitude));
    END IF;
    IF NEW.parent IS NOT NULL AND NEW.parent <> NEW.name AND NOT EXISTS (SELECT FROM nodes WHERE name = NEW.parent)
       AND (TG_OP = 'INSERT' OR NEW.parent IS DISTINCT FROM OLD.parent) THEN
        PERFORM sonde_refuse('nodes', 'parent', format('there is no node "%s"', NEW.parent),
            'insert the parent first; known nodes: ' || sonde_some(ARRAY(SELECT name FROM nodes ORDER BY name LIMIT 200)));
    END IF;
    IF NEW.parent IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.parent IS DISTINCT FROM OLD.parent) THEN
        up := NEW.parent;
        WHILE up IS NOT NULL LOOP
            steps := steps + 1;
            IF up = NEW.name OR steps > 100 THEN
                PERFORM sonde_refuse('nodes', 'parent', format('"%s" would be its own ancestor through "%s"', NEW.name, NEW.parent));
            END IF;
            SELECT parent INTO up FROM nodes WHERE name = up;
        END LOOP;
    END IF;
    IF NEW.labels IS NULL OR array_position(NEW.labels, NULL) IS NOT NULL OR '' = ANY (NEW.labels) THEN
        PERFORM sonde_refuse('nodes', 'labels', 'labels are words that are not empty', 'for example ''{core,backup}''');
    END IF;
    IF sonde_has_hidden(array_to_string(NEW.labels, ' ')) THEN
        PERFORM sonde_refuse('nodes', 'labels', 'a label has control characters', 'for example ''{core,backup}''');
    END IF;
    IF sonde_has_hidden(NEW.site) THEN
        PERFORM sonde_refuse('nodes', 'site', 'it has control characters', 'one line, for example ''Geneva''');
    END IF;
    -- Every daemon reads all nodes, and pages show them.
    IF cardinality(NEW.labels) > 100 OR EXISTS (SELECT FROM unnest(NEW.labels) l WHERE length(l) > 100) THEN
        PERFORM sonde_refuse('nodes', 'labels', format('%s labels, the longest of %s characters, are too much', cardinality(NEW.labels),
            (SELECT max(length(l)) FROM unnest(NEW.labels) l)), 'at most 100 labels of at most 100 characters');
    END IF;
    IF length(NEW.site) > 200 THEN
        PERFORM sonde_refuse('nodes', 'site', format('%s characters are too many', length(NEW.site)), 'at most 200');
    END IF;
    NEW.changed_xid := pg_current_xact_id();
    NEW.enabled_since := CASE WHEN TG_OP = 'UPDATE' AND (OLD.enabled OR NOT NEW.enabled) THEN OLD.enabled_since ELSE now() END;
    IF TG_OP = 'UPDATE' AND OLD.enabled AND NOT NEW.enabled THEN
        DELETE FROM schedule q USING toolspecs s WHERE s.node = OLD.name AND (q.monhost, q.tool, q.toolspec_id) = (s.monhost, s.tool, s.id) AND q.state = 'due';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.address <> OLD.address THEN
        INSERT INTO comments (node, change, text) VALUES (NEW.name, true, format('address changed from %s to %s', OLD.address, NEW.address));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_node IS 'Row trigger of nodes: refuses wrong rows with a sentence, notes a changed address in comments.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON nodes FOR EACH ROW EXECUTE FUNCTION sonde_check_node();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON nodes FOR EACH ROW WHEN (NEW.site IS NULL OR NEW.enabled IS NULL OR NEW.created_at IS NULL)
    EXECUTE FUNCTION sonde_refuse_null('site', 'enabled', 'created_at');
CREATE TRIGGER tell_daemons AFTER INSERT OR UPDATE OR DELETE ON nodes FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

CREATE TABLE monhosts (
    name          text CONSTRAINT "monhosts.name is taken: a monitoring host enters itself" PRIMARY KEY REFERENCES nodes (name) ON UPDATE CASCADE,
    tools         text[] NOT NULL DEFAULT '{}',
    version       text NOT NULL DEFAULT '',
    instance      text NOT NULL DEFAULT '',
    described     text NOT NULL DEFAULT '',
    last_seen_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE monhosts IS 'The nodes that measure. A monitoring host enters itself when it starts.';
COMMENT ON COLUMN monhosts.name IS 'The node of this name is a monitoring host.';
COMMENT ON COLUMN monhosts.tools IS 'The tools that its workers can run.';
COMMENT ON COLUMN monhosts.version IS 'Version of Sonde it runs.';
COMMENT ON COLUMN monhosts.instance IS 'Identity of the state directory that holds this name.';
COMMENT ON COLUMN monhosts.described IS 'Host and state directory that hold this name, in words, for the message when two claim it.';
COMMENT ON COLUMN monhosts.last_seen_at IS 'When one of its daemons reported last.';
COMMENT ON COLUMN monhosts.created_at IS 'When the row was inserted.';

CREATE FUNCTION sonde_check_monhost() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.name IS NULL THEN
        PERFORM sonde_refuse('monhosts', 'name', 'a monitoring host needs the name of its node', 'start sonde there: it enters itself');
    END IF;
    IF NOT EXISTS (SELECT FROM nodes WHERE name = NEW.name) THEN
        PERFORM sonde_refuse('monhosts', 'name', format('there is no node "%s"', NEW.name), 'insert it into nodes first; or start sonde there: it enters itself');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_monhost IS 'Row trigger of monhosts: a monitoring host is a node.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE OF name ON monhosts FOR EACH ROW EXECUTE FUNCTION sonde_check_monhost();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON monhosts FOR EACH ROW WHEN (NEW.tools IS NULL) EXECUTE FUNCTION sonde_refuse_null('tools');
CREATE TRIGGER tell_daemons AFTER INSERT OR DELETE ON monhosts FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

CREATE TABLE nodespecs (
    node        text PRIMARY KEY REFERENCES nodes (name) ON UPDATE CASCADE ON DELETE CASCADE,
    os          text NOT NULL DEFAULT '',
    kernel      text NOT NULL DEFAULT '',
    cpu         text NOT NULL DEFAULT '',
    cores       int,
    memory_mib  bigint,
    nics        jsonb NOT NULL DEFAULT '[]',
    changed_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE nodespecs IS 'Facts of a machine, filled by the worker for its own host.';
COMMENT ON COLUMN nodespecs.node IS 'The node these facts are of.';
COMMENT ON COLUMN nodespecs.os IS 'Operating system and its version.';
COMMENT ON COLUMN nodespecs.kernel IS 'Kernel release.';
COMMENT ON COLUMN nodespecs.cpu IS 'Model of the processor.';
COMMENT ON COLUMN nodespecs.cores IS 'Number of processors the system uses.';
COMMENT ON COLUMN nodespecs.memory_mib IS 'Memory in MiB.';
COMMENT ON COLUMN nodespecs.nics IS 'Network interfaces: [{"name", "mac", "mtu", "mbps", "addresses"}].';
COMMENT ON COLUMN nodespecs.changed_at IS 'When these facts were written.';
-- +goose StatementEnd
