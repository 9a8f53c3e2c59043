-- +goose Up
-- +goose StatementBegin
-- The first columns of every data table. A data table is made by
--   CREATE TABLE xdata (LIKE run_columns INCLUDING ALL, …, PRIMARY KEY (toolspec_id, due_at)) PARTITION BY RANGE (due_at);
--   SELECT sonde_add_data_table('xdata');
-- No default may be volatile (clock_timestamp() is): COPY would write each row by
-- itself and not page by page.
CREATE TABLE run_columns (
    toolspec_id bigint NOT NULL,
    due_at      timestamptz NOT NULL,
    started_at  timestamptz,
    took_ms     double precision,
    outcome     text NOT NULL CONSTRAINT run_outcome CHECK (outcome IN ('ok', 'fail', 'missed')),
    reason      text,
    log         text,
    attempt     int NOT NULL DEFAULT 0,
    address     inet,
    late        boolean NOT NULL DEFAULT false,
    stored_at   timestamptz NOT NULL DEFAULT now(),
    stored_xid  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT run_reason CHECK (outcome = 'ok' OR coalesce(reason, '') <> '')
);
COMMENT ON TABLE run_columns IS 'Never filled: the pattern of the first columns of every data table.';
COMMENT ON COLUMN run_columns.toolspec_id IS 'The spec that ran.';
COMMENT ON COLUMN run_columns.due_at IS 'The instant the run was due; with toolspec_id the name of the run.';
COMMENT ON COLUMN run_columns.started_at IS 'When the probe started; NULL if it never did.';
COMMENT ON COLUMN run_columns.took_ms IS 'How long the probe took, in ms, by the monotonic clock.';
COMMENT ON COLUMN run_columns.outcome IS 'ok: measured (silence included). fail: nothing was learnt. missed: nobody has shown a result.';
COMMENT ON COLUMN run_columns.reason IS 'Why it failed or was missed, in words.';
COMMENT ON COLUMN run_columns.log IS 'The last log lines of a run that failed.';
COMMENT ON COLUMN run_columns.attempt IS 'Which claim of the run this is the end of; 0 for a run that a worker planned by itself.';
COMMENT ON COLUMN run_columns.address IS 'The address that was really measured.';
COMMENT ON COLUMN run_columns.late IS 'True: it came by way of the spool.';
COMMENT ON COLUMN run_columns.stored_at IS 'When the transaction began that stored the row.';
COMMENT ON COLUMN run_columns.stored_xid IS 'Transaction that stored it; the analyst reads what is new by it.';

CREATE TABLE data_tables (name text PRIMARY KEY);
COMMENT ON TABLE data_tables IS 'The tables that results go to.';
COMMENT ON COLUMN data_tables.name IS 'Name of the table.';

CREATE TABLE record_tables (name text PRIMARY KEY);
COMMENT ON TABLE record_tables IS 'Tables with day partitions, and a setting of how long they are kept, that hold no results: what the analyst records.';
COMMENT ON COLUMN record_tables.name IS 'Name of the table.';

