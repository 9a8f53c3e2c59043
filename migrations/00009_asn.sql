-- +goose Up
-- +goose StatementBegin
CREATE TABLE asn (
    address    inet PRIMARY KEY,
    asn        bigint,
    prefix     cidr,
    asn_source text CONSTRAINT asn_asn_source_check CHECK (asn_source IN ('table', 'dns')),
    asn_at     timestamptz,
    name       text,
    name_at    timestamptz,
    next_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE asn IS 'Addresses of routers and targets with the AS that announces them and their name in DNS. Looked up after the measurement, never in its way; private, shared (CGN) and reserved addresses are not looked up.';
COMMENT ON COLUMN asn.address IS 'The address, of a hop in routedata.';
COMMENT ON COLUMN asn.asn IS 'Number of the AS that originates its prefix; NULL when nobody announces it, or when it is not known yet.';
COMMENT ON COLUMN asn.prefix IS 'The announced prefix that the address lies in.';
COMMENT ON COLUMN asn.asn_source IS 'Where the number is from: table (asprefixes) or dns.';
COMMENT ON COLUMN asn.asn_at IS 'When the AS was looked up; NULL when it has not been yet.';
COMMENT ON COLUMN asn.name IS 'Host name (PTR); NULL when there is none.';
COMMENT ON COLUMN asn.name_at IS 'When the name was looked up; NULL when it has not been yet.';
COMMENT ON COLUMN asn.next_at IS 'When it is looked up next.';

CREATE TABLE asninfo (
    asn          bigint PRIMARY KEY,
    name         text NOT NULL DEFAULT '',
    country      text NOT NULL DEFAULT '',
    source       text NOT NULL CONSTRAINT asninfo_source_check CHECK (source IN ('table', 'dns')),
    looked_up_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE asninfo IS 'Autonomous systems: name and country.';
COMMENT ON COLUMN asninfo.asn IS 'AS number.';
COMMENT ON COLUMN asninfo.name IS 'Its name, GEANT; empty when not known.';
COMMENT ON COLUMN asninfo.country IS 'Country of its registration, two letters; empty when not known.';
COMMENT ON COLUMN asninfo.source IS 'Where this is from: table (loaded by the operator) or dns.';
COMMENT ON COLUMN asninfo.looked_up_at IS 'When it was loaded or looked up.';

UPDATE schema_info SET version = 9;
-- +goose StatementEnd
