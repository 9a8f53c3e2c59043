package ping

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/probes"
)

func target(t *testing.T, address string) measure.Target {
	return measure.Target{Node: "target", Address: address, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// started gives an engine that lasts as long as the test.
func started(t *testing.T, kinds ...kind) *engine {
	t.Helper()
	e, err := open(slog.New(slog.NewTextHandler(t.Output(), nil)), usualPace, kinds...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// probeOf builds a probe on an engine of its own.
func probeOf(t *testing.T, spec string, kinds ...kind) probes.Probe {
	t.Helper()
	p, err := Tool().New(json.RawMessage(spec), probes.Env{Engine: started(t, kinds...)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// measureOnce makes one run and gives its row by column name.
func measureOnce(t *testing.T, address, spec string, kinds ...kind) (measure.Result, map[string]any) {
	t.Helper()
	res, err := probeOf(t, spec, kinds...).Run(t.Context(), target(t, address))
	if err != nil {
		t.Fatalf("ping %s with %s: %v", address, spec, err)
	}
	if len(res.Row) != len(columns()) {
		t.Fatalf("%d values for %d columns", len(res.Row), len(columns()))
	}
	return res, fields(res.Row)
}

func TestLoopbackAnswersEveryPacket(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1": "127.0.0.1", "::1": "::1"} {
		res, f := measureOnce(t, address, `{"count": 5, "interval": "10ms"}`)
		if res.Address != netip.MustParseAddr(want) {
			t.Errorf("address used is %s, want %s", res.Address, want)
		}
		if f["sent"] != int64(5) || f["received"] != int64(5) || f["loss_pct"] != 0.0 || f["size_bytes"] != int64(56) {
			t.Errorf("%s: sent %v, received %v, loss %v, size %v", address, f["sent"], f["received"], f["loss_pct"], f["size_bytes"])
		}
		if f["ttl"] != int64(64) {
			t.Errorf("%s: ttl %v, want 64, which loopback answers with", address, f["ttl"])
		}
		if f["icmp_errors"] != nil || f["clp_pct"] != nil {
			t.Errorf("%s: what is not known must be NULL: %v", address, f)
		}
		if f["user_stamped"] != int64(0) || f["corrupted"] != int64(0) || f["ipdv_mean_ms"] == nil || f["ipdv_iqr_ms"] == nil {
			t.Errorf("%s: %v", address, f)
		}
		rtts := f["rtts_us"].([]*int32)
		for i, us := range rtts {
			if us == nil || *us < 0 || *us > 1_000_000 {
				t.Errorf("%s: packet %d has the round-trip time %v", address, i, us)
			}
		}
		lo, mid, hi := f["rtt_min_ms"].(float64), f["rtt_median_ms"].(float64), f["rtt_max_ms"].(float64)
		if len(rtts) != 5 || lo <= 0 || lo > mid || mid > hi {
			t.Errorf("%s: min %v, median %v, max %v of %d", address, lo, mid, hi, len(rtts))
		}
	}
}

func TestEachAddressOfANameIsMeasured(t *testing.T) {
	e := started(t)
	var plans []plan
	for _, to := range []string{"127.0.0.1", "::1", "127.0.0.7"} {
		plans = append(plans, plan{to: netip.MustParseAddr(to), count: 4, size: 56, interval: 10 * time.Millisecond, timeout: time.Second, ttl: usualTTL})
	}
	s, err := e.measure(t.Context(), plans...)
	if err != nil {
		t.Fatal(err)
	}
	f := fields(rowOf(plans, s))
	if f["sent"] != int64(12) || f["received"] != int64(12) || len(f["rtts_us"].([]*int32)) != 12 || f["ttl"] != int64(64) {
		t.Errorf("got %v", f)
	}
	if got := string(asJSON(f["addresses"])); got != `["127.0.0.1","::1","127.0.0.7"]` {
		t.Errorf("addresses are %s", got)
	}
}

func TestAddressOfManyHostsIsWrongSpec(t *testing.T) {
	for _, to := range []string{"0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1"} {
		if _, err := probeOf(t, `{"count": 1}`).Run(t.Context(), target(t, to)); !errors.Is(err, probes.ErrSpec) {
			t.Errorf("%s gave %v", to, err)
		}
	}
}

func TestTimeoutIsTheWaitAfterTheLastPacket(t *testing.T) {
	// 127.0.0.1 answers every packet, so that the run ends with the last
	// reply: at two intervals, long before the timeout.
	began := time.Now()
	measureOnce(t, "127.0.0.1", `{"count": 3, "interval": "100ms", "timeout": "10s"}`)
	if took := time.Since(began); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("three packets 100 ms apart took %s", took)
	}
}

func TestSourceIsUsed(t *testing.T) {
	res, f := measureOnce(t, "127.0.0.1", `{"count": 2, "interval": "10ms", "source": "127.0.0.9"}`)
	if f["received"] != int64(2) {
		t.Errorf("from 127.0.0.9: %v", res.Row)
	}
	_, err := probeOf(t, `{"count": 1, "source": "192.0.2.77"}`).Run(t.Context(), target(t, "127.0.0.1"))
	if !errors.Is(err, probes.ErrLocal) || !strings.Contains(err.Error(), "192.0.2.77") {
		t.Errorf("a source that is not ours gave %v", err)
	}
}

func TestSourceOfOtherFamilyIsWrongSpec(t *testing.T) {
	_, err := Tool().New(json.RawMessage(`{"source": "127.0.0.1", "family": "6"}`), probes.Env{})
	if !errors.Is(err, probes.ErrSpec) || !strings.Contains(err.Error(), "source") || !strings.Contains(err.Error(), "family") {
		t.Errorf("got %v", err)
	}
	// The source decides the family of a name that has both.
	_, err = probeOf(t, `{"source": "127.0.0.1"}`).Run(t.Context(), target(t, "::1"))
	if !errors.Is(err, probes.ErrSpec) || !strings.Contains(err.Error(), "::1") {
		t.Errorf("an IPv4 source to an IPv6 target gave %v", err)
	}
}

func TestDeadlineThatPassesIsAnError(t *testing.T) {
	p := probeOf(t, `{"count": 100, "interval": "100ms"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := p.Run(ctx, target(t, "127.0.0.1"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("ended %s after its start, with a deadline of 150 ms", took)
	}
}