-- Only the owner of a table may attach and drop partitions, and daemons need not
-- be the owner: both functions act with the owner's rights, on data tables only.
-- CREATE TABLE … PARTITION OF would lock the parent against every insert;
-- ATTACH does not.
CREATE FUNCTION sonde_make_partitions(parent text, from_day date, to_day date) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    d    date;
    part text;
    made int := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM data_tables WHERE name = parent UNION ALL SELECT FROM record_tables WHERE name = parent) THEN
        RAISE EXCEPTION 'there is no data table "%"', parent;
    END IF;
    FOR d IN SELECT x::date FROM generate_series(from_day, to_day, interval '1 day') x LOOP
        part := format('%s_%s', parent, to_char(d, 'YYYYMMDD'));
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        -- Two daemons may want the same partition at the same moment.
        PERFORM pg_advisory_xact_lock(hashtext('sonde partition'), hashtext(part));
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
            to_char(d, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(d + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION sonde_make_partitions IS 'Makes the day partitions (UTC) of a data table that are missing between two days; returns how many.';

CREATE FUNCTION sonde_drop_partitions(parent text, before_day date) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part    text;
    dropped int := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM data_tables WHERE name = parent UNION ALL SELECT FROM record_tables WHERE name = parent) THEN
        RAISE EXCEPTION 'there is no data table "%"', parent;
    END IF;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = parent::regclass AND c.relname ~ ('^' || parent || '_[0-9]{8}$') AND right(c.relname, 8) < to_char(before_day, 'YYYYMMDD')
        ORDER BY c.relname LIMIT 1
    LOOP
        EXECUTE format('DROP TABLE %I', part);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION sonde_drop_partitions IS 'Drops the oldest day partition of a data table that lies before a day; returns 1, or 0 when there is none. One at a time, so that each lock is short.';
REVOKE EXECUTE ON FUNCTION sonde_make_partitions, sonde_drop_partitions FROM PUBLIC;

CREATE FUNCTION sonde_make_runs_view() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parts text;
    count text;
BEGIN
    SELECT string_agg(format('SELECT toolspec_id, due_at, NULL::timestamptz AS until_at, 1 AS runs, outcome, reason, started_at, took_ms, attempt, address, late, stored_at FROM %I', name),
                      ' UNION ALL ' ORDER BY name),
           string_agg(format('(SELECT count(*)::int FROM %I d WHERE d.toolspec_id = g.toolspec_id AND d.due_at BETWEEN g.from_at AND g.until_at)', name),
                      ' - ' ORDER BY name)
    INTO parts, count FROM data_tables;
    EXECUTE 'CREATE OR REPLACE VIEW runs AS SELECT r.toolspec_id, s.monhost, s.node, s.tool, s.label, r.due_at, r.until_at, r.runs, r.outcome, r.reason, '
         || 'r.started_at, r.took_ms, r.attempt, r.address, r.late, r.stored_at FROM (' || parts
         || ' UNION ALL SELECT toolspec_id, from_at, until_at, left_over, ''missed'', reason, NULL, NULL, 0, NULL, false, stored_at FROM ('
         || 'SELECT g.*, g.runs - ' || count || ' AS left_over FROM gaps g) x WHERE left_over > 0'
         || ') r LEFT JOIN toolspecs s ON s.id = r.toolspec_id';
    COMMENT ON VIEW runs IS 'How every run of every tool ended, and the gaps: a gap is one row with runs > 1 at most, from due_at to until_at, less the results inside it.';
END $$;
COMMENT ON FUNCTION sonde_make_runs_view IS 'Makes the view runs anew from data_tables.';

-- The analyst reads what is new each second, by stored_xid, and that is no key of
-- partitions: a look at each of a year's takes longer than what is new in them. So it
-- looks at the last days, and at the days that stand here. Nobody waits for a
-- lock here: several rows may say the same.
CREATE TABLE old_days (
    day        date NOT NULL,
    stored_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE old_days IS 'Days, older than yesterday when it happened, of which results were stored: imported, or late. The scheduler deletes what has been read.';
COMMENT ON COLUMN old_days.day IS 'The day (UTC) of due_at.';
COMMENT ON COLUMN old_days.stored_xid IS 'Transaction that stored them.';

CREATE FUNCTION sonde_note_old_day() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    of_row date := (NEW.due_at AT TIME ZONE 'UTC')::date;
    noted  text := pg_current_xact_id()::text || ' ' || of_row::text;
BEGIN
    IF current_setting('sonde.old_day', true) IS DISTINCT FROM noted THEN
        INSERT INTO old_days (day) VALUES (of_row);
        PERFORM set_config('sonde.old_day', noted, true); -- a rollback takes both back
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sonde_note_old_day IS 'Notes the day of a result that is stored more than a day after it was due, once for each day and transaction.';

CREATE FUNCTION sonde_add_data_table(tab text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO data_tables VALUES (tab);
    EXECUTE format($t$CREATE TRIGGER note_old_day AFTER INSERT OR UPDATE ON %I FOR EACH ROW
        WHEN (NEW.due_at < now() - interval '1 day') EXECUTE FUNCTION sonde_note_old_day()$t$, tab);
    EXECUTE format('CREATE INDEX %I ON %I (stored_xid)', tab || '_new', tab);
    PERFORM sonde_make_partitions(tab, (now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 14);
    PERFORM sonde_make_runs_view();
END $$;
COMMENT ON FUNCTION sonde_add_data_table IS 'Enters a new data table: its index, its first partitions, its part of the view runs.';

CREATE TABLE pingdata (
    LIKE run_columns INCLUDING ALL,
    size_bytes    int,
    sent          int,
    received      int,
    duplicates    int,
    reordered     int,
    loss_pct      double precision,
    rtts_us       int[],
    rtt_min_ms    double precision,
    rtt_median_ms double precision,
    rtt_mean_ms   double precision,
    rtt_max_ms    double precision,
    rtt_stddev_ms double precision,
    ttl           int,
    ipdv_mean_ms  double precision,
    ipdv_iqr_ms   double precision,
    clp_pct       double precision,
    icmp_errors   jsonb,
    corrupted     int,
    user_stamped  int,
    addresses     inet[],
    PRIMARY KEY (toolspec_id, due_at)
) PARTITION BY RANGE (due_at);
COMMENT ON TABLE pingdata IS 'Results of ping: one row per run, the whole sample kept.';
COMMENT ON COLUMN pingdata.size_bytes IS 'Payload of each packet in bytes.';
COMMENT ON COLUMN pingdata.sent IS 'Packets sent, those included that our own kernel refused.';
COMMENT ON COLUMN pingdata.received IS 'Packets that were answered, duplicates not counted.';
COMMENT ON COLUMN pingdata.duplicates IS 'Answers beyond the first to the same packet.';
COMMENT ON COLUMN pingdata.reordered IS 'Answers that came after the answer to a later packet (RFC 4737: sequence number smaller than expected).';
COMMENT ON COLUMN pingdata.loss_pct IS 'Packets without answer, 100 × (sent − received) / sent.';
COMMENT ON COLUMN pingdata.rtts_us IS 'Round-trip times in µs in order of sending; NULL is a lost packet.';
COMMENT ON COLUMN pingdata.rtt_min_ms IS 'Least round-trip time.';
COMMENT ON COLUMN pingdata.rtt_median_ms IS 'Median round-trip time.';
COMMENT ON COLUMN pingdata.rtt_mean_ms IS 'Mean round-trip time.';
COMMENT ON COLUMN pingdata.rtt_max_ms IS 'Greatest round-trip time.';
COMMENT ON COLUMN pingdata.rtt_stddev_ms IS 'Sample standard deviation of the round-trip times (n − 1); NULL with fewer than two answers.';
COMMENT ON COLUMN pingdata.ttl IS 'Time to live of the answers as they arrived; NULL when not known.';
COMMENT ON COLUMN pingdata.ipdv_mean_ms IS 'Mean of the absolute differences of successive answers'' round-trip times (PingER''s IPD); NULL with fewer than two.';
COMMENT ON COLUMN pingdata.ipdv_iqr_ms IS 'Interquartile range of those differences.';
COMMENT ON COLUMN pingdata.clp_pct IS 'Share of the losses, the first left out, that follow a lost packet (conditional loss probability, Bolot 1993); NULL with fewer than two.';
COMMENT ON COLUMN pingdata.icmp_errors IS 'Refusals of our own kernel by errno, and ICMP errors by name and sender: {"ENETUNREACH": 10, "ttl_exceeded 192.0.2.1": 3}. Such packets count as sent and, unless answered all the same, lost.';
COMMENT ON COLUMN pingdata.corrupted IS 'Replies that brought back something else than was sent; they answer nothing.';
COMMENT ON COLUMN pingdata.addresses IS 'With the option addresses = each: those measured, in the order of rtts_us, which holds as many packets of each; NULL when it was one.';
COMMENT ON COLUMN pingdata.user_stamped IS 'Round-trip times of which the kernel did not stamp both ends: tens of microseconds less exact.';

CREATE TABLE routeno (
    toolspec_id   bigint NOT NULL,
    route_no      int NOT NULL,
    node          text NOT NULL,
    first_ttl     int NOT NULL DEFAULT 1,
    hops          inet[] NOT NULL,
    reached       boolean NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    times_seen    bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (toolspec_id, route_no)
);
-- Who crosses an address is asked when a route changes and on pages. A route seen
-- again changes none of its hops, so the index is written once for each new route.
CREATE INDEX routeno_hops ON routeno USING gin (hops);
COMMENT ON TABLE routeno IS 'Every distinct route a spec has seen has a number, which comes back when the route does. Routes once stored are never rewritten.';
COMMENT ON COLUMN routeno.toolspec_id IS 'The spec that saw the route.';
COMMENT ON COLUMN routeno.route_no IS 'The number; counted from 1, it means nothing else.';
COMMENT ON COLUMN routeno.node IS 'The node it leads to, by its name when the route was first seen.';
COMMENT ON COLUMN routeno.first_ttl IS 'Time to live of the first of hops: another one makes another route.';
COMMENT ON COLUMN routeno.hops IS 'One address per hop, that of the first flow; NULL is a silent hop. Silent hops at the end are left out.';
COMMENT ON COLUMN routeno.reached IS 'Whether it reaches the target.';
COMMENT ON COLUMN routeno.first_seen_at IS 'due_at of the first run that saw it.';
COMMENT ON COLUMN routeno.last_seen_at IS 'due_at of the last run that saw it.';
COMMENT ON COLUMN routeno.times_seen IS 'Runs that saw it.';

-- Two routes match when every hop that answered in both is the same, the end is
-- the same, and at most half of the hops are silent in one of them.
CREATE FUNCTION sonde_routes_match(a inet[], b inet[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT cardinality(a) = cardinality(b)
       AND a[cardinality(a)] = b[cardinality(b)]
       AND bool_and(x = y OR x IS NULL OR y IS NULL)
       AND count(*) FILTER (WHERE x IS NULL OR y IS NULL) * 2 <= count(*)
    FROM unnest(a, b) AS h (x, y)
$$;
COMMENT ON FUNCTION sonde_routes_match IS 'Whether two routes are the same when silent hops are wild cards.';

CREATE FUNCTION sonde_number_route() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    route inet[] := NEW.hops;
    ttl   int := greatest(coalesce(NEW.first_ttl, 1), 1);
    name  text;
BEGIN
    NEW.route_no := NULL;
    -- The trigger also fires for a row that ON CONFLICT will drop. A result that
    -- is there already was seen once, however often it is brought.
    IF EXISTS (SELECT FROM routedata d WHERE d.toolspec_id = NEW.toolspec_id AND d.due_at = NEW.due_at AND d.outcome <> 'missed') THEN
        RETURN NEW;
    END IF;
    WHILE cardinality(route) > 0 AND route[cardinality(route)] IS NULL LOOP
        route := route[:cardinality(route) - 1];
    END LOOP;
    IF coalesce(cardinality(route), 0) = 0 THEN
        RETURN NEW; -- nobody answered at all: no route was seen
    END IF;
    FOR attempt IN 1..2 LOOP
        SELECT r.route_no INTO NEW.route_no FROM routeno r
        WHERE r.toolspec_id = NEW.toolspec_id AND r.first_ttl = ttl AND r.hops = route AND r.reached = coalesce(NEW.reached, false);
        EXIT WHEN FOUND;
        SELECT r.route_no INTO NEW.route_no FROM routeno r
        WHERE r.toolspec_id = NEW.toolspec_id AND r.first_ttl = ttl AND r.reached = coalesce(NEW.reached, false) AND sonde_routes_match(r.hops, route)
        ORDER BY r.last_seen_at DESC, r.route_no DESC LIMIT 1;
        EXIT WHEN FOUND;
        -- Nobody else may number a route of this spec before we have looked again.
        PERFORM pg_advisory_xact_lock(hashtext('sonde routeno'), hashint8(NEW.toolspec_id));
    END LOOP;
    IF NEW.route_no IS NULL THEN
        SELECT coalesce(max(r.route_no), 0) + 1 INTO NEW.route_no FROM routeno r WHERE r.toolspec_id = NEW.toolspec_id;
        SELECT s.node INTO name FROM toolspecs s WHERE s.id = NEW.toolspec_id;
        INSERT INTO routeno (toolspec_id, route_no, node, first_ttl, hops, reached, first_seen_at, last_seen_at)
        VALUES (NEW.toolspec_id, NEW.route_no, coalesce(name, ''), ttl, route, coalesce(NEW.reached, false), NEW.due_at, NEW.due_at);
    ELSE
        UPDATE routeno r SET first_seen_at = least(r.first_seen_at, NEW.due_at), last_seen_at = greatest(r.last_seen_at, NEW.due_at), times_seen = r.times_seen + 1
        WHERE r.toolspec_id = NEW.toolspec_id AND r.route_no = NEW.route_no;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_number_route IS 'Row trigger of routedata: gives the route its number.';

CREATE TABLE routedata (
    LIKE run_columns INCLUDING ALL,
    method        text,
    first_ttl     int,
    hops          inet[],
    hop_addresses inet[],
    hop_rtts_us   int[],
    hop_codes     text[],
    hop_count     int,
    reached       boolean,
    rtt_ms        double precision,
    end_reason    text,
    icmp_errors   jsonb,
    hop_ttls      int[],
    hop_labels    text[],
    hop_interfaces text[],
    hop_notes     text[],
    hop_asked     int[],
    confidence    double precision,
    mtu           int,
    mtu_hop       int,
    route_no      int,
    PRIMARY KEY (toolspec_id, due_at)
) PARTITION BY RANGE (due_at);
COMMENT ON TABLE routedata IS 'Results of traceroute: one row per run, every probe of every hop kept.';
COMMENT ON COLUMN routedata.method IS 'How the probes were sent: icmp, udp or tcp.';
COMMENT ON COLUMN routedata.first_ttl IS 'Time to live of the first hop.';
COMMENT ON COLUMN routedata.hops IS 'One address per hop, that of the first flow; NULL is a silent hop. See hop_asked.';
COMMENT ON COLUMN routedata.hop_addresses IS 'Hops × flows: the address that answered each flow; NULL is silence, or a flow that was not asked there (hop_asked). More hops than hop_count where another path is longer.';
COMMENT ON COLUMN routedata.hop_rtts_us IS 'Hops × flows: round-trip time in µs; NULL is silence.';
COMMENT ON COLUMN routedata.hop_codes IS 'Hops × flows: !N !H !P !X … where the answer was an error, cksum where its ICMP checksum was wrong; NULL otherwise.';
COMMENT ON COLUMN routedata.hop_count IS 'Hops up to the end of the route.';
COMMENT ON COLUMN routedata.reached IS 'Whether the target answered.';
COMMENT ON COLUMN routedata.rtt_ms IS 'Round-trip time to the target; NULL when it was not reached.';
COMMENT ON COLUMN routedata.end_reason IS 'Why the route ends there: target, loop, silent, max_ttl, or the error.';
COMMENT ON COLUMN routedata.icmp_errors IS 'Refusals of our own kernel by errno, {"ENETUNREACH": 3}.';
COMMENT ON COLUMN routedata.hop_ttls IS 'Hops × flows: time to live with which the answer arrived. A way back of another length than the way there shows here; NULL is silence.';
COMMENT ON COLUMN routedata.hop_labels IS 'Hops × flows: MPLS labels the packet had at that router (RFC 4950), outermost first, as traceroute -e writes them: L=16004,E=0,S=1,T=1. NULL when no hop had any.';
COMMENT ON COLUMN routedata.hop_interfaces IS 'Hops × flows: what the router says of its interfaces (RFC 5837): in index=7 addr=192.0.2.1 name=xe-0/0/1 mtu=9000. NULL when no hop said anything.';
COMMENT ON COLUMN routedata.hop_notes IS 'Hops × flows, with commas between: nat (somebody before rewrites packets), qttl=0 (the packet ended with a TTL of 0: the router before forwards what it should not) or another number than 1 (a tunnel), rst (the port is closed), per-packet (of flow 1: packets of one flow go to several routers). NULL when there is nothing to note.';
COMMENT ON COLUMN routedata.hop_asked IS 'By how many flows each hop was asked. 0: its address in hops was told by other runs (option share), and none is in hop_addresses.';
COMMENT ON COLUMN routedata.confidence IS 'Option paths = all: the probability that no load-balanced path was missed, if routers choose by flow and favour no path; NULL otherwise.';
COMMENT ON COLUMN routedata.mtu IS 'Option mtu: bytes of the largest packet, IP header included, that the target answered; NULL when not asked for or not found in time.';
COMMENT ON COLUMN routedata.mtu_hop IS 'The last hop that larger packets reach; NULL when our own link is the narrowest, or when it is not known.';
COMMENT ON COLUMN routedata.route_no IS 'Number of the route in routeno; filled by the database.';
CREATE TRIGGER number_route BEFORE INSERT ON routedata FOR EACH ROW WHEN (NEW.outcome = 'ok') EXECUTE FUNCTION sonde_number_route();

SELECT sonde_add_data_table('pingdata'), sonde_add_data_table('routedata');

CREATE VIEW spec_state AS
    SELECT s.id AS toolspec_id, s.monhost, s.node, s.tool, s.label, s.enabled AND n.enabled AS enabled,
           coalesce(s.run_interval::text, s.run_at) AS timing,
           l.due_at AS last_due_at, l.outcome AS last_outcome, l.reason AS last_reason,
           c.next_due_at, coalesce(c.waiting, 0) AS waiting, coalesce(c.under_way, 0) AS under_way
    FROM toolspecs s
    JOIN nodes n ON n.name = s.node
    LEFT JOIN LATERAL (SELECT r.due_at, r.outcome, r.reason FROM runs r
                       WHERE r.toolspec_id = s.id AND r.due_at > now() - interval '2 days' - 2 * coalesce(s.run_interval, '1 day')
                       ORDER BY r.due_at DESC LIMIT 1) l ON true
    LEFT JOIN (SELECT q.toolspec_id, min(q.due_at) FILTER (WHERE q.state = 'due') AS next_due_at, count(*) FILTER (WHERE q.state = 'due') AS waiting,
                      count(*) FILTER (WHERE q.state = 'claimed') AS under_way
               FROM schedule q GROUP BY q.toolspec_id) c ON c.toolspec_id = s.id;
COMMENT ON VIEW spec_state IS 'Each spec with its last end and what of it is due or under way.';
-- +goose StatementEnd
