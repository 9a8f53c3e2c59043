-- +goose Up
-- +goose StatementBegin
CREATE TABLE daemons (
    monhost     text NOT NULL,
    name        text NOT NULL,
    pid         int NOT NULL,
    version     text NOT NULL,
    started_at  timestamptz NOT NULL,
    doing       text NOT NULL DEFAULT '',
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    promised_at timestamptz NOT NULL,
    lag         interval NOT NULL DEFAULT '0',
    spool_files int NOT NULL DEFAULT 0,
    facts       jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (monhost, name)
) WITH (fillfactor = 50);
COMMENT ON TABLE daemons IS 'What each daemon last reported. A copy for people: the supervisor trusts the files.';
COMMENT ON COLUMN daemons.monhost IS 'Monitoring host it runs on.';
COMMENT ON COLUMN daemons.name IS 'Its name, such as scheduler or worker-ping.';
COMMENT ON COLUMN daemons.pid IS 'Its process id.';
COMMENT ON COLUMN daemons.version IS 'Its version.';
COMMENT ON COLUMN daemons.started_at IS 'When it was started.';
COMMENT ON COLUMN daemons.doing IS 'What it is doing.';
COMMENT ON COLUMN daemons.reported_at IS 'When it reported last.';
COMMENT ON COLUMN daemons.promised_at IS 'When it promised to report again.';
COMMENT ON COLUMN daemons.lag IS 'How far it is behind its work.';
COMMENT ON COLUMN daemons.spool_files IS 'Files in the spool that are not loaded yet.';
COMMENT ON COLUMN daemons.facts IS 'Counters of its own: {"made": 120, "doubles": 0}.';

CREATE TABLE schema_info (
    only_one       boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    version        bigint NOT NULL,
    sha256         text NOT NULL,
    oldest_program text NOT NULL
);
COMMENT ON TABLE schema_info IS 'The version of this schema and the oldest program that may use it. One row.';
COMMENT ON COLUMN schema_info.only_one IS 'There is one row.';
COMMENT ON COLUMN schema_info.version IS 'Number of the newest migration.';
COMMENT ON COLUMN schema_info.sha256 IS 'Of the text of all migrations up to it: a program whose migrations were others must not use this schema.';
COMMENT ON COLUMN schema_info.oldest_program IS 'A daemon runs when its version is at least this.';

-- Roles belong to the whole server: others may make them at the same moment, and we may not have the right.
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['sonde_read', 'sonde_admin', 'sonde_daemon'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', r);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE NOTICE 'role % was not made: this database user may not create roles', r;
            END;
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sonde_read') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO sonde_read;
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO sonde_read;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sonde_admin') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO sonde_admin;
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO sonde_admin;
        GRANT INSERT, UPDATE, DELETE ON nodes, toolspecs, rules, maintenance, mediums, recipients, ladders, policies, comments, incidents TO sonde_admin;
        -- A run is asked for, or taken back; who makes it and when follows from its spec.
        GRANT INSERT (toolspec_id, due_at), DELETE ON schedule TO sonde_admin;
        GRANT INSERT ON toolspecs_removed TO sonde_admin;
        GRANT UPDATE ON settings, alerts TO sonde_admin;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sonde_daemon') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO sonde_daemon;
        ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO sonde_daemon;
        GRANT USAGE ON SCHEMA public TO sonde_daemon;
        GRANT EXECUTE ON FUNCTION sonde_make_partitions, sonde_drop_partitions, sonde_trim_schedule TO sonde_daemon;
    END IF;
END $$;
-- +goose StatementEnd
