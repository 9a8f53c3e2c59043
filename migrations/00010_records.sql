-- +goose Up
-- +goose StatementBegin
-- What detectors that foretell write down, a row a stretch: a row a step would be
-- ten times the size. Real numbers are enough for what is drawn and read.
CREATE TABLE regdata (
    toolspec_id bigint NOT NULL,
    metric      text NOT NULL,
    from_at     timestamptz NOT NULL,
    step        interval NOT NULL,
    values      real[] NOT NULL,
    PRIMARY KEY (toolspec_id, metric, from_at, step)
) PARTITION BY RANGE (from_at);
COMMENT ON TABLE regdata IS 'Series on an even grid, as detectors read them; one row a stretch. regvalues has one row a step.';
COMMENT ON COLUMN regdata.toolspec_id IS 'The spec that was measured.';
COMMENT ON COLUMN regdata.metric IS 'The metric, without the tool; empty for methods that look at outcomes only.';
COMMENT ON COLUMN regdata.from_at IS 'The first step.';
COMMENT ON COLUMN regdata.step IS 'How far apart the steps are.';
COMMENT ON COLUMN regdata.values IS 'One number a step, in the unit of the metric; NULL is a hole.';

CREATE TABLE hwgraphs (
    toolspec_id bigint NOT NULL,
    rule        text NOT NULL,
    from_at     timestamptz NOT NULL,
    step        interval NOT NULL,
    forecast    real[] NOT NULL,
    low         real[] NOT NULL,
    high        real[] NOT NULL,
    PRIMARY KEY (toolspec_id, rule, from_at)
) PARTITION BY RANGE (from_at);
COMMENT ON TABLE hwgraphs IS 'What detectors expected, and its band; one row a stretch. hwbands has one row a step.';
COMMENT ON COLUMN hwgraphs.toolspec_id IS 'The spec that was measured.';
COMMENT ON COLUMN hwgraphs.rule IS 'The rule whose detector foretold it.';
COMMENT ON COLUMN hwgraphs.from_at IS 'The first step.';
COMMENT ON COLUMN hwgraphs.step IS 'How far apart the steps are.';
COMMENT ON COLUMN hwgraphs.forecast IS 'What was expected, one number a step, foretold before the step was known; NULL where nothing was.';
COMMENT ON COLUMN hwgraphs.low IS 'Lower edge of the band.';
COMMENT ON COLUMN hwgraphs.high IS 'Upper edge of the band.';

INSERT INTO record_tables VALUES ('regdata'), ('hwgraphs');
SELECT sonde_make_partitions(name, (now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 14) FROM record_tables;

CREATE VIEW regvalues AS
    SELECT r.toolspec_id, r.metric, r.from_at + (v.n - 1) * r.step AS at, v.value
    FROM regdata r, unnest(r.values) WITH ORDINALITY v (value, n);
COMMENT ON VIEW regvalues IS 'regdata with one row a step.';

CREATE VIEW hwbands AS
    SELECT h.toolspec_id, h.rule, h.from_at + (v.n - 1) * h.step AS at, v.forecast, v.low, v.high
    FROM hwgraphs h, unnest(h.forecast, h.low, h.high) WITH ORDINALITY v (forecast, low, high, n);
COMMENT ON VIEW hwbands IS 'hwgraphs with one row a step.';

CREATE TABLE hwalerts (
    toolspec_id bigint NOT NULL,
    rule        text NOT NULL,
    metric      text NOT NULL DEFAULT '',
    began_at    timestamptz NOT NULL,
    ended_at    timestamptz,
    forecast    double precision,
    low         double precision,
    high        double precision,
    value       double precision,
    score       double precision,
    alert_id    bigint,
    PRIMARY KEY (toolspec_id, rule, began_at)
);
CREATE INDEX hwalerts_began ON hwalerts (began_at);
CREATE UNIQUE INDEX hwalerts_one_open ON hwalerts (toolspec_id, rule) WHERE ended_at IS NULL;
COMMENT ON TABLE hwalerts IS 'Excursions: stretches in which a series left the band its detector foretold, whether or not an alert came of it.';
COMMENT ON COLUMN hwalerts.toolspec_id IS 'The spec that was measured.';
COMMENT ON COLUMN hwalerts.rule IS 'The rule whose detector found it.';
COMMENT ON COLUMN hwalerts.metric IS 'The metric, without the tool.';
COMMENT ON COLUMN hwalerts.began_at IS 'When it began, by the data.';
COMMENT ON COLUMN hwalerts.ended_at IS 'When it ended, by the data; NULL while it lasts.';
COMMENT ON COLUMN hwalerts.forecast IS 'What was expected where it was worst.';
COMMENT ON COLUMN hwalerts.low IS 'Lower edge of the band there.';
COMMENT ON COLUMN hwalerts.high IS 'Upper edge of the band there.';
COMMENT ON COLUMN hwalerts.value IS 'What was measured there.';
COMMENT ON COLUMN hwalerts.score IS 'How sure the detector was there, 0 to 1; NULL when it says nothing of that.';
COMMENT ON COLUMN hwalerts.alert_id IS 'The alert it raised or fed; NULL for none.';
-- +goose StatementEnd
