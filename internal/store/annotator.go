package store

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Annotator is the one annotator that works, on a connection that holds its lock.
type Annotator struct {
	conn *pgx.Conn
}

// Annotate tries to become the annotator that works; nil without error means
// that another is.
func (s *Store) Annotate(ctx context.Context) (*Annotator, error) {
	conn, err := s.alone(ctx, "annotator")
	if conn == nil {
		return nil, err
	}
	return &Annotator{conn}, nil
}

// Close gives the lock back.
func (a *Annotator) Close(ctx context.Context) { _ = a.conn.Close(ctx) }

// LookUps are the settings of look-ups.
type LookUps struct {
	Zone4, Zone6, NamesZone string // "": none is asked
	Names, PrivateNames     bool
	Server                  string // "": as the system resolves names
	PerSecond               int
}

// LookUps reads the settings. When they have changed since the last time, by
// whichever annotator, what was at rest is looked at again.
func (a *Annotator) LookUps(ctx context.Context) (l LookUps, err error) {
	err = pgx.BeginFunc(ctx, a.conn, func(tx pgx.Tx) error {
		var now, then string
		err := tx.QueryRow(ctx, `SELECT string_agg(value, ' ' ORDER BY name) FILTER (WHERE name <> 'lookups_per_second'), coalesce((SELECT settings FROM asn_mark), ''),
				max(value) FILTER (WHERE name = 'as_zone'), max(value) FILTER (WHERE name = 'as_zone6'), max(value) FILTER (WHERE name = 'as_names_zone'),
				bool_or(name = 'names_by_dns' AND value = 'on'), bool_or(name = 'names_of_private' AND value = 'on'),
				max(value) FILTER (WHERE name = 'dns_server'), max(value::int) FILTER (WHERE name = 'lookups_per_second')
			FROM settings WHERE name IN ('as_zone', 'as_zone6', 'as_names_zone', 'names_by_dns', 'names_of_private', 'dns_server', 'lookups_per_second')`).
			Scan(&now, &then, &l.Zone4, &l.Zone6, &l.NamesZone, &l.Names, &l.PrivateNames, &l.Server, &l.PerSecond)
		if err != nil || now == then {
			return err
		}
		_, err = tx.Exec(ctx, `WITH mark AS (UPDATE asn_mark SET settings = $1), names AS (UPDATE asninfo SET next_at = now() WHERE next_at = 'infinity' AND source = 'dns')
			UPDATE asn SET next_at = now() WHERE next_at = 'infinity'`, now)
		return err
	})
	if err != nil {
		return l, fmt.Errorf("read the settings of look-ups: %w", err)
	}
	return l, nil
}

// fewTransactions bring less than memory holds, whatever their size.
const fewTransactions = 1000

