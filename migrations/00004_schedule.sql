-- +goose Up
-- +goose StatementBegin
-- schedule holds only what is due or under way: rows come a few seconds before
-- their instant and leave in the transaction that stores their end. It stays
-- small after a billion runs because (1) dead rows are vacuumed soon and without
-- pause, (2) claims look only between now - tolerance and now + a few seconds
-- of an index that begins with the worker's own (monhost, tool), so that dead
-- entries outside that window are never visited, and (3) nothing here is wider
-- than a claim needs. That index is the only one and serves as the key as well:
-- a spec has one monitoring host and one tool, and what comes next goes to its
-- end, not to a page of its own for each spec. It knows no column that a claim
-- changes, and a page has room for the second version of each row: a claim stays
-- in its page (HOT) and writes into no index. What is claimed is stepped over by
-- later claims. Columns of one length come first: PostgreSQL knows where those
-- lie, and has to look for what comes after the first text. Vacuum leaves empty
-- pages at the end to the next rows, which else would lengthen the table page by
-- page after every vacuum; sonde_trim_schedule has it give them back if they are many.
CREATE TABLE schedule (
    toolspec_id bigint NOT NULL,
    due_at      timestamptz NOT NULL DEFAULT now(),
    start_by    timestamptz NOT NULL,
    lease_until timestamptz,
    attempt     int NOT NULL DEFAULT 0,
    state       text NOT NULL DEFAULT 'due',
    monhost     text NOT NULL,
    tool        text NOT NULL,
    claimed_by  text,
    CONSTRAINT "schedule.due_at is taken: this run is planned already" PRIMARY KEY (monhost, tool, due_at, toolspec_id),
    CONSTRAINT schedule_state CHECK (state IN ('due', 'claimed'))
) WITH (fillfactor = 50, vacuum_truncate = false, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000);
COMMENT ON TABLE schedule IS 'One row per scheduled run, from a few seconds before it is due until its end is stored. INSERT INTO schedule (toolspec_id) VALUES (7) means: run it now.';
COMMENT ON COLUMN schedule.toolspec_id IS 'The spec that runs.';
COMMENT ON COLUMN schedule.due_at IS 'The instant it is due; with toolspec_id the name of the run.';
COMMENT ON COLUMN schedule.start_by IS 'It may not start later than this: due_at and the start tolerance.';
COMMENT ON COLUMN schedule.lease_until IS 'End of the lease, once there is one: start_by + time_to_run + 5 s. What has not ended then is missed.';
COMMENT ON COLUMN schedule.attempt IS 'How often it was claimed; with the key the fence of a lease.';
COMMENT ON COLUMN schedule.state IS 'due: nobody has it. claimed: a worker holds a lease on it.';
COMMENT ON COLUMN schedule.monhost IS 'Monitoring host that is to make it; filled from the spec.';
COMMENT ON COLUMN schedule.tool IS 'Tool that is to make it; filled from the spec.';
COMMENT ON COLUMN schedule.claimed_by IS 'The worker that holds the lease.';

-- Only for rows inserted by hand: the scheduler fills monhost, tool, start_by and
-- lease_until itself. What lies outside of these years is refused here as well, because a
-- run ends in the partition of its day, and 'infinity' or a year BC has none.
CREATE FUNCTION sonde_fill_schedule() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    enabled boolean;
    to_run  interval;
BEGIN
    IF NEW.toolspec_id IS NULL THEN
        PERFORM sonde_refuse('schedule', 'toolspec_id', 'say which spec is to run', 'INSERT INTO schedule (toolspec_id) VALUES (7)');
    END IF;
    SELECT s.monhost, s.tool, s.enabled AND n.enabled, s.time_to_run INTO NEW.monhost, NEW.tool, enabled, to_run
    FROM toolspecs s JOIN nodes n ON n.name = s.node WHERE s.id = NEW.toolspec_id;
    IF NOT FOUND THEN
        PERFORM sonde_refuse('schedule', 'toolspec_id', format('there is no spec %s', NEW.toolspec_id), 'SELECT id, tool, node FROM toolspecs');
    END IF;
    IF NOT enabled THEN -- its runs are dropped unstarted
        PERFORM sonde_refuse('schedule', 'toolspec_id', format('spec %s or its node is disabled', NEW.toolspec_id), 'enable both to have it run');
    END IF;
    IF NEW.due_at IS NULL THEN
        NEW.due_at := now();
    END IF;
    IF NEW.due_at > now() + interval '1 day' OR NEW.due_at < now() - interval '1 day' THEN
        PERFORM sonde_refuse('schedule', 'due_at', format('%s is more than a day away', NEW.due_at), 'leave it out to run now');
    END IF;
    NEW.start_by := NEW.due_at + make_interval(secs => sonde_setting_seconds('start_tolerance'));
    NEW.state := 'due';
    NEW.attempt := 0;
    NEW.claimed_by := NULL;
    NEW.lease_until := NEW.start_by + to_run + interval '5 seconds';
    PERFORM pg_notify('sonde_due', NEW.monhost || '/' || NEW.tool);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sonde_fill_schedule IS 'Row trigger of schedule for rows inserted by hand: fills what follows from the spec.';
