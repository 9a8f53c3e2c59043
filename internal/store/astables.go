package store

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// ASPrefix is a prefix of the operator's table and who originates it, the most seen first.
type ASPrefix struct {
	Prefix  netip.Prefix
	Origins []uint32
}

// ASName is a row of asninfo that the operator brings.
type ASName struct {
	AS            uint32
	Name, Country string
}

// ASLoad is a table that was loaded.
type ASLoad struct {
	Kind     string    `json:"kind"` // "prefixes" or "names"
	Files    string    `json:"files"`
	Form     string    `json:"form"`
	Entries  int64     `json:"entries"`
	LoadedAt time.Time `json:"loaded_at"`
	LoadedBy string    `json:"loaded_by"`
}

// LoadPrefixes replaces the operator's table of prefixes, and does over what
// asn has by it. Readers see the old table until the commit, the new one after.
// It gives how many prefixes there are, and how many addresses the table knows.
func (s *Store) LoadPrefixes(ctx context.Context, files, form string, prefixes iter.Seq[ASPrefix]) (entries, known int64, err error) {
	err = s.loading(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM asprefixes`); err != nil {
			return err
		}
		next, stop := iter.Pull(prefixes)
		defer stop()
		entries, err = tx.CopyFrom(ctx, pgx.Identifier{"asprefixes"}, []string{"prefix", "asn", "origins"}, pgx.CopyFromFunc(func() ([]any, error) {
			p, more := next()
			if !more {
				return nil, nil
			}
			var all any
			if len(p.Origins) > 1 {
				all = numbers(p.Origins)
			}
			return []any{p.Prefix, bigint(int64(p.Origins[0])), all}, nil
		}))
		if err != nil {
			return err
		}
		// The annotator stores look-ups meanwhile, in an order of its own.
		if _, err := tx.Exec(ctx, `LOCK TABLE asn IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE asn SET asn = CASE WHEN asn.asn = ANY (t.origins) THEN asn.asn ELSE t.asn END, prefix = t.prefix, origins = t.origins, asn_source = 'table', asn_at = now()
			FROM asn a CROSS JOIN LATERAL sonde_asn(a.address) t WHERE asn.address = a.address`)
		if err != nil {
			return err
		}
		known = tag.RowsAffected()
		// What the table before knew and this one does not is to be asked for.
		if _, err := tx.Exec(ctx, `UPDATE asn SET asn = NULL, prefix = NULL, origins = NULL, asn_source = NULL, asn_at = NULL, next_at = now() WHERE asn_source = 'table' AND NOT EXISTS (SELECT FROM sonde_asn(address))`); err != nil {
			return err
		}
		return loaded(ctx, tx, "prefixes", files, form, entries)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("load the table of prefixes: %w", err)
	}
	return entries, known, nil
}

// LoadASNames replaces the names of AS that were loaded before; they win over
// those from DNS.
func (s *Store) LoadASNames(ctx context.Context, files, form string, names []ASName) error {
	err := s.loading(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE asninfo IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		as := make(bigints, len(names))
		for i, n := range names {
			as[i] = bigint(int64(n.AS))
		}
		if _, err := tx.Exec(ctx, `DELETE FROM asninfo WHERE source = 'table' OR asn = ANY ($1)`, as); err != nil {
			return err
		}
		never := pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"asninfo"}, []string{"asn", "name", "country", "source", "next_at"}, pgx.CopyFromSlice(len(names), func(i int) ([]any, error) {
			return []any{as[i], names[i].Name, names[i].Country, "table", never}, nil
		}))
		if err != nil {
			return err
		}
		return loaded(ctx, tx, "names", files, form, int64(len(names)))
	})
	if err != nil {
		return fmt.Errorf("load the names of AS: %w", err)
	}
	return nil
}

// loading runs f in a transaction, one load at a time and for as long as it takes.
func (s *Store) loading(ctx context.Context, f func(pgx.Tx) error) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		for _, sql := range []string{`SET LOCAL statement_timeout = 0`, `SET LOCAL jit = off`, `SELECT pg_advisory_xact_lock(hashtext('sonde asn load'))`} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return f(tx)
	})
}

// loaded notes a load, and enters the AS that addresses have and nobody has a name for.
func loaded(ctx context.Context, tx pgx.Tx, kind, files, form string, entries int64) error {
	if _, err := tx.Exec(ctx, `INSERT INTO asninfo (asn, looked_up_at) SELECT DISTINCT asn, NULL::timestamptz FROM asn WHERE asn IS NOT NULL ON CONFLICT DO NOTHING`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO asloads (kind, files, form, entries) VALUES ($1, $2, $3, $4)
		ON CONFLICT (kind) DO UPDATE SET files = excluded.files, form = excluded.form, entries = excluded.entries, loaded_at = now(), loaded_by = session_user`, kind, files, form, entries)
	return err
}

