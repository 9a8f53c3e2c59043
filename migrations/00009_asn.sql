-- +goose Up
-- +goose StatementBegin
-- The special-purpose registries of IANA (RFC 6890) and what is no unicast
-- address at all. Anycast addresses that are reachable worldwide though they lie
-- in such a block (AS112, 192.0.0.9) are few and left out with it. 6to4 and
-- Teredo carry the address of some host in IPv4 and belong to no AS of their own.
CREATE FUNCTION sonde_special_address(a inet) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN family(a) = 4 THEN CASE
            WHEN a <<= '10.0.0.0/8' OR a <<= '172.16.0.0/12' OR a <<= '192.168.0.0/16' THEN 'private'
            WHEN a <<= '100.64.0.0/10' THEN 'shared'
            WHEN a <<= '127.0.0.0/8' THEN 'loopback'
            WHEN a <<= '169.254.0.0/16' THEN 'link-local'
            WHEN a <<= '224.0.0.0/4' THEN 'multicast'
            WHEN a <<= '192.0.2.0/24' OR a <<= '198.51.100.0/24' OR a <<= '203.0.113.0/24' THEN 'documentation'
            WHEN a <<= '198.18.0.0/15' THEN 'benchmarking'
            WHEN a <<= '192.88.99.0/24' THEN '6to4'
            WHEN a <<= '0.0.0.0/8' OR a <<= '192.0.0.0/24' OR a <<= '240.0.0.0/4' THEN 'reserved'
        END
        WHEN a <<= 'fc00::/7' THEN 'private'
        WHEN a = '::1' THEN 'loopback'
        WHEN a <<= 'fe80::/10' THEN 'link-local'
        WHEN a <<= 'ff00::/8' THEN 'multicast'
        WHEN a <<= '2001:db8::/32' OR a <<= '3fff::/20' THEN 'documentation'
        WHEN a <<= '2001:2::/48' THEN 'benchmarking'
        WHEN a <<= '2001::/32' THEN 'Teredo'
        WHEN a <<= '2002::/16' THEN '6to4'
        WHEN a <<= '64:ff9b::/96' OR a <<= '64:ff9b:1::/48' THEN 'NAT64'
        WHEN a <<= '2001::/23' OR NOT a <<= '2000::/3' THEN 'reserved'
    END
$$;
COMMENT ON FUNCTION sonde_special_address IS 'What an address is that is not looked up: private (RFC 1918, RFC 4193), shared (CGN, RFC 6598), loopback, link-local, multicast, documentation, benchmarking, 6to4, Teredo, NAT64 or reserved; NULL for one that somebody may announce.';