CREATE TRIGGER fill_row BEFORE INSERT ON schedule FOR EACH ROW
    WHEN (NEW.tool IS NULL OR NEW.start_by IS NULL OR NEW.due_at NOT BETWEEN '2000-01-01Z' AND '2200-01-01Z')
    EXECUTE FUNCTION sonde_fill_schedule();

-- Only the owner may change a table's settings, and daemons need not be the owner.
CREATE FUNCTION sonde_trim_schedule(most bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    trim boolean := pg_relation_size('schedule') > most;
BEGIN
    IF trim = EXISTS (SELECT FROM pg_class WHERE oid = 'schedule'::regclass AND 'vacuum_truncate=false' = ANY (reloptions)) THEN
        EXECUTE format('ALTER TABLE schedule SET (vacuum_truncate = %s)', trim);
    END IF;
END $$;
COMMENT ON FUNCTION sonde_trim_schedule IS 'Has vacuum give the empty end of schedule back to the disk while the table is longer than most bytes, as an old transaction may leave it.';
REVOKE EXECUTE ON FUNCTION sonde_trim_schedule FROM PUBLIC;

CREATE TABLE schedule_mark (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    planned_to timestamptz NOT NULL,
    leader     text NOT NULL DEFAULT '',
    seen       pg_snapshot,
    moved_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schedule_mark IS 'The high-water mark of planning: every instant up to it is a row of schedule, a result or part of a gap. One row, written by the leading scheduler only.';
COMMENT ON COLUMN schedule_mark.only_one IS 'There is one row.';
COMMENT ON COLUMN schedule_mark.planned_to IS 'Instants up to here are planned.';
COMMENT ON COLUMN schedule_mark.leader IS 'The scheduler that moved it last: monitoring host and pid.';
COMMENT ON COLUMN schedule_mark.seen IS 'What that scheduler had read of toolspecs and nodes: the next one plans newer specs from their own beginning.';
COMMENT ON COLUMN schedule_mark.moved_at IS 'When it was moved last.';

CREATE TABLE clock_steps (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds    double precision NOT NULL,
    from_at    timestamptz NOT NULL,
    until_at   timestamptz NOT NULL
);
COMMENT ON TABLE clock_steps IS 'Steps of the database''s clock against the monotonic clock, seen by the leading scheduler.';
COMMENT ON COLUMN clock_steps.id IS 'Number of the row.';
COMMENT ON COLUMN clock_steps.at IS 'When it was seen, by the clock after the step.';
COMMENT ON COLUMN clock_steps.seconds IS 'How far the clock went: more than 0 forward, less than 0 backward.';
COMMENT ON COLUMN clock_steps.from_at IS 'Forward: the skipped time begins. Backward: the time that comes again begins.';
COMMENT ON COLUMN clock_steps.until_at IS 'End of that time. Instants that come again get due_at + n microseconds, n being the backward steps that cover them.';

CREATE TABLE gaps (
    toolspec_id bigint NOT NULL,
    from_at     timestamptz NOT NULL,
    until_at    timestamptz NOT NULL,
    runs        int NOT NULL CHECK (runs > 0),
    reason      text NOT NULL,
    quiet       boolean NOT NULL DEFAULT false,
    stored_at   timestamptz NOT NULL DEFAULT now(),
    stored_xid  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (toolspec_id, from_at)
);
CREATE INDEX gaps_new ON gaps (stored_xid);
COMMENT ON TABLE gaps IS 'Instants that never became a schedule row: one row per spec and gap, written by the leading scheduler only. A data row inside a gap wins.';
COMMENT ON COLUMN gaps.toolspec_id IS 'The spec whose instants they are.';
COMMENT ON COLUMN gaps.from_at IS 'The first instant of the gap.';
COMMENT ON COLUMN gaps.until_at IS 'Nothing was planned up to here.';
COMMENT ON COLUMN gaps.runs IS 'How many instants.';
COMMENT ON COLUMN gaps.reason IS 'Why, in words.';
COMMENT ON COLUMN gaps.quiet IS 'True for a stepped clock: no data alert comes of it.';
COMMENT ON COLUMN gaps.stored_at IS 'When the transaction began that stored the row.';
COMMENT ON COLUMN gaps.stored_xid IS 'Transaction that stored it; the analyst reads what is new by it.';
-- +goose StatementEnd