// ASOverview is how much is known.
type ASOverview struct {
	Loads     []ASLoad   `json:"loads"`
	Addresses int64      `json:"addresses"`
	Special   int64      `json:"special"`      // private and the like: not looked up
	Waiting   int64      `json:"waiting"`      // for a look-up that is due
	WaitSince *time.Time `json:"wait_since"`   // since when the oldest of them does
	Failing   int64      `json:"failing"`      // whose last look-up got no answer
	Failure   string     `json:"last_failure"` // of one of them
	Named     int64      `json:"named"`
	ByTable   int64      `json:"as_by_table"`
	ByDNS     int64      `json:"as_by_dns"`
	Systems   int64      `json:"systems"` // AS of these addresses
	NamedAS   int64      `json:"systems_named"`
}

// ASOverview counts what is known.
func (s *Store) ASOverview(ctx context.Context) (ASOverview, error) {
	o := ASOverview{}
	rows, err := s.pool.Query(ctx, `SELECT kind, files, form, entries, loaded_at, loaded_by FROM asloads ORDER BY kind DESC`)
	if err == nil {
		o.Loads, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ASLoad])
	}
	if err == nil {
		err = s.pool.QueryRow(ctx, `SELECT count(*), count(special), count(*) FILTER (WHERE next_at < now()), min(next_at) FILTER (WHERE next_at < now()),
				count(*) FILTER (WHERE failures > 0), coalesce(max(failure), ''), count(name), count(asn) FILTER (WHERE asn_source = 'table'), count(asn) FILTER (WHERE asn_source = 'dns'),
				count(DISTINCT asn), count(DISTINCT asn) FILTER (WHERE EXISTS (SELECT FROM asninfo i WHERE i.asn = a.asn AND i.name <> ''))
			FROM asn a`).Scan(&o.Addresses, &o.Special, &o.Waiting, &o.WaitSince, &o.Failing, &o.Failure, &o.Named, &o.ByTable, &o.ByDNS, &o.Systems, &o.NamedAS)
	}
	if err != nil {
		return o, fmt.Errorf("count what is known of addresses: %w", err)
	}
	return o, nil
}

// KnownAddress is what is known of one address. Of one that no result has, it is
// what the table of prefixes says.
type KnownAddress struct {
	Address string     `json:"address"`
	Met     bool       `json:"met"`     // a result has it
	Special string     `json:"special"` // "" for one that is looked up
	AS      *int64     `json:"asn"`
	Origins []int64    `json:"origins"` // all, when they are several
	Prefix  *string    `json:"prefix"`
	ASName  string     `json:"as_name"`
	Country string     `json:"country"`
	Source  string     `json:"asn_source"` // "table", "dns" or "" for none
	ASAt    *time.Time `json:"asn_at"`     // nil: not looked up yet
	Name    *string    `json:"name"`
	NameAt  *time.Time `json:"name_at"` // nil: not looked up yet
	SeenAt  *time.Time `json:"seen_at"`
	NextAt  *time.Time `json:"next_at"` // nil: at rest
	Failure string     `json:"failure"`
}

// KnownAddresses gives what is known of addresses, in their order.
func (s *Store) KnownAddresses(ctx context.Context, addresses []netip.Addr) ([]KnownAddress, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT host(q.a), k.address IS NOT NULL, coalesce(sonde_special_address(q.a), ''), n.asn, CASE WHEN k.address IS NULL THEN t.origins ELSE k.origins END,
			CASE WHEN k.address IS NULL THEN t.prefix ELSE k.prefix END::text, coalesce(i.name, ''), coalesce(i.country, ''),
			coalesce(CASE WHEN k.address IS NOT NULL THEN k.asn_source WHEN t.asn IS NOT NULL THEN 'table' END, ''),
			k.asn_at, k.name, k.name_at, k.seen_at, CASE WHEN k.next_at < 'infinity' THEN k.next_at END, coalesce(k.failure, '')
		FROM unnest($1::inet[]) WITH ORDINALITY AS q (a, n)
		LEFT JOIN asn k ON k.address = q.a
		LEFT JOIN LATERAL sonde_asn(q.a) t ON k.address IS NULL
		CROSS JOIN LATERAL (SELECT CASE WHEN k.address IS NULL THEN t.asn ELSE k.asn END) AS n (asn)
		LEFT JOIN asninfo i ON i.asn = n.asn ORDER BY q.n`, addresses)
	if err != nil {
		return nil, fmt.Errorf("read what is known of addresses: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowToStructByPos[KnownAddress])
	if err != nil {
		return nil, fmt.Errorf("read what is known of addresses: %w", err)
	}
	return known, nil
}