CREATE TABLE asloads (
    kind      text PRIMARY KEY CONSTRAINT asloads_kind_check CHECK (kind IN ('prefixes', 'names')),
    files     text NOT NULL,
    form      text NOT NULL,
    entries   bigint NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    loaded_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE asloads IS 'Which tables of AS the operator has loaded (`sonde asn load`). A load replaces the one before of its kind.';
COMMENT ON COLUMN asloads.kind IS 'prefixes: who originates what, in asprefixes. names: names of AS, in asninfo.';
COMMENT ON COLUMN asloads.files IS 'Names of the files.';
COMMENT ON COLUMN asloads.form IS 'What they were: MRT, pfx2as, ….';
COMMENT ON COLUMN asloads.entries IS 'Prefixes or names in them.';
COMMENT ON COLUMN asloads.loaded_at IS 'When they were loaded.';
COMMENT ON COLUMN asloads.loaded_by IS 'Database user who loaded them.';

CREATE TABLE asprefixes (
    prefix  cidr NOT NULL,
    asn     bigint NOT NULL,
    origins bigint[]
);
-- The longest match in a table of 1.2 million prefixes takes 18 µs by this index
-- and 890 µs by GiST.
CREATE INDEX asprefixes_prefix ON asprefixes USING spgist (prefix inet_ops);
COMMENT ON TABLE asprefixes IS 'The operator''s table of prefixes and the AS that originate them. Filled by `sonde asn load`, replaced as a whole.';
COMMENT ON COLUMN asprefixes.prefix IS 'Announced prefix; each is there once.';
COMMENT ON COLUMN asprefixes.asn IS 'AS that originates it, by the majority of who sees it.';
COMMENT ON COLUMN asprefixes.origins IS 'All AS that originate it, the most seen first; NULL when it is one.';

CREATE FUNCTION sonde_asn(a inet) RETURNS TABLE (prefix cidr, asn bigint, origins bigint[]) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT p.prefix, p.asn, p.origins FROM asprefixes p WHERE p.prefix >>= a ORDER BY masklen(p.prefix) DESC LIMIT 1
$$;
COMMENT ON FUNCTION sonde_asn IS 'Longest match of an address in the operator''s table: SELECT * FROM sonde_asn(''192.0.2.1'').';

CREATE TABLE asn (
    address    inet PRIMARY KEY,
    special    text GENERATED ALWAYS AS (sonde_special_address(address)) STORED,
    asn        bigint,
    prefix     cidr,
    origins    bigint[],
    asn_source text CONSTRAINT asn_asn_source_check CHECK (asn_source IN ('table', 'dns')),
    asn_at     timestamptz,
    name       text,
    name_at    timestamptz,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    next_at    timestamptz NOT NULL DEFAULT now(),
    failures   int NOT NULL DEFAULT 0,
    failure    text
);
CREATE INDEX asn_next ON asn (next_at);
COMMENT ON TABLE asn IS 'Addresses of routers and targets with the AS that announces them and their name in DNS. Looked up after the measurement, never in its way; private, shared (CGN) and reserved addresses are not looked up.';
COMMENT ON COLUMN asn.address IS 'An address of a hop in routedata or of a target.';
COMMENT ON COLUMN asn.special IS 'Why it is not looked up: private, shared, loopback, … (sonde_special_address); NULL for one that is.';
COMMENT ON COLUMN asn.asn IS 'Number of the AS that originates its prefix; NULL when nobody announces it, or when it is not known yet. One that is announced by several keeps the AS it had.';
COMMENT ON COLUMN asn.prefix IS 'The announced prefix that the address lies in.';
COMMENT ON COLUMN asn.origins IS 'All AS that originate the prefix; NULL when it is one.';
COMMENT ON COLUMN asn.asn_source IS 'Where the number is from: table (asprefixes) or dns.';
COMMENT ON COLUMN asn.asn_at IS 'When the AS was looked up; NULL when it has not been yet.';
COMMENT ON COLUMN asn.name IS 'Host name (PTR); NULL when there is none.';
COMMENT ON COLUMN asn.name_at IS 'When the name was looked up; NULL when it has not been yet.';
COMMENT ON COLUMN asn.seen_at IS 'When it was measured last, to within a day.';
COMMENT ON COLUMN asn.next_at IS 'When it is looked up next; infinity while nothing is to be asked.';
COMMENT ON COLUMN asn.failures IS 'Look-ups that got no answer since the last that did.';
COMMENT ON COLUMN asn.failure IS 'What the last of them said.';

CREATE TABLE asninfo (
    asn          bigint PRIMARY KEY,
    name         text NOT NULL DEFAULT '',
    country      text NOT NULL DEFAULT '',
    source       text NOT NULL DEFAULT 'dns' CONSTRAINT asninfo_source_check CHECK (source IN ('table', 'dns')),
    looked_up_at timestamptz DEFAULT now(),
    next_at      timestamptz NOT NULL DEFAULT now(),
    failures     int NOT NULL DEFAULT 0,
    failure      text
);
CREATE INDEX asninfo_next ON asninfo (next_at);
COMMENT ON TABLE asninfo IS 'Autonomous systems: name and country.';
COMMENT ON COLUMN asninfo.asn IS 'AS number.';
COMMENT ON COLUMN asninfo.name IS 'Its name, GEANT; empty when not known.';
COMMENT ON COLUMN asninfo.country IS 'Country of its registration, two letters; empty when not known.';
COMMENT ON COLUMN asninfo.source IS 'Where this is from: table (loaded by the operator) or dns.';
COMMENT ON COLUMN asninfo.looked_up_at IS 'When it was loaded or looked up; NULL when it has not been yet.';
COMMENT ON COLUMN asninfo.next_at IS 'When it is looked up next; infinity while nothing is to be asked.';
COMMENT ON COLUMN asninfo.failures IS 'Look-ups that got no answer since the last that did.';
COMMENT ON COLUMN asninfo.failure IS 'What the last of them said.';

CREATE TABLE asn_mark (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    read     pg_snapshot NOT NULL,
    whole_at timestamptz NOT NULL DEFAULT now(),
    anew_at  timestamptz,
    settings text NOT NULL DEFAULT ''
);
COMMENT ON TABLE asn_mark IS 'How far the annotator has read. One row, or none before its first pass.';
COMMENT ON COLUMN asn_mark.only_one IS 'There is one row.';
COMMENT ON COLUMN asn_mark.read IS 'Results of transactions visible in it are read.';
COMMENT ON COLUMN asn_mark.whole_at IS 'When all results that were there had been read last.';
COMMENT ON COLUMN asn_mark.anew_at IS 'Results stored before are read, whatever their stored_xid: the database was restored into a server that counts transactions anew. NULL: it was not.';
COMMENT ON COLUMN asn_mark.settings IS 'The settings of look-ups that rows at rest were put to rest by.';

INSERT INTO settings (name, value, kind, least, most, meaning) VALUES
    ('as_zone', 'origin.asn.cymru.com', 'domain', NULL, NULL, 'Zone that tells the AS of an IPv4 address which no loaded table knows, in the form of Team Cymru; empty: none is asked. Who runs it learns which routers you see.'),
    ('as_zone6', 'origin6.asn.cymru.com', 'domain', NULL, NULL, 'The same for IPv6.'),
    ('as_names_zone', 'asn.cymru.com', 'domain', NULL, NULL, 'Zone that tells the names of AS; empty: none is asked.'),
    ('names_by_dns', 'on', 'switch', NULL, NULL, 'Whether the names of addresses (PTR) are asked for.'),
    ('names_of_private', 'off', 'switch', NULL, NULL, 'Whether those of private and shared addresses are, too: for a name server that has reverse zones for them.'),
    ('dns_server', '', 'name_server', NULL, NULL, 'Name server for these look-ups, 192.0.2.53 or [2001:db8::53]:5353; empty: as this system resolves names.'),
    ('lookups_per_second', '20', 'int', 1, 1000, 'So many of these look-ups are made a second at most.');

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sonde_admin') THEN
        GRANT INSERT, UPDATE, DELETE ON asn, asninfo, asprefixes, asloads TO sonde_admin;
    END IF;
END $$;

UPDATE schema_info SET version = 9;
-- +goose StatementEnd
