-- +goose Up
-- +goose StatementBegin
CREATE TABLE tools (
    name        text PRIMARY KEY,
    meaning     text NOT NULL,
    class       text NOT NULL CHECK (class IN ('background', 'background-syn')),
    table_name  text NOT NULL,
    options     jsonb NOT NULL DEFAULT '[]',
    metrics     jsonb NOT NULL DEFAULT '[]',
    time_to_run interval NOT NULL,
    least_time  text NOT NULL DEFAULT '',
    known       boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE tools IS 'One row per tool this version knows. Written by sonde migrate; read by people and by the check on toolspecs.';
COMMENT ON COLUMN tools.name IS 'Name of the tool, as in toolspecs.tool.';
COMMENT ON COLUMN tools.meaning IS 'What it measures.';
COMMENT ON COLUMN tools.class IS 'background: runs may overlap with others. background-syn: loads the path and must run alone.';
COMMENT ON COLUMN tools.table_name IS 'Table its results go to.';
COMMENT ON COLUMN tools.options IS 'Its options: [{"name", "type", "default", "min", "max", "values", "requires", "excludes", "meaning"}].';
COMMENT ON COLUMN tools.metrics IS 'What analyses and charts may watch: [{"name", "column", "unit", "meaning"}].';
COMMENT ON COLUMN tools.time_to_run IS 'What a spec gets that names no time_to_run.';
COMMENT ON COLUMN tools.least_time IS 'Arithmetic over its options, durations in seconds, that must not exceed time_to_run.';
COMMENT ON COLUMN tools.known IS 'False: the tool of an older or newer version; no new spec may name it.';

CREATE FUNCTION sonde_option_bound(bound jsonb) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(bound) WHEN 'number' THEN (bound #>> '{}')::float8 WHEN 'string' THEN sonde_duration(bound #>> '{}') END
$$;
COMMENT ON FUNCTION sonde_option_bound IS 'The least or greatest value of an option as a number, seconds for a duration.';

-- The same rules as measure.ReadOptions in Go.
CREATE FUNCTION sonde_options_problem(known jsonb, given jsonb) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    o      jsonb;
    key    text;
    v      jsonb;
    txt    text;
    n      double precision;
    lo     double precision;
    hi     double precision;
    other  text;
    names  text;
BEGIN
    IF given IS NULL THEN
        RETURN 'options must be a JSON object like {"count": 10}, not NULL';
    END IF;
    IF jsonb_typeof(given) <> 'object' THEN
        RETURN format('options must be a JSON object like {"count": 10}, not %s', left(given::text, 80));
    END IF;
    IF given = '{}' AND NOT jsonb_path_exists(known, '$[*] ? (@.required == true)') THEN
        RETURN NULL;
    END IF;
    FOR key IN SELECT k FROM jsonb_object_keys(given) k ORDER BY k COLLATE "C" LOOP
        IF NOT EXISTS (SELECT FROM jsonb_array_elements(known) e WHERE e ->> 'name' = key) THEN
            SELECT string_agg(e ->> 'name', ', ' ORDER BY e ->> 'name' COLLATE "C") INTO names FROM jsonb_array_elements(known) e;
            RETURN format('unknown option "%s"; known options: %s', key, coalesce(names, 'there are none'));
        END IF;
    END LOOP;
    FOR o IN SELECT e FROM jsonb_array_elements(known) WITH ORDINALITY AS x (e, i) ORDER BY i LOOP
        key := o ->> 'name';
        v := given -> key;
        IF v IS NULL THEN
            IF (o ->> 'required')::boolean THEN
                RETURN format('option "%s" is missing: %s', key, o ->> 'meaning');
            END IF;
            CONTINUE;
        END IF;
        IF v = 'null' THEN
            RETURN format('option "%s" is null: leave it out to get the default', key);
        END IF;
        txt := v #>> '{}';
        n := NULL;
        CASE o ->> 'type'
        WHEN 'int' THEN
            IF jsonb_typeof(v) <> 'number' OR txt::numeric <> trunc(txt::numeric) OR abs(txt::numeric) > 9007199254740992 THEN
                RETURN format('option "%s" must be a whole number such as %s, not %s', key, coalesce(o ->> 'default', '10'), left(v::text, 80));
            END IF;
            n := txt::float8;
        WHEN 'float' THEN
            IF jsonb_typeof(v) <> 'number' OR abs(txt::numeric) > 1e300 OR txt::numeric <> 0 AND abs(txt::numeric) < 1e-300 THEN
                RETURN format('option "%s" must be a number such as %s, not %s', key, coalesce(o ->> 'default', '0.5'), left(v::text, 80));
            END IF;
            n := txt::float8;
        WHEN 'bool' THEN
            IF jsonb_typeof(v) <> 'boolean' THEN
                RETURN format('option "%s" must be true or false, not %s', key, left(v::text, 80));
            END IF;
        WHEN 'enum' THEN
            IF jsonb_typeof(v) <> 'string' OR NOT (o -> 'values' ? txt) THEN
                SELECT string_agg(e, ', ') INTO names FROM jsonb_array_elements_text(o -> 'values') e;
                RETURN format('option "%s" must be one of %s, not %s', key, names, left(v::text, 80));
            END IF;
        WHEN 'duration' THEN
            IF jsonb_typeof(v) = 'string' THEN
                n := sonde_duration(txt);
            END IF;
            IF n IS NULL THEN
                RETURN format('option "%s" must be a duration with a unit such as "%s", not %s%s', key, coalesce(o ->> 'default', '100ms'), left(v::text, 80),
                    CASE WHEN txt ~* '(mon|year|[0-9] *y)' THEN ' (months and years have no fixed length)' ELSE '' END);
            END IF;
        WHEN 'address' THEN
            BEGIN
                IF jsonb_typeof(v) <> 'string' OR txt ~ '/' OR txt ~ '^\s|\s$' OR txt !~ '^([0-9]+\.){3}[0-9]+$|:' OR txt ~ '\.' AND txt !~ '(^|:)([0-9]+\.){3}[0-9]+$' OR txt ~ '(^|\.)0[0-9]' OR txt::inet IS NULL THEN
                    RAISE invalid_text_representation;
                END IF;
            EXCEPTION WHEN invalid_text_representation THEN
                RETURN format('option "%s" must be an IP address such as "192.0.2.1", not %s', key, left(v::text, 80));
            END;
        WHEN 'text' THEN
            IF jsonb_typeof(v) <> 'string' THEN
                RETURN format('option "%s" must be a text, not %s', key, CASE WHEN (o ->> 'secret')::boolean THEN 'what was given' ELSE left(v::text, 80) END);
            END IF;
            IF (o ->> 'secret')::boolean AND txt !~ '^(file:/.+|env:[A-Za-z_][A-Za-z0-9_]*)$' THEN
                RETURN format('option "%s" is a secret: write a reference, "file:/path" or "env:NAME", not the secret itself', key);
            END IF;
        ELSE
            RETURN format('option "%s" has the unknown type "%s"', key, o ->> 'type');
        END CASE;
        lo := sonde_option_bound(o -> 'min');
        hi := sonde_option_bound(o -> 'max');
        IF n < lo OR n > hi THEN
            RETURN CASE
                WHEN lo IS NOT NULL AND hi IS NOT NULL THEN format('option "%s" must be between %s and %s, not %s', key, o ->> 'min', o ->> 'max', left(v::text, 80))
                WHEN lo IS NOT NULL THEN format('option "%s" must be at least %s, not %s', key, o ->> 'min', left(v::text, 80))
                ELSE format('option "%s" must be at most %s, not %s', key, o ->> 'max', left(v::text, 80)) END;
        END IF;
        FOR other IN SELECT jsonb_array_elements_text(o -> 'requires') LOOP
            IF NOT given ? other THEN
                RETURN format('option "%s" needs option "%s" as well', key, other);
            END IF;
        END LOOP;
        FOR other IN SELECT jsonb_array_elements_text(o -> 'excludes') LOOP
            IF given ? other THEN
                RETURN format('options "%s" and "%s" exclude each other', key, other);
            END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sonde_options_problem IS 'What is wrong with options, as a sentence; NULL when they are right. known is tools.options or medium_types.options.';

-- The expression comes from the program (TOOLS is written by sonde migrate);
-- only numbers that were just checked are put into it.
CREATE FUNCTION sonde_least_time(expression text, known jsonb, given jsonb) RETURNS double precision
LANGUAGE plpgsql STABLE AS $$
DECLARE
    o   jsonb;
    v   jsonb;
    n   double precision;
BEGIN
    IF expression = '' THEN
        RETURN 0;
    END IF;
    FOR o IN SELECT jsonb_array_elements(known) LOOP
        CONTINUE WHEN expression !~ ('\m' || (o ->> 'name') || '\M');
        v := coalesce(given -> (o ->> 'name'), o -> 'default');
        n := CASE o ->> 'type'
            WHEN 'duration' THEN sonde_duration(v #>> '{}')
            WHEN 'bool' THEN CASE WHEN (v #>> '{}')::boolean THEN 1 ELSE 0 END
            WHEN 'int' THEN (v #>> '{}')::float8
            WHEN 'float' THEN (v #>> '{}')::float8
        END;
        expression := regexp_replace(expression, '\m' || (o ->> 'name') || '\M', '(' || coalesce(n, 0)::text || ')::float8', 'g');
    END LOOP;
    EXECUTE 'SELECT (' || expression || ')::float8' INTO n;
    RETURN n;
END $$;
COMMENT ON FUNCTION sonde_least_time IS 'Seconds that a run with these options needs at least: tools.least_time with the options put in.';

CREATE TABLE toolspecs (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node            text NOT NULL REFERENCES nodes (name) ON UPDATE CASCADE,
    monhost         text NOT NULL REFERENCES monhosts (name) ON UPDATE CASCADE,
    tool            text NOT NULL REFERENCES tools (name),
    label           text NOT NULL DEFAULT '',
    options         jsonb NOT NULL DEFAULT '{}',
    run_interval    interval,
    run_at          text,
    time_zone       text NOT NULL DEFAULT 'UTC',
    sampling        text NOT NULL DEFAULT 'periodic',
    time_to_run     interval NOT NULL,
    test_type       text NOT NULL,
    enabled         boolean NOT NULL DEFAULT true,
    days_to_analyze int NOT NULL DEFAULT 28,
    created_at      timestamptz NOT NULL DEFAULT now(),
    timing_since    timestamptz NOT NULL DEFAULT now(),
    changed_xid     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT toolspecs_label_key UNIQUE (monhost, node, tool, label)
);
CREATE INDEX toolspecs_node ON toolspecs (node);
CREATE INDEX toolspecs_changed ON toolspecs (changed_xid);
COMMENT ON TABLE toolspecs IS 'What runs: this tool, to this node, from this monitoring host, so often, with these options. A plain INSERT is enough.';
COMMENT ON COLUMN toolspecs.id IS 'Number of the spec; data rows carry it as toolspec_id.';
COMMENT ON COLUMN toolspecs.node IS 'The node that is measured.';
COMMENT ON COLUMN toolspecs.monhost IS 'The monitoring host that measures; left out it is the only one there is.';
COMMENT ON COLUMN toolspecs.tool IS 'The tool, one of tools.name.';
COMMENT ON COLUMN toolspecs.label IS 'Tells specs of the same tool between the same two apart.';
COMMENT ON COLUMN toolspecs.options IS 'Options of the tool, see tools.options. What is left out has its default.';
COMMENT ON COLUMN toolspecs.run_interval IS 'How often it runs, at least one second. Either this or run_at.';
COMMENT ON COLUMN toolspecs.run_at IS 'A cron expression of five fields: when it runs. Either this or run_interval.';
COMMENT ON COLUMN toolspecs.time_zone IS 'The time zone of run_at.';
COMMENT ON COLUMN toolspecs.sampling IS 'periodic: an even grid with a phase of its own.';
COMMENT ON COLUMN toolspecs.time_to_run IS 'How long one run may take. Left out it is what the tool usually takes, or what the options need.';
COMMENT ON COLUMN toolspecs.test_type IS 'background: may overlap with others; background-syn: runs alone on both ends. Default from the tool.';
COMMENT ON COLUMN toolspecs.enabled IS 'False: no run is made due; one that was started ends.';
COMMENT ON COLUMN toolspecs.days_to_analyze IS 'How many days analyses are to look back. No method of this version reads it: their own options say how far.';
COMMENT ON COLUMN toolspecs.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN toolspecs.timing_since IS 'When the present timing began: inserted, enabled, or given another interval. Written by the database.';
COMMENT ON COLUMN toolspecs.changed_xid IS 'Transaction that changed the row last; daemons find changes by it.';

CREATE TABLE toolspecs_removed (
    toolspec_id bigint PRIMARY KEY,
    removed_at  timestamptz NOT NULL DEFAULT now(),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX toolspecs_removed_changed ON toolspecs_removed (changed_xid);
COMMENT ON TABLE toolspecs_removed IS 'Specs that were deleted, so that daemons that missed the notification see it.';
COMMENT ON COLUMN toolspecs_removed.toolspec_id IS 'The spec that was.';
COMMENT ON COLUMN toolspecs_removed.removed_at IS 'When it was deleted.';
COMMENT ON COLUMN toolspecs_removed.changed_xid IS 'Transaction that deleted it.';

CREATE FUNCTION sonde_interval_seconds(i interval) RETURNS double precision LANGUAGE sql IMMUTABLE AS
    $$ SELECT extract(epoch FROM i)::float8 $$;
COMMENT ON FUNCTION sonde_interval_seconds IS 'Seconds of an interval; a day is 24 hours.';

CREATE FUNCTION sonde_is_measured(spec bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    t     text;
    found boolean;
BEGIN
    FOR t IN SELECT name FROM data_tables LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE toolspec_id = $1)', t) INTO found USING spec;
        IF found THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN EXISTS (SELECT FROM gaps WHERE toolspec_id = spec);
END $$;
COMMENT ON FUNCTION sonde_is_measured IS 'Whether a spec has results or gaps.';

CREATE FUNCTION sonde_check_toolspec() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    t        tools%ROWTYPE;
    hosts    text[];
    problem  text;
    need     double precision;
    other    bigint;
    is_new   boolean := TG_OP = 'INSERT';
BEGIN
    -- A node or monitoring host that is renamed carries its specs along; that is no change of the spec.
    IF NOT is_new AND (NEW.node <> OLD.node AND NOT EXISTS (SELECT FROM nodes WHERE name = OLD.node)
                    OR NEW.monhost <> OLD.monhost AND NOT EXISTS (SELECT FROM nodes WHERE name = OLD.monhost)) THEN
        NEW.changed_xid := pg_current_xact_id();
        RETURN NEW;
    END IF;

    IF NEW.node IS NULL THEN
        PERFORM sonde_refuse('toolspecs', 'node', 'a spec needs a node to measure', 'the name of a row of nodes');
    END IF;
    IF NEW.tool IS NULL THEN
        PERFORM sonde_refuse('toolspecs', 'tool', 'a spec needs a tool', 'known tools: ' || sonde_some(ARRAY(SELECT name FROM tools WHERE known ORDER BY name)));
    END IF;
    IF (is_new OR NEW.node <> OLD.node) AND NOT EXISTS (SELECT FROM nodes WHERE name = NEW.node) THEN
        PERFORM sonde_refuse('toolspecs', 'node', format('there is no node "%s"', NEW.node),
            'insert it into nodes first; known nodes: ' || sonde_some(ARRAY(SELECT name FROM nodes ORDER BY name LIMIT 200)));
    END IF;
    SELECT * INTO t FROM tools WHERE name = NEW.tool AND (known OR NOT is_new);
    IF NOT FOUND THEN
        PERFORM sonde_refuse('toolspecs', 'tool', format('there is no tool "%s"', NEW.tool),
            'known tools: ' || sonde_some(ARRAY(SELECT name FROM tools WHERE known ORDER BY name)));
    END IF;

    IF NEW.monhost IS NULL THEN
        hosts := ARRAY(SELECT name FROM monhosts ORDER BY name);
        IF cardinality(hosts) = 1 THEN
            NEW.monhost := hosts[1];
        ELSIF cardinality(hosts) = 0 THEN
            PERFORM sonde_refuse('toolspecs', 'monhost', 'there is no monitoring host yet', 'start sonde on one (sonde up, or sonde supervise): it enters itself');
        ELSE
            PERFORM sonde_refuse('toolspecs', 'monhost', 'say which monitoring host is to measure', 'one of ' || sonde_some(hosts));
        END IF;
    ELSIF (is_new OR NEW.monhost <> OLD.monhost) AND NOT EXISTS (SELECT FROM monhosts WHERE name = NEW.monhost) THEN
        PERFORM sonde_refuse('toolspecs', 'monhost', format('there is no monitoring host "%s"', NEW.monhost),
            'known monitoring hosts: ' || sonde_some(ARRAY(SELECT name FROM monhosts ORDER BY name)));
    END IF;
    IF NEW.label IS NULL OR NEW.label <> btrim(NEW.label) OR sonde_has_hidden(NEW.label) OR length(NEW.label) > 100 THEN
        PERFORM sonde_refuse('toolspecs', 'label', CASE WHEN NEW.label IS NULL THEN 'NULL is no good label' ELSE format('"%s" is no good label', left(NEW.label, 120)) END, 'at most 100 characters, no blanks at either end; '''' is right');
    END IF;

    IF NOT is_new AND (NEW.node, NEW.monhost, NEW.tool) IS DISTINCT FROM (OLD.node, OLD.monhost, OLD.tool) AND sonde_is_measured(OLD.id) THEN
        PERFORM sonde_refuse('toolspecs', CASE WHEN NEW.node <> OLD.node THEN 'node' WHEN NEW.tool <> OLD.tool THEN 'tool' ELSE 'monhost' END,
            format('spec %s has results, so its node, monhost and tool stay what they are', OLD.id),
            format('UPDATE toolspecs SET enabled = false WHERE id = %s, and insert a new spec', OLD.id));
    END IF;

    IF NOT is_new AND (NEW.node, NEW.monhost, NEW.tool) IS DISTINCT FROM (OLD.node, OLD.monhost, OLD.tool)
       AND EXISTS (SELECT FROM schedule WHERE monhost = OLD.monhost AND tool = OLD.tool AND toolspec_id = OLD.id AND state = 'claimed') THEN
        PERFORM sonde_refuse('toolspecs', CASE WHEN NEW.node <> OLD.node THEN 'node' WHEN NEW.tool <> OLD.tool THEN 'tool' ELSE 'monhost' END,
            format('a run of spec %s is under way, and its result is of %s to %s from %s', OLD.id, OLD.tool, OLD.node, OLD.monhost),
            format('UPDATE toolspecs SET enabled = false WHERE id = %s, and insert a new spec', OLD.id));
    END IF;

    problem := sonde_options_problem(t.options, NEW.options);
    IF problem IS NOT NULL THEN
        PERFORM sonde_refuse('toolspecs', 'options', problem, format('SELECT * FROM tool_options WHERE tool = ''%s'' shows what is right', NEW.tool));
    END IF;

    IF NEW.sampling IS DISTINCT FROM 'periodic' THEN
        PERFORM sonde_refuse('toolspecs', 'sampling', format('"%s" is not known', NEW.sampling),
            CASE NEW.sampling WHEN 'poisson' THEN 'poisson sampling comes with a later version; today it is ''periodic''' ELSE 'write ''periodic'', or leave it out' END);
    END IF;
    IF NEW.run_interval IS NOT NULL AND NEW.run_at IS NOT NULL THEN
        PERFORM sonde_refuse('toolspecs', 'run_at', format('both run_interval (%s) and run_at (%s) are given', NEW.run_interval, NEW.run_at), 'give one of them');
    END IF;
    IF NEW.run_interval IS NULL AND NEW.run_at IS NULL THEN
        PERFORM sonde_refuse('toolspecs', 'run_interval', 'neither run_interval nor run_at is given', 'give one of them: run_interval ''1 minute'', or run_at ''*/5 * * * *''');
    END IF;
    IF NEW.run_interval IS NOT NULL THEN
        IF extract(year FROM NEW.run_interval) <> 0 OR extract(month FROM NEW.run_interval) <> 0 THEN
            PERFORM sonde_refuse('toolspecs', 'run_interval', format('"%s" has no fixed length', NEW.run_interval), 'write days, hours, minutes or seconds, or use run_at');
        END IF;
        IF NEW.run_interval < interval '1 second' THEN
            PERFORM sonde_refuse('toolspecs', 'run_interval', format('"%s" is too short', NEW.run_interval), 'at least ''1 second''');
        END IF;
        IF NEW.run_interval > interval '366 days' THEN
            PERFORM sonde_refuse('toolspecs', 'run_interval', format('"%s" is too long', NEW.run_interval), 'at most ''366 days''');
        END IF;
    ELSE
        IF is_new OR NEW.run_at IS DISTINCT FROM OLD.run_at THEN
            problem := sonde_cron_problem(NEW.run_at);
            IF problem IS NOT NULL THEN
                PERFORM sonde_refuse('toolspecs', 'run_at', problem, 'five fields: minute hour day-of-month month day-of-week, for example ''*/5 * * * *''');
            END IF;
        END IF;
    END IF;
    IF NEW.time_zone IS NULL THEN
        PERFORM sonde_refuse('toolspecs', 'time_zone', 'a time zone is needed', 'leave it out to mean UTC');
    END IF;
    IF is_new AND NEW.time_zone IS DISTINCT FROM 'UTC' OR NOT is_new AND NEW.time_zone IS DISTINCT FROM OLD.time_zone THEN
        problem := sonde_time_zone_problem(NEW.time_zone);
        IF problem IS NOT NULL THEN
            PERFORM sonde_refuse('toolspecs', 'time_zone', problem, 'for example ''Europe/Berlin''');
        END IF;
    END IF;

    need := sonde_least_time(t.least_time, t.options, NEW.options);
    IF NEW.time_to_run IS NULL THEN
        NEW.time_to_run := t.time_to_run;
        -- What the options need may be more than usual, as long as it fits between two runs.
        IF need > sonde_interval_seconds(NEW.time_to_run) AND (NEW.run_interval IS NULL OR need + 5 <= sonde_interval_seconds(NEW.run_interval)) THEN
            NEW.time_to_run := make_interval(secs => ceil(need) + 5);
        END IF;
    END IF;
    IF extract(year FROM NEW.time_to_run) <> 0 OR extract(month FROM NEW.time_to_run) <> 0
       OR NEW.time_to_run < interval '1 second' OR NEW.time_to_run > interval '1 day' THEN
        PERFORM sonde_refuse('toolspecs', 'time_to_run', format('"%s" is not between one second and one day', NEW.time_to_run));
    END IF;
    IF need > sonde_interval_seconds(NEW.time_to_run) THEN
        PERFORM sonde_refuse('toolspecs', 'time_to_run', format('a run with these options takes %s s (%s) and does not fit into time_to_run %s',
            round(need::numeric, 3), t.least_time, NEW.time_to_run), 'give more time_to_run, or options that take less');
    END IF;

    IF need > sonde_interval_seconds(NEW.run_interval) AND NEW.enabled
       AND (is_new OR (NEW.options, NEW.run_interval) IS DISTINCT FROM (OLD.options, OLD.run_interval)) THEN
        RAISE NOTICE 'toolspecs.run_interval: a run with these options may take % s and the next is due after %: what is due meanwhile is missed as still running',
            round(need::numeric, 3), NEW.run_interval USING HINT = 'give a longer run_interval, or options that take less';
    END IF;

    NEW.test_type := coalesce(NEW.test_type, t.class);
    IF NEW.test_type NOT IN ('background', 'background-syn') THEN
        PERFORM sonde_refuse('toolspecs', 'test_type', format('"%s" is not known', NEW.test_type), '''background'' or ''background-syn''; left out it comes from the tool');
    END IF;
    IF NEW.days_to_analyze IS NULL OR NEW.days_to_analyze NOT BETWEEN 1 AND 36500 THEN
        PERFORM sonde_refuse('toolspecs', 'days_to_analyze', format('%s is not between 1 and 36500', coalesce(NEW.days_to_analyze::text, 'NULL')));
    END IF;
    IF NEW.enabled IS NULL THEN
        PERFORM sonde_refuse('toolspecs', 'enabled', 'must be true or false');
    END IF;

    IF is_new OR (NEW.node, NEW.monhost, NEW.tool, NEW.label) IS DISTINCT FROM (OLD.node, OLD.monhost, OLD.tool, OLD.label) THEN
        SELECT id INTO other FROM toolspecs
        WHERE monhost = NEW.monhost AND node = NEW.node AND tool = NEW.tool AND label = NEW.label AND id <> NEW.id;
        IF FOUND THEN
            PERFORM sonde_refuse('toolspecs', 'label', format('spec %s is already %s to "%s" from "%s" with label "%s"', other, NEW.tool, NEW.node, NEW.monhost, NEW.label),
                'give this one another label, or change that one');
        END IF;
    END IF;

    NEW.changed_xid := pg_current_xact_id();
    IF is_new THEN
        NEW.created_at := now();
        NEW.timing_since := now();
    ELSE
        NEW.created_at := OLD.created_at;
        NEW.timing_since := CASE
            WHEN (NEW.run_interval, NEW.run_at, NEW.time_zone, NEW.enabled, NEW.test_type)
                 IS DISTINCT FROM (OLD.run_interval, OLD.run_at, OLD.time_zone, OLD.enabled, OLD.test_type) THEN now()
            ELSE OLD.timing_since END;
        IF NEW.options <> OLD.options THEN
            INSERT INTO comments (node, toolspec_id, change, text)
            VALUES (NEW.node, NEW.id, true, format('options changed from %s to %s', OLD.options, NEW.options));
        END IF;
        -- Disabled, on another grid or another host: what has not started is void, not missed.
        IF NEW.timing_since IS DISTINCT FROM OLD.timing_since OR (NEW.monhost, NEW.tool) IS DISTINCT FROM (OLD.monhost, OLD.tool) THEN
            DELETE FROM schedule WHERE monhost = OLD.monhost AND tool = OLD.tool AND toolspec_id = OLD.id AND state = 'due';
        END IF;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_check_toolspec IS 'Row trigger of toolspecs: fills defaults, refuses wrong rows with a sentence, notes changes.';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON toolspecs FOR EACH ROW EXECUTE FUNCTION sonde_check_toolspec();

CREATE FUNCTION sonde_toolspec_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF sonde_is_measured(OLD.id) THEN
        PERFORM sonde_refuse('toolspecs', 'id', format('spec %s has results and cannot be deleted', OLD.id),
            format('UPDATE toolspecs SET enabled = false WHERE id = %s', OLD.id));
    END IF;
    IF EXISTS (SELECT FROM schedule WHERE monhost = OLD.monhost AND tool = OLD.tool AND toolspec_id = OLD.id AND state = 'claimed') THEN
        PERFORM sonde_refuse('toolspecs', 'id', format('a run of spec %s is under way, and its result would belong to nothing', OLD.id),
            format('UPDATE toolspecs SET enabled = false WHERE id = %s, or try again when it has ended', OLD.id));
    END IF;
    DELETE FROM schedule WHERE monhost = OLD.monhost AND tool = OLD.tool AND toolspec_id = OLD.id;
    INSERT INTO toolspecs_removed (toolspec_id) VALUES (OLD.id) ON CONFLICT DO NOTHING;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION sonde_toolspec_deleted IS 'Row trigger of toolspecs: a spec with results is not deleted.';
CREATE TRIGGER check_delete BEFORE DELETE ON toolspecs FOR EACH ROW EXECUTE FUNCTION sonde_toolspec_deleted();
CREATE TRIGGER tell_daemons AFTER INSERT OR UPDATE OR DELETE ON toolspecs FOR EACH STATEMENT EXECUTE FUNCTION sonde_config_changed();

CREATE FUNCTION sonde_node_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    used text;
BEGIN
    SELECT format('spec %s', id) INTO used FROM toolspecs WHERE node = OLD.name OR monhost = OLD.name LIMIT 1;
    IF used IS NULL THEN
        SELECT format('node "%s" as its parent', name) INTO used FROM nodes WHERE parent = OLD.name AND name <> OLD.name LIMIT 1;
    END IF;
    IF used IS NULL AND EXISTS (SELECT FROM monhosts WHERE name = OLD.name) THEN
        used := 'monhosts';
    END IF;
    IF used IS NULL THEN
        SELECT format('rule "%s"', name) INTO used FROM rules WHERE node = OLD.name LIMIT 1;
    END IF;
    IF used IS NULL THEN
        SELECT format('policy %s', id) INTO used FROM policies WHERE node = OLD.name LIMIT 1;
    END IF;
    IF used IS NULL THEN
        SELECT format('maintenance %s', id) INTO used FROM maintenance WHERE node = OLD.name LIMIT 1;
    END IF;
    IF used IS NOT NULL THEN
        PERFORM sonde_refuse('nodes', 'name', format('node "%s" is used by %s and cannot be deleted', OLD.name, used),
            format('UPDATE nodes SET enabled = false WHERE name = %L', OLD.name));
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION sonde_node_deleted IS 'Row trigger of nodes: a node that specs use is not deleted.';
CREATE TRIGGER check_delete BEFORE DELETE ON nodes FOR EACH ROW EXECUTE FUNCTION sonde_node_deleted();

CREATE FUNCTION sonde_monhost_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    spec bigint;
BEGIN
    SELECT id INTO spec FROM toolspecs WHERE monhost = OLD.name ORDER BY id LIMIT 1;
    IF FOUND THEN
        PERFORM sonde_refuse('monhosts', 'name', format('monitoring host "%s" is used by spec %s and cannot be deleted', OLD.name, spec),
            format('UPDATE toolspecs SET enabled = false WHERE monhost = %L, and stop sonde there', OLD.name));
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION sonde_monhost_deleted IS 'Row trigger of monhosts: a monitoring host that specs use is not deleted.';
CREATE TRIGGER check_delete BEFORE DELETE ON monhosts FOR EACH ROW EXECUTE FUNCTION sonde_monhost_deleted();

-- TRUNCATE asks no row trigger, and with CASCADE it takes rules and everybody's ladders along.
CREATE FUNCTION sonde_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: what is configured is not truncated', TG_TABLE_NAME USING HINT = 'DELETE FROM ' || TG_TABLE_NAME || ' says of each row whether it may go';
END $$;
COMMENT ON FUNCTION sonde_refuse_truncate IS 'Statement trigger of configuration: refuses TRUNCATE.';
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON nodes EXECUTE FUNCTION sonde_refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON monhosts EXECUTE FUNCTION sonde_refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON toolspecs EXECUTE FUNCTION sonde_refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON settings EXECUTE FUNCTION sonde_refuse_truncate();

CREATE VIEW tool_options AS
    SELECT t.name AS tool, e ->> 'name' AS option, e ->> 'type' AS type, e ->> 'default' AS default_value,
           e ->> 'min' AS least, e ->> 'max' AS most,
           (SELECT string_agg(v, ', ') FROM jsonb_array_elements_text(e -> 'values') v) AS values, e ->> 'meaning' AS meaning
    FROM tools t, jsonb_array_elements(t.options) WITH ORDINALITY AS x (e, i)
    ORDER BY t.name, i;
COMMENT ON VIEW tool_options IS 'The options of every tool, one row each, for people.';
-- +goose StatementEnd
