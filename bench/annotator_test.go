package bench

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sonde/internal/rib"
	"sonde/internal/store"
)

// BenchmarkCollecting is what the annotator reads of 10,000 traceroutes of 15
// hops a minute, in passes of ten seconds, among 400 partitions. Almost all
// addresses are known.
func BenchmarkCollecting(b *testing.B) {
	_, pool, drop := platform(b, 1, "1 hour")
	defer drop()
	ctx := context.Background()
	exec := func(sql string) {
		b.Helper()
		if _, err := pool.Exec(ctx, sql); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`SELECT sonde_make_partitions('routedata', current_date - 400, current_date)`)
	exec(`SELECT sonde_make_partitions('pingdata', current_date - 400, current_date)`)
	exec(`ALTER TABLE routedata DISABLE TRIGGER USER`) // numbering routes is another's cost
	a, err := store.New(pool).Annotate(ctx)
	if err != nil || a == nil {
		b.Fatal(a, err)
	}
	defer a.Close(ctx)
	collect := func() time.Duration {
		began := time.Now()
		if _, behind, err := a.Collect(ctx, 100000); err != nil || behind {
			b.Fatal(behind, err)
		}
		return time.Since(began)
	}
	collect()
	var busy, idle []float64
	for b.Loop() {
		for minute := range 5 {
			var took, nothing time.Duration
			for pass := range 6 {
				exec(`WITH paths AS (SELECT n, ARRAY(SELECT ('8.0.0.0'::inet + ((n * h * 7919) % 20000)) FROM generate_series(1, 15) h) AS hops FROM generate_series(1, 1667) n)
					INSERT INTO routedata (toolspec_id, due_at, outcome, address, hops, hop_addresses)
					SELECT n, now(), 'ok', hops[15], hops, (SELECT array_agg(ARRAY[h, h, h]) FROM unnest(hops) h) FROM paths`)
				if t := collect(); minute+pass > 0 { // the first enters 20,000 addresses
					took += t
				}
				nothing += collect()
			}
			busy, idle = append(busy, took.Seconds()*1000), append(idle, nothing.Seconds()*1000/6)
		}
	}
	spread(b, busy, "ms_a_minute")
	spread(b, idle, "ms_for_nothing")
}

// BenchmarkLongestPrefix loads 1.2 million prefixes and looks 20,000 addresses
// up, by our index and by GiST, by turns.
func BenchmarkLongestPrefix(b *testing.B) {
	_, pool, drop := platform(b, 1, "1 hour")
	defer drop()
	ctx := context.Background()
	var t rib.Tables
	r := rand.New(rand.NewPCG(1, 2))
	for range 1_000_000 {
		a := netip.AddrFrom4([4]byte{byte(1 + r.IntN(222)), byte(r.Uint32()), byte(r.Uint32()), 0})
		bits := 24
		if r.IntN(10) < 4 {
			bits = 12 + r.IntN(12)
		}
		t.Prefixes.Add(netip.PrefixFrom(a, bits), r.Uint32N(400000), 1)
	}
	for range 200_000 {
		a := netip.AddrFrom16([16]byte{0x20 | byte(r.IntN(16)), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		t.Prefixes.Add(netip.PrefixFrom(a, 28+r.IntN(21)), r.Uint32N(400000), 1)
	}
	ms := func(sql string) float64 {
		b.Helper()
		began := time.Now()
		if _, err := pool.Exec(ctx, sql); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
		return time.Since(began).Seconds() * 1000
	}
	for b.Loop() {
		for range 2 { // the second replaces the first
			began := time.Now()
			n, _, err := store.New(pool).LoadPrefixes(ctx, "made up", "MRT", func(yield func(store.ASPrefix) bool) {
				for e := range t.Prefixes.All() {
					if !yield(store.ASPrefix(e)) {
						return
					}
				}
			})
			if err != nil {
				b.Fatal(err)
			}
			b.Logf("%d prefixes stored in %s", n, time.Since(began).Round(time.Millisecond))
		}
		ms(`CREATE TABLE gist AS SELECT * FROM asprefixes`)
		b.Logf("GiST built in %.0f ms", ms(`CREATE INDEX ON gist USING gist (prefix inet_ops)`))
		ms(`VACUUM ANALYZE asprefixes, gist`)
		ms(`CREATE TABLE places AS SELECT '1.0.0.0'::inet + (random() * 3700000000::bigint)::bigint AS a FROM generate_series(1, 20000)`)
		var ours, gist, ratio []float64
		for range 3 {
			o := ms(`SELECT count(t.asn) FROM places LEFT JOIN LATERAL sonde_asn(a) t ON true`) / 20
			g := ms(`SELECT count(t.asn) FROM places LEFT JOIN LATERAL (SELECT * FROM gist WHERE prefix >>= a ORDER BY masklen(prefix) DESC LIMIT 1) t ON true`) / 20
			ours, gist, ratio = append(ours, o), append(gist, g), append(ratio, g/o)
		}
		ms(`DROP TABLE gist, places`)
		spread(b, ours, "µs")
		spread(b, gist, "gist_µs")
		spread(b, ratio, "x_gist")
	}
}