// Collect enters the addresses of hops and targets that new results have, with
// what the operator's table says of them, and notes that those known were seen.
// behind means that there is more; not many more than most rows of a table are read.
func (a *Annotator) Collect(ctx context.Context, most int) (entered int64, behind bool, err error) {
	err = pgx.BeginFunc(ctx, a.conn, func(tx pgx.Tx) error {
		var was *string
		var is string
		var anew, last, now, old time.Time
		if err := tx.QueryRow(ctx, `SELECT m.read::text, pg_current_snapshot()::text, coalesce(m.anew_at, '0001-01-01 00:00:00+00'), coalesce(m.whole_at, now()), now(), coalesce(`+oldest+`, '0001-01-01')
			FROM (SELECT) one LEFT JOIN asn_mark m ON true`).Scan(&was, &is, &anew, &last, &now, &old); err != nil {
			return err
		}
		seen, err := ParseSnapshot(is)
		if err != nil {
			return err
		}
		var read Snapshot
		if was != nil {
			if read, err = ParseSnapshot(*was); err != nil {
				return err
			}
		}
		// Before the first pass, or when the database was restored into another
		// server, where transactions count anew, the routes and the last hour tell
		// what there is.
		restored := read.Xmax > seen.Xmax
		if was == nil || restored {
			entered, err = enter(ctx, tx, `SELECT unnest(hops) FROM routeno
				UNION ALL SELECT a FROM `+addresses["routedata"]+` WHERE due_at > now() - interval '1 hour'
				UNION ALL SELECT a FROM `+addresses["pingdata"]+` WHERE due_at > now() - interval '1 hour'`)
		} else {
			// A look at hundreds of partitions costs more than what is new in them: no
			// second one for what few transactions can have brought.
			p := Part{Read: read, Seen: seen, Until: seen.Xmax, Anew: anew, Due: newSince(last, now, old)}
			if seen.Xmax-read.Xmin > fewTransactions {
				if p, err = partOf(ctx, tx, []string{"routedata", "pingdata"}, p, most); err != nil {
					return err
				}
			}
			behind = p.Until < seen.Xmax
			seen = seen.Before(p.Until)
			entered, err = enter(ctx, tx, `
				SELECT a FROM `+addresses["routedata"]+` WHERE `+p.ofResults()+`
				UNION ALL SELECT a FROM `+addresses["pingdata"]+` WHERE `+p.ofResults(), p.args()...)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO asn_mark (read, anew_at) VALUES ($1::text::pg_snapshot, CASE WHEN $2 THEN now() END)
			ON CONFLICT (only_one) DO UPDATE SET read = excluded.read, anew_at = coalesce(excluded.anew_at, asn_mark.anew_at),
				whole_at = CASE WHEN $3 THEN asn_mark.whole_at ELSE excluded.whole_at END`, seen.String(), restored, behind)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("collect addresses of new results: %w", err)
	}
	return entered, behind, nil
}

// addresses are tables with a row for each address of a result: a.
var addresses = map[string]string{
	"routedata": `routedata d, LATERAL (SELECT unnest(d.hops) UNION ALL SELECT unnest(d.hop_addresses) UNION ALL SELECT d.address) x (a)`,
	"pingdata":  `pingdata d, LATERAL (SELECT unnest(d.addresses) UNION ALL SELECT d.address) x (a)`,
}

// enter takes the addresses that a query gives. They are looked for one by one
// (OFFSET 0 keeps it so): a join of tables whose size has changed since it was
// planned compared each with each.
func enter(ctx context.Context, tx pgx.Tx, query string, args ...any) (int64, error) {
	var n int64
	err := tx.QueryRow(ctx, `
		WITH met AS MATERIALIZED (SELECT DISTINCT a FROM (`+query+`) AS x (a) WHERE a IS NOT NULL),
		placed AS MATERIALIZED (
			SELECT a, k.seen_at FROM met LEFT JOIN LATERAL (SELECT seen_at FROM asn WHERE address = a OFFSET 0) k ON true),
		again AS (
			UPDATE asn SET seen_at = now(), next_at = CASE WHEN next_at = 'infinity' AND special IS NULL THEN now() ELSE next_at END
			WHERE address = ANY (ARRAY(SELECT a FROM placed WHERE seen_at < now() - interval '1 day'))),
		fresh AS (
			INSERT INTO asn (address, asn, prefix, origins, asn_source, asn_at)
			SELECT a, t.asn, t.prefix, t.origins, CASE WHEN t.asn IS NOT NULL THEN 'table' END, CASE WHEN t.asn IS NOT NULL THEN now() END
			FROM placed LEFT JOIN LATERAL sonde_asn(a) t ON true
			WHERE seen_at IS NULL ON CONFLICT DO NOTHING RETURNING asn),
		numbers AS (
			INSERT INTO asninfo (asn, looked_up_at) SELECT DISTINCT asn, NULL::timestamptz FROM fresh WHERE asn IS NOT NULL ON CONFLICT DO NOTHING)
		SELECT count(*) FROM fresh`, args...).Scan(&n)
	return n, err
}

// DueAddress is an address whose turn it is.
type DueAddress struct {
	Address  netip.Addr
	Special  string // "" for one that may be looked up
	AS       uint32 // as known; 0 for none
	Table    bool   // by the operator's table
	ASAge    time.Duration
	NameAge  time.Duration // less than 0: never looked up
	Unseen   time.Duration // since it was measured last
	Failures int
	Overdue  time.Duration
}

// DueAS is an AS whose turn it is.
type DueAS struct {
	AS       uint32
	Failures int
}

// Due gives addresses and AS whose turn it is, no more than most of each.
func (a *Annotator) Due(ctx context.Context, most int) ([]DueAddress, []DueAS, error) {
	rows, err := a.conn.Query(ctx, `SELECT address, coalesce(special, ''), coalesce(asn, 0), coalesce(asn_source = 'table', false),
			coalesce(extract(epoch FROM clock_timestamp() - asn_at), -1)::float8, coalesce(extract(epoch FROM clock_timestamp() - name_at), -1)::float8,
			extract(epoch FROM clock_timestamp() - seen_at)::float8, failures, extract(epoch FROM clock_timestamp() - next_at)::float8
		FROM asn WHERE next_at <= clock_timestamp() ORDER BY next_at LIMIT $1`, most)
	if err != nil {
		return nil, nil, fmt.Errorf("look for addresses to look up: %w", err)
	}
	addresses, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d DueAddress, err error) {
		var as int64
		var asAge, nameAge, unseen, overdue float64
		err = row.Scan(&d.Address, &d.Special, &as, &d.Table, &asAge, &nameAge, &unseen, &d.Failures, &overdue)
		d.AS, d.ASAge, d.NameAge, d.Unseen, d.Overdue = uint32(as), seconds(asAge), seconds(nameAge), seconds(unseen), seconds(min(overdue, 1e8))
		return d, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look for addresses to look up: %w", err)
	}
	rows, err = a.conn.Query(ctx, `SELECT asn, failures FROM asninfo WHERE next_at <= clock_timestamp() ORDER BY next_at LIMIT $1`, most)
	if err != nil {
		return nil, nil, fmt.Errorf("look for AS to look up: %w", err)
	}
	systems, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d DueAS, err error) {
		var as int64
		err = row.Scan(&as, &d.Failures)
		d.AS = uint32(as)
		return d, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look for AS to look up: %w", err)
	}
	return addresses, systems, nil
}

// LookedUp is what look-ups of one address gave.
type LookedUp struct {
	Address netip.Addr
	Name    *string // not asked when nil; "" is none
	Origin  *Origin // not asked when nil; AS 0 is none
	Next    time.Duration
	Rest    bool // not Next, but when it is seen again or the settings change
	Failure error
}

// Origin is who announces an address.
type Origin struct {
	AS     uint32
	Prefix netip.Prefix
	All    []uint32 // when they are several
}

// LookedUpAS is what the look-up of one AS gave.
type LookedUpAS struct {
	AS            uint32
	Asked         bool
	Name, Country string
	Next          time.Duration
	Rest          bool
	Failure       error
}

// Save stores what was learnt in one transaction. What the operator's table
// says of an address meanwhile stays.
func (a *Annotator) Save(ctx context.Context, addresses []LookedUp, systems []LookedUpAS) error {
	batch := &pgx.Batch{}
	for _, l := range addresses {
		if o := l.Origin; o != nil {
			batch.Queue(`WITH done AS (UPDATE asn SET asn = $2, prefix = $3, origins = $4, asn_source = 'dns', asn_at = clock_timestamp()
					WHERE address = $1 AND asn_source IS DISTINCT FROM 'table' RETURNING asn)
				INSERT INTO asninfo (asn, looked_up_at) SELECT asn, NULL FROM done WHERE asn IS NOT NULL ON CONFLICT DO NOTHING`,
				l.Address, orNull(int64(o.AS), o.AS != 0), orNull(o.Prefix, o.Prefix.IsValid()), orNull(numbers(o.All), len(o.All) > 1))
		}
		if l.Name != nil {
			batch.Queue(`UPDATE asn SET name = nullif($2, ''), name_at = clock_timestamp() WHERE address = $1`, l.Address, *l.Name)
		}
		batch.Queue(`UPDATE asn SET next_at = `+next+`, failures = `+failures+`, failure = nullif($4, '') WHERE address = $1`, l.Address, l.Next.Seconds(), l.Rest, said(l.Failure))
	}
	for _, l := range systems {
		if l.Asked {
			batch.Queue(`UPDATE asninfo SET name = $2, country = $3, looked_up_at = clock_timestamp() WHERE asn = $1 AND source = 'dns'`, int64(l.AS), l.Name, l.Country)
		}
		batch.Queue(`UPDATE asninfo SET next_at = `+next+`, failures = `+failures+`, failure = nullif($4, '') WHERE asn = $1`, int64(l.AS), l.Next.Seconds(), l.Rest, said(l.Failure))
	}
	if batch.Len() == 0 {
		return nil
	}
	err := pgx.BeginFunc(ctx, a.conn, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return fmt.Errorf("store what was looked up: %w", err)
	}
	return nil
}

const (
	next     = `CASE WHEN $3 THEN 'infinity' ELSE clock_timestamp() + $2::float8 * interval '1 second' END`
	failures = `CASE WHEN $4 = '' THEN 0 ELSE failures + 1 END`
)

func orNull[T any](v T, is bool) *T {
	if is {
		return &v
	}
	return nil
}

func numbers(as []uint32) []int64 {
	out := make([]int64, len(as))
	for i, n := range as {
		out[i] = int64(n)
	}
	return out
}

func said(err error) string {
	if err == nil {
		return ""
	}
	text := strings.ToValidUTF8(err.Error(), "?")
	return strings.ToValidUTF8(text[:min(len(text), 300)], "")
}

// Forget deletes addresses that no kept result of a route has.
func (a *Annotator) Forget(ctx context.Context) (int64, error) {
	tag, err := a.conn.Exec(ctx, `DELETE FROM asn WHERE seen_at < now() - ((SELECT value::int FROM settings WHERE name = 'keep_days_routedata') + 1) * interval '1 day'`)
	if err != nil {
		return 0, fmt.Errorf("forget addresses: %w", err)
	}
	return tag.RowsAffected(), nil
}
