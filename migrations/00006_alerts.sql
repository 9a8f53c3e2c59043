-- +goose Up
-- +goose StatementBegin
CREATE TABLE methods (
    name     text PRIMARY KEY,
    meaning  text NOT NULL,
    options  jsonb NOT NULL DEFAULT '[]',
    outcomes boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE methods IS 'The detectors this version knows. Written by sonde migrate.';
COMMENT ON COLUMN methods.name IS 'Name of the method, as in rules.method.';
COMMENT ON COLUMN methods.meaning IS 'What it finds.';
COMMENT ON COLUMN methods.options IS 'Its parameters, described like tools.options.';
COMMENT ON COLUMN methods.outcomes IS 'True: it looks at how runs end, or at their routes, and not at a number: rules.metric is NULL.';

CREATE TABLE rules (
    name         text CONSTRAINT "rules.name is taken: UPDATE that rule, or choose another name" PRIMARY KEY,
    method       text NOT NULL REFERENCES methods (name),
    tool         text,
    metric       text,
    node         text REFERENCES nodes (name) ON UPDATE CASCADE,
    label        text,
    options      jsonb NOT NULL DEFAULT '{}',
    severity     text NOT NULL DEFAULT 'warning',
    tolerance    interval NOT NULL DEFAULT '0',
    repeat_limit interval,
    second_look  boolean NOT NULL DEFAULT false,
    shadow       boolean NOT NULL DEFAULT false,
    enabled      boolean NOT NULL DEFAULT true,
    shipped      boolean NOT NULL DEFAULT false,
    changed_xid  xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE rules IS 'Which detector watches which series, with which parameters. The rows that come with Sonde may be changed.';
COMMENT ON COLUMN rules.name IS 'Name of the rule; alerts carry it.';
COMMENT ON COLUMN rules.method IS 'The detector, one of methods.name.';
COMMENT ON COLUMN rules.tool IS 'Only specs of this tool; NULL: every tool.';
COMMENT ON COLUMN rules.metric IS 'The metric it reads, without the tool (rtt_median_ms); NULL for methods that look at outcomes only.';
COMMENT ON COLUMN rules.node IS 'Only specs to this node; NULL: every node.';
COMMENT ON COLUMN rules.label IS 'Only specs to nodes that carry this label; NULL: every node.';
COMMENT ON COLUMN rules.options IS 'Parameters of the method; what is left out has its default.';
COMMENT ON COLUMN rules.severity IS 'info, warning or critical.';
COMMENT ON COLUMN rules.tolerance IS 'How long a finding must last before an alert is raised.';
COMMENT ON COLUMN rules.repeat_limit IS 'An open alert is told again no more often; NULL: the setting repeat_limit.';
COMMENT ON COLUMN rules.second_look IS 'True: before people are told an extra run is made, from another monitoring host too if there is one. Findings with a score below 0.8 get it anyway. Refused where metric is NULL.';
COMMENT ON COLUMN rules.shadow IS 'True: on trial. Its alerts are recorded and told to nobody; they colour no page, hide nothing and are counted apart.';
COMMENT ON COLUMN rules.enabled IS 'False: the rule is off.';
COMMENT ON COLUMN rules.shipped IS 'True: came with Sonde; it may be changed and switched off, not deleted.';
COMMENT ON COLUMN rules.changed_xid IS 'Transaction that changed the row last.';

CREATE FUNCTION sonde_check_rule() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    parameters jsonb;
    outcome    boolean;
    problem    text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.shipped THEN
            PERFORM sonde_refuse('rules', 'name', format('rule "%s" came with Sonde and cannot be deleted', OLD.name),
                format('UPDATE rules SET enabled = false WHERE name = %L', OLD.name));
        END IF;
        RETURN OLD;
    END IF;
    IF coalesce(NEW.name, '') = '' THEN
        PERFORM sonde_refuse('rules', 'name', 'a rule needs a name', 'alerts carry it; for example ''loss to partners''');
    END IF;
    IF NEW.name <> btrim(NEW.name) OR sonde_has_hidden(NEW.name) OR length(NEW.name) > 100 THEN
        PERFORM sonde_refuse('rules', 'name', format('"%s" is no good name', left(NEW.name, 120)), 'at most 100 characters, no blanks at either end, no control characters');
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.shipped AND (NEW.name, NEW.shipped) IS DISTINCT FROM (OLD.name, OLD.shipped) THEN -- sonde migrate would insert it again
        PERFORM sonde_refuse('rules', CASE WHEN NEW.name = OLD.name THEN 'shipped' ELSE 'name' END, format('rule "%s" came with Sonde and stays under that name', OLD.name),
            format('UPDATE rules SET enabled = false WHERE name = %L, and insert another', OLD.name));
    END IF;
    IF NEW.name LIKE '%/%' THEN
        PERFORM sonde_refuse('rules', 'name', format('"%s" contains a "/"', NEW.name), 'alerts are kept by "rule/subject": write "-" instead');
    END IF;
    IF NEW.name IN ('shared hop', 'many nodes', 'monitoring host', 'overload', 'gap', 'clock', 'medium fails', 'nothing is judged') THEN
        PERFORM sonde_refuse('rules', 'name', format('"%s" is what Sonde names its own alerts', NEW.name), 'choose another name');
    END IF;
    SELECT options, outcomes INTO parameters, outcome FROM methods WHERE name = NEW.method;
    IF NOT FOUND THEN
        PERFORM sonde_refuse('rules', 'method', format('there is no method "%s"', NEW.method), 'known methods: ' || sonde_some(ARRAY(SELECT name FROM methods ORDER BY name)));
    END IF;
    problem := sonde_options_problem(parameters, NEW.options);
    IF problem IS NOT NULL THEN
        PERFORM sonde_refuse('rules', 'options', problem, format('SELECT jsonb_pretty(options) FROM methods WHERE name = %L shows what is right', NEW.method));
    END IF;
    IF NEW.tool IS NOT NULL AND NOT EXISTS (SELECT FROM tools WHERE name = NEW.tool) THEN
        PERFORM sonde_refuse('rules', 'tool', format('there is no tool "%s"', NEW.tool), 'known tools: ' || sonde_some(ARRAY(SELECT name FROM tools WHERE known ORDER BY name)));
    END IF;
    IF NEW.metric IS NOT NULL AND NEW.tool IS NULL THEN
        PERFORM sonde_refuse('rules', 'tool', format('say whose metric "%s" is', NEW.metric), 'known tools: ' || sonde_some(ARRAY(SELECT name FROM tools WHERE known ORDER BY name)));
    END IF;
    IF NEW.metric IS NOT NULL AND (NOT EXISTS (SELECT FROM tools, jsonb_array_elements(metrics) m WHERE name = NEW.tool AND m ->> 'name' = NEW.metric)) THEN
        PERFORM sonde_refuse('rules', 'metric', format('tool "%s" has no metric "%s"', NEW.tool, NEW.metric),
            'known metrics: ' || sonde_some(ARRAY(SELECT m ->> 'name' FROM tools, jsonb_array_elements(metrics) m WHERE name = NEW.tool)));
    END IF;
    IF NEW.node IS NOT NULL AND NOT EXISTS (SELECT FROM nodes WHERE name = NEW.node) THEN
        PERFORM sonde_refuse('rules', 'node', format('there is no node "%s"', NEW.node),
            'known nodes: ' || sonde_some(ARRAY(SELECT name FROM nodes ORDER BY name LIMIT 200)));
    END IF;
    IF NEW.label = '' THEN
        PERFORM sonde_refuse('rules', 'label', 'a label is a word that is not empty', 'leave it out to mean every node');
    END IF;
    IF NEW.severity IS NULL OR NEW.severity NOT IN ('info', 'warning', 'critical') THEN
        PERFORM sonde_refuse('rules', 'severity', format('"%s" is none', NEW.severity), 'one of info, warning, critical');
    END IF;
    IF NEW.tolerance IS NULL OR NEW.tolerance < interval '0' OR extract(year FROM NEW.tolerance) <> 0 OR extract(month FROM NEW.tolerance) <> 0
       OR NEW.tolerance > interval '366 days' THEN
        PERFORM sonde_refuse('rules', 'tolerance', format('"%s" is no length of time', NEW.tolerance), 'for example ''5 minutes'', at most ''366 days''');
    END IF;
    IF extract(year FROM NEW.repeat_limit) <> 0 OR extract(month FROM NEW.repeat_limit) <> 0 OR NEW.repeat_limit > interval '366 days' THEN
        PERFORM sonde_refuse('rules', 'repeat_limit', format('"%s" has no fixed length, or is too long', NEW.repeat_limit), 'write days or hours, at most ''366 days''');
    END IF;
    IF NEW.repeat_limit < interval '1 minute' THEN
        PERFORM sonde_refuse('rules', 'repeat_limit', format('"%s" is too short', NEW.repeat_limit), 'at least ''1 minute''');
    END IF;
    IF NEW.second_look AND NEW.metric IS NULL THEN
        PERFORM sonde_refuse('rules', 'second_look', format('rule "%s" watches no metric, so an extra run has nothing to compare', NEW.name), 'leave second_look false');
    END IF;
    IF NEW.metric IS NULL AND NOT outcome THEN
        PERFORM sonde_refuse('rules', 'metric', format('method "%s" judges a number, and none is named', NEW.method),
            'known metrics: ' || sonde_some(ARRAY(SELECT format('%s of %s', m ->> 'name', name) FROM tools, jsonb_array_elements(metrics) m WHERE name = coalesce(NEW.tool, name))));
    END IF;
    IF NEW.metric IS NOT NULL AND outcome THEN
        PERFORM sonde_refuse('rules', 'metric', format('method "%s" looks at how runs end and at no metric', NEW.method), 'leave metric out');
    END IF;
    NEW.changed_xid := pg_current_xact_id();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_rule IS 'Row trigger of rules: refuses wrong rows with a sentence.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE OR DELETE ON rules FOR EACH ROW EXECUTE FUNCTION sonde_check_rule();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON rules FOR EACH ROW WHEN (NEW.second_look IS NULL OR NEW.shadow IS NULL OR NEW.enabled IS NULL OR NEW.shipped IS NULL)
    EXECUTE FUNCTION sonde_refuse_null('second_look', 'shadow', 'enabled', 'shipped');
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON rules EXECUTE FUNCTION sonde_refuse_truncate();
CREATE TRIGGER tell_daemons AFTER INSERT OR UPDATE OR DELETE ON rules FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

CREATE TABLE analyst_mark (
    only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    read_xid  xid8 NOT NULL,
    whole_at  timestamptz,
    anew_at   timestamptz,
    ticked_at timestamptz NOT NULL DEFAULT now(),
    state     jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE analyst_mark IS 'How far the analyst has read. One row, moved in the transaction that stores what it found.';
COMMENT ON COLUMN analyst_mark.only_one IS 'There is one row.';
COMMENT ON COLUMN analyst_mark.read_xid IS 'Rows whose stored_xid is smaller are read.';
COMMENT ON COLUMN analyst_mark.whole_at IS 'When all results that were there had been read last. NULL: nobody knows.';
COMMENT ON COLUMN analyst_mark.anew_at IS 'Rows stored before are read, whatever their stored_xid: the database was restored into a server that counts transactions anew. NULL: it was not.';
COMMENT ON COLUMN analyst_mark.ticked_at IS 'Time up to which ticks were given.';
COMMENT ON COLUMN analyst_mark.state IS 'State that belongs to no single spec.';

CREATE TABLE detectors (
    toolspec_id bigint PRIMARY KEY,
    judged_to   timestamptz,
    read_to     pg_snapshot NOT NULL,
    state       bytea NOT NULL DEFAULT '',
    kept_at     timestamptz NOT NULL DEFAULT now(),
    episodes    jsonb NOT NULL DEFAULT '{}',
    not_judged  jsonb NOT NULL DEFAULT '{}',
    missed      jsonb NOT NULL DEFAULT '[]'
) WITH (fillfactor = 70);
-- Packed numbers do not become smaller, and to try takes longer than to write them.
ALTER TABLE detectors ALTER COLUMN state SET STORAGE EXTERNAL;
COMMENT ON TABLE detectors IS 'State of the detectors of each spec, so that a restart goes on where it was: what the detectors knew a while ago, and exactly what is open. The samples in between are read again.';
COMMENT ON COLUMN detectors.toolspec_id IS 'The spec.';
COMMENT ON COLUMN detectors.judged_to IS 'due_at of the newest sample in state; NULL: none.';
COMMENT ON COLUMN detectors.read_to IS 'The transactions whose rows are in state; what the mark has read beyond them is fed again after a restart, and tells nobody.';
COMMENT ON COLUMN detectors.state IS 'By rule: the state of its detector, as of judged_to, packed. Written now and then, and at once when stored rows could not bring it back.';
COMMENT ON COLUMN detectors.kept_at IS 'When state was written.';
COMMENT ON COLUMN detectors.episodes IS 'By rule: its episode, its open alert, and what is owed since an alert could not be raised, as of the mark; a rule at rest is left out.';
COMMENT ON COLUMN detectors.not_judged IS 'By rule: the sentence why its detector does not judge, as of the mark; a rule that judges is left out.';
COMMENT ON COLUMN detectors.missed IS 'Missed runs that were judged since state was written, as of the mark: a late result may replace their rows, so a restart takes them from here.';

CREATE TABLE ticks (
    at          timestamptz NOT NULL,
    toolspec_id bigint NOT NULL,
    rule        text NOT NULL,
    PRIMARY KEY (toolspec_id, rule, at)
);
COMMENT ON TABLE ticks IS 'Ticks that led to a finding, so that a replay of stored data gives the same alerts.';
COMMENT ON COLUMN ticks.at IS 'The time that was told.';
COMMENT ON COLUMN ticks.toolspec_id IS 'The spec whose detector it was told to.';
COMMENT ON COLUMN ticks.rule IS 'The rule of that detector.';

CREATE TABLE alerts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    toolspec_id  bigint NOT NULL DEFAULT 0,
    subject      text NOT NULL DEFAULT '',
    monhost      text NOT NULL DEFAULT '',
    node         text NOT NULL DEFAULT '',
    tool         text NOT NULL DEFAULT '',
    label        text NOT NULL DEFAULT '',
    metric       text NOT NULL DEFAULT '',
    rule         text NOT NULL,
    severity     text NOT NULL,
    text         text NOT NULL,
    began_at     timestamptz NOT NULL,
    raised_at    timestamptz NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz,
    closed_at    timestamptz,
    close_text   text,
    findings     int NOT NULL DEFAULT 1,
    told_at      timestamptz,
    told_times   int NOT NULL DEFAULT 0,
    planned      boolean NOT NULL DEFAULT false,
    late         boolean NOT NULL DEFAULT false,
    flapping     boolean NOT NULL DEFAULT false,
    shadow       boolean NOT NULL DEFAULT false,
    part_of      bigint,
    acked_at     timestamptz,
    acked_by     text,
    ack_note     text,
    silent_until timestamptz,
    evidence     jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX alerts_one_open ON alerts (toolspec_id, subject, metric, rule) WHERE closed_at IS NULL;
CREATE INDEX alerts_node ON alerts (node, began_at);
CREATE INDEX alerts_began ON alerts (began_at);
CREATE INDEX alerts_spec ON alerts (toolspec_id, began_at);

-- What people write here; all else is the analyst's.
CREATE FUNCTION sonde_check_alert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sonde_check_instant('alerts', 'silent_until', NEW.silent_until, 'for example now() + interval ''2 hours''; acked_at = now() is for good');
    PERFORM sonde_check_instant('alerts', 'acked_at', NEW.acked_at, 'for example now()');
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_alert IS 'Row trigger of alerts: refuses instants that cannot be, with a sentence.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON alerts FOR EACH ROW WHEN (NEW.silent_until IS NOT NULL OR NEW.acked_at IS NOT NULL)
    EXECUTE FUNCTION sonde_check_alert();
COMMENT ON TABLE alerts IS 'Episodes: something is wrong with a series, a node or the platform, from its start to its end.';
COMMENT ON COLUMN alerts.id IS 'Number of the alert; messages carry it.';
COMMENT ON COLUMN alerts.toolspec_id IS 'The spec it is about; 0 when it is about no single spec.';
COMMENT ON COLUMN alerts.subject IS 'What it is about when that is no spec: a monitoring host, a hop, a medium, a daemon, the clock.';
COMMENT ON COLUMN alerts.monhost IS 'Monitoring host that measured, by its name of that time.';
COMMENT ON COLUMN alerts.node IS 'Node that is affected, by its name of that time.';
COMMENT ON COLUMN alerts.tool IS 'Tool of the spec.';
COMMENT ON COLUMN alerts.label IS 'Label of the spec.';
COMMENT ON COLUMN alerts.metric IS 'Metric the rule watches; empty for rules that look at outcomes.';
COMMENT ON COLUMN alerts.rule IS 'The rule that raised it.';
COMMENT ON COLUMN alerts.severity IS 'info, warning or critical.';
COMMENT ON COLUMN alerts.text IS 'What is wrong, in one sentence.';
COMMENT ON COLUMN alerts.began_at IS 'When it began, by the data.';
COMMENT ON COLUMN alerts.raised_at IS 'The sample or tick that raised it.';
COMMENT ON COLUMN alerts.recorded_at IS 'When the row was written.';
COMMENT ON COLUMN alerts.ended_at IS 'When it ended, by the data; NULL while open.';
COMMENT ON COLUMN alerts.closed_at IS 'When it was closed; NULL while open.';
COMMENT ON COLUMN alerts.close_text IS 'Why it was closed, in one sentence.';
COMMENT ON COLUMN alerts.findings IS 'Findings that opened or fed it.';
COMMENT ON COLUMN alerts.told_at IS 'When people were told last.';
COMMENT ON COLUMN alerts.told_times IS 'How often people were told.';
COMMENT ON COLUMN alerts.planned IS 'True: it began in planned maintenance and was not sent.';
COMMENT ON COLUMN alerts.late IS 'True: it began and ended in data that came late, and was not sent.';
COMMENT ON COLUMN alerts.flapping IS 'True: it comes and goes.';
COMMENT ON COLUMN alerts.shadow IS 'True: its rule is in shadow, or was when it ended.';
COMMENT ON COLUMN alerts.part_of IS 'The alert that hides this one: its monitoring host''s, its parent''s, that of the hop it shares with others, that of its node which tells the cause.';
COMMENT ON COLUMN alerts.acked_at IS 'When a person took note of it; it is not told again.';
COMMENT ON COLUMN alerts.acked_by IS 'Who took note.';
COMMENT ON COLUMN alerts.ack_note IS 'What they wrote.';
COMMENT ON COLUMN alerts.silent_until IS 'Not told again before this.';
COMMENT ON COLUMN alerts.evidence IS 'The numbers that raised it: before and after, the rule and its parameters.';

CREATE TABLE newalerts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id    bigint,
    toolspec_id bigint NOT NULL DEFAULT 0,
    monhost     text NOT NULL DEFAULT '',
    node        text NOT NULL DEFAULT '',
    tool        text NOT NULL DEFAULT '',
    metric      text NOT NULL DEFAULT '',
    rule        text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('bad', 'good', 'note')),
    severity    text NOT NULL,
    at          timestamptz NOT NULL,
    since       timestamptz,
    decision    text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    text        text NOT NULL,
    evidence    jsonb NOT NULL DEFAULT '{}',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX newalerts_alert ON newalerts (alert_id);
CREATE INDEX newalerts_node ON newalerts (node, at);
CREATE INDEX newalerts_spec ON newalerts (toolspec_id, at);
COMMENT ON TABLE newalerts IS 'Every single finding of a detector, with what was decided on it and why. Findings open, feed and close alerts.';
COMMENT ON COLUMN newalerts.id IS 'Number of the finding.';
COMMENT ON COLUMN newalerts.alert_id IS 'The alert it opened, fed or closed; NULL if none.';
COMMENT ON COLUMN newalerts.toolspec_id IS 'The spec; 0 when it is about no single spec.';
COMMENT ON COLUMN newalerts.monhost IS 'Monitoring host that measured.';
COMMENT ON COLUMN newalerts.node IS 'Node that was measured.';
COMMENT ON COLUMN newalerts.tool IS 'Tool of the spec.';
COMMENT ON COLUMN newalerts.metric IS 'Metric the rule watches.';
COMMENT ON COLUMN newalerts.rule IS 'The rule.';
COMMENT ON COLUMN newalerts.kind IS 'bad opens or feeds, good closes, note is only shown.';
COMMENT ON COLUMN newalerts.severity IS 'info, warning or critical.';
COMMENT ON COLUMN newalerts.at IS 'The sample or tick that decided.';
COMMENT ON COLUMN newalerts.since IS 'When what it tells of began.';
COMMENT ON COLUMN newalerts.decision IS 'What came of it: raise, feed, remind, clear, wait, note, look (a second look), late, or none with the reason.';
COMMENT ON COLUMN newalerts.reason IS 'Why that was decided.';
COMMENT ON COLUMN newalerts.text IS 'The finding, in one sentence.';
COMMENT ON COLUMN newalerts.evidence IS 'Numbers that led to it.';
COMMENT ON COLUMN newalerts.recorded_at IS 'When the row was written.';

CREATE TABLE incidents (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id    bigint CONSTRAINT incidents_one_an_alert UNIQUE,
    node        text REFERENCES nodes (name) ON UPDATE CASCADE ON DELETE CASCADE,
    label       text,
    tool        text,
    toolspec_id bigint,
    from_at     timestamptz NOT NULL,
    until_at    timestamptz,
    verdict     text NOT NULL DEFAULT 'right',
    author      text NOT NULL DEFAULT session_user,
    text        text NOT NULL DEFAULT '',
    written_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX incidents_from ON incidents (from_at);
COMMENT ON TABLE incidents IS 'What people know happened, and what they think of an alert: what sonde backtest measures rules by.';
COMMENT ON COLUMN incidents.id IS 'Number of the row.';
COMMENT ON COLUMN incidents.alert_id IS 'The alert this is about; node, tool, spec and times are then its own. NULL: an incident that people know of without one.';
COMMENT ON COLUMN incidents.node IS 'The node it happened to.';
COMMENT ON COLUMN incidents.label IS 'It happened to all nodes that carry this label.';
COMMENT ON COLUMN incidents.tool IS 'Only this tool saw it; NULL: any that measures the node.';
COMMENT ON COLUMN incidents.toolspec_id IS 'Only this spec saw it; NULL: any.';
COMMENT ON COLUMN incidents.from_at IS 'When it began.';
COMMENT ON COLUMN incidents.until_at IS 'When it ended; NULL: with its alert, or not yet.';
COMMENT ON COLUMN incidents.verdict IS 'right: there was trouble, an alert is wanted. wrong: there was none. planned: there was, and nobody needed to be told.';
COMMENT ON COLUMN incidents.author IS 'Who says so.';
COMMENT ON COLUMN incidents.text IS 'What it was.';
COMMENT ON COLUMN incidents.written_at IS 'When it was written down.';

CREATE FUNCTION sonde_check_incident() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a    alerts;
    s    toolspecs;
    said text;
BEGIN
    IF NEW.verdict IS NULL OR NEW.verdict NOT IN ('right', 'wrong', 'planned') THEN
        PERFORM sonde_refuse('incidents', 'verdict', format('"%s" is none', NEW.verdict),
            'right: there was trouble; wrong: there was none; planned: there was, and nobody needed to be told');
    END IF;
    IF length(NEW.text) > 10000 THEN
        PERFORM sonde_refuse('incidents', 'text', format('%s characters are too many', length(NEW.text)), 'at most 10000');
    END IF;
    IF NEW.tool IS NOT NULL AND NOT EXISTS (SELECT FROM tools WHERE name = NEW.tool) THEN
        PERFORM sonde_refuse('incidents', 'tool', format('there is no tool "%s"', NEW.tool), 'known tools: ' || sonde_some(ARRAY(SELECT name FROM tools WHERE known ORDER BY name)));
    END IF;
    -- A node that is renamed renames them here too, in an UPDATE that is nobody's: only what is new is looked up.
    IF NEW.alert_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.alert_id IS DISTINCT FROM OLD.alert_id) THEN
        SELECT * INTO a FROM alerts WHERE id = NEW.alert_id;
        IF NOT FOUND THEN
            PERFORM sonde_refuse('incidents', 'alert_id', format('there is no alert %s', NEW.alert_id), 'SELECT id, node, text FROM alerts ORDER BY id DESC LIMIT 20');
        END IF;
        SELECT verdict INTO said FROM incidents WHERE alert_id = NEW.alert_id;
        IF FOUND THEN
            PERFORM sonde_refuse('incidents', 'alert_id', format('alert %s is marked %s already', NEW.alert_id, said),
                format('UPDATE incidents SET verdict = %L WHERE alert_id = %s', NEW.verdict, NEW.alert_id));
        END IF;
        IF NEW.node IS NOT NULL OR NEW.label IS NOT NULL OR NEW.tool IS NOT NULL OR NEW.toolspec_id IS NOT NULL THEN
            PERFORM sonde_refuse('incidents', 'alert_id', format('alert %s says itself what it is about', NEW.alert_id), 'leave out node, label, tool and toolspec_id, or alert_id');
        END IF;
        -- An alert about no spec is about its monitoring host, or about no node at all.
        SELECT name INTO NEW.node FROM nodes WHERE name = coalesce(nullif(a.node, ''), a.monhost);
        NEW.tool := nullif(a.tool, '');
        NEW.toolspec_id := nullif(a.toolspec_id, 0);
        NEW.from_at := coalesce(NEW.from_at, a.began_at);
        NEW.until_at := coalesce(NEW.until_at, a.ended_at);
    END IF;
    IF NEW.alert_id IS NULL AND NEW.toolspec_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.toolspec_id IS DISTINCT FROM OLD.toolspec_id) THEN
        SELECT * INTO s FROM toolspecs WHERE id = NEW.toolspec_id;
        IF NOT FOUND THEN
            PERFORM sonde_refuse('incidents', 'toolspec_id', format('there is no spec %s', NEW.toolspec_id), 'SELECT id, node, tool FROM toolspecs');
        END IF;
        IF NEW.label IS NOT NULL OR NEW.node <> s.node OR NEW.tool <> s.tool THEN
            PERFORM sonde_refuse('incidents', 'toolspec_id', format('spec %s is %s to %s', s.id, s.tool, s.node), 'leave out node, label and tool');
        END IF;
        NEW.node := s.node;
        NEW.tool := s.tool;
    END IF;
    IF NEW.node IS NOT NULL AND NEW.label IS NOT NULL THEN
        PERFORM sonde_refuse('incidents', 'label', format('both node (%s) and label (%s) are given', NEW.node, NEW.label), 'give one of them');
    END IF;
    IF NEW.alert_id IS NULL AND NEW.node IS NULL AND coalesce(NEW.label, '') = '' THEN
        PERFORM sonde_refuse('incidents', 'node', 'say what it happened to', 'a node, a label, a toolspec_id or an alert_id');
    END IF;
    IF NEW.node IS NOT NULL AND NOT EXISTS (SELECT FROM nodes WHERE name = NEW.node) THEN
        PERFORM sonde_refuse('incidents', 'node', format('there is no node "%s"', NEW.node),
            'known nodes: ' || sonde_some(ARRAY(SELECT name FROM nodes ORDER BY name LIMIT 200)));
    END IF;
    IF NEW.from_at IS NULL OR NOT isfinite(NEW.from_at) THEN
        PERFORM sonde_refuse('incidents', 'from_at', 'say when it began', 'for example now() - interval ''2 hours''');
    END IF;
    PERFORM sonde_check_instant('incidents', 'from_at', NEW.from_at, 'for example now() - interval ''2 hours''');
    IF NOT isfinite(NEW.until_at) THEN
        PERFORM sonde_refuse('incidents', 'until_at', format('"%s" is no end', NEW.until_at), 'leave it out while it lasts');
    END IF;
    PERFORM sonde_check_instant('incidents', 'until_at', NEW.until_at, 'leave it out while it lasts');
    IF NEW.until_at < NEW.from_at THEN
        PERFORM sonde_refuse('incidents', 'until_at', format('%s is before from_at, %s', NEW.until_at, NEW.from_at), 'leave it out while it lasts');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_incident IS 'Row trigger of incidents: fills in what an alert or a spec says itself, refuses wrong rows with a sentence.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON incidents FOR EACH ROW EXECUTE FUNCTION sonde_check_incident();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON incidents FOR EACH ROW WHEN (NEW.author IS NULL OR NEW.text IS NULL OR NEW.written_at IS NULL)
    EXECUTE FUNCTION sonde_refuse_null('author', 'text', 'written_at');

CREATE TABLE maintenance (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node     text REFERENCES nodes (name) ON UPDATE CASCADE,
    label    text,
    from_at  timestamptz NOT NULL DEFAULT now(),
    until_at timestamptz NOT NULL,
    author   text NOT NULL DEFAULT session_user,
    text     text NOT NULL DEFAULT ''
);
CREATE INDEX maintenance_until ON maintenance (until_at);
COMMENT ON TABLE maintenance IS 'Planned quiet. Probing goes on; alerts are recorded, marked planned, and not sent.';
COMMENT ON COLUMN maintenance.id IS 'Number of the row.';
COMMENT ON COLUMN maintenance.node IS 'For this node; with label NULL as well: for everything.';
COMMENT ON COLUMN maintenance.label IS 'For all nodes that carry this label.';
COMMENT ON COLUMN maintenance.from_at IS 'When it begins.';
COMMENT ON COLUMN maintenance.until_at IS 'When it ends.';
COMMENT ON COLUMN maintenance.author IS 'Who planned it.';
COMMENT ON COLUMN maintenance.text IS 'What is done.';

CREATE FUNCTION sonde_check_maintenance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.node IS NOT NULL AND NOT EXISTS (SELECT FROM nodes WHERE name = NEW.node) THEN
        PERFORM sonde_refuse('maintenance', 'node', format('there is no node "%s"', NEW.node),
            'known nodes: ' || sonde_some(ARRAY(SELECT name FROM nodes ORDER BY name LIMIT 200)));
    END IF;
    IF NEW.node IS NOT NULL AND NEW.label IS NOT NULL THEN
        PERFORM sonde_refuse('maintenance', 'label', format('both node (%s) and label (%s) are given', NEW.node, NEW.label), 'give one of them, or none for everything');
    END IF;
    IF NEW.label = '' THEN
        PERFORM sonde_refuse('maintenance', 'label', 'a label is a word that is not empty', 'leave it out to mean every node');
    END IF;
    IF NEW.from_at IS NULL THEN
        PERFORM sonde_refuse('maintenance', 'from_at', 'say when it begins', 'leave it out to begin now');
    END IF;
    IF NEW.until_at IS NULL THEN
        PERFORM sonde_refuse('maintenance', 'until_at', 'say when it ends', 'for example now() + interval ''2 hours''');
    END IF;
    PERFORM sonde_check_instant('maintenance', 'from_at', NEW.from_at, 'leave it out to begin now');
    PERFORM sonde_check_instant('maintenance', 'until_at', NEW.until_at, 'for example now() + interval ''2 hours''; a rule that is to be silent for good has rules.enabled');
    IF NEW.until_at <= NEW.from_at THEN
        PERFORM sonde_refuse('maintenance', 'until_at', format('%s is not after from_at, %s', NEW.until_at, NEW.from_at), 'for example now() + interval ''2 hours''');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_maintenance IS 'Row trigger of maintenance: refuses wrong rows with a sentence.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON maintenance FOR EACH ROW EXECUTE FUNCTION sonde_check_maintenance();
CREATE TRIGGER check_given BEFORE INSERT OR UPDATE ON maintenance FOR EACH ROW WHEN (NEW.author IS NULL OR NEW.text IS NULL)
    EXECUTE FUNCTION sonde_refuse_null('author', 'text');
CREATE TRIGGER tell_daemons AFTER INSERT OR UPDATE OR DELETE ON maintenance FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();
-- +goose StatementEnd
