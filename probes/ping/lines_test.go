package ping

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"sonde/internal/lab"
	"sonde/probes"
)

// crowd is a network whose far end answers for 10.200.0.0/16.
func crowd(t *testing.T) (src, dst *lab.Host) {
	src, _, dst = lab.New(t).Chain(0)
	dst.Run("ip", "route", "add", "local", "10.200.0.0/16", "dev", "lo")
	src.Via(netip.MustParsePrefix("10.200.0.0/16"), dst.V4())
	return src, dst
}

func crowdOf(n int) (targets []string) {
	for i := range n {
		targets = append(targets, fmt.Sprintf("10.200.%d.%d", i>>8, i&255))
	}
	return targets
}

// asked is how many echo requests a host has got.
func asked(t *testing.T, h *lab.Host) int {
	t.Helper()
	var names []string
	for line := range strings.Lines(h.Run("cat", "/proc/net/snmp")) {
		words := strings.Fields(line)
		if words[0] != "Icmp:" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, name := range names {
			if name == "InEchos" {
				n, err := strconv.Atoi(words[i])
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatal("the kernel counts no echo requests")
	return 0
}

func TestEveryReplyIsOneLine(t *testing.T) {
	src, dst := crowd(t)
	dst.LoseEvery(100, "icmp type echo-request")
	targets := append(crowdOf(3000), dst.V6().String())
	for _, rate := range []float64{0, 20000} {
		var out bytes.Buffer
		src.Do(func() {
			err := lines(t.Context(), probes.Lines{Spec: []byte(`{"count": 4, "timeout": "500ms"}`), Targets: targets, Rate: rate, Out: &out, Log: slog.Default()})
			if err != nil {
				t.Fatal(err)
			}
		})
		seen := map[string]bool{}
		for line := range strings.Lines(out.String()) {
			var address string
			var k, rtt int
			if n, err := fmt.Sscanf(line, "%s %d %d\n", &address, &k, &rtt); n != 3 || err != nil || k < 0 || k > 3 || rtt <= 0 || rtt > 1e9 {
				t.Fatalf("line %q", line)
			}
			key := fmt.Sprint(address, " ", k)
			if seen[key] {
				t.Errorf("%s comes twice", key)
			}
			seen[key] = true
		}
		if want := 3000*4*99/100 + 4; len(seen) != want {
			t.Errorf("at rate %v %d replies, want %d", rate, len(seen), want)
		}
	}
}

// cancelling ends a context with the first thing written to it.
type cancelling struct {
	bytes.Buffer
	cancel func()
}

func (c *cancelling) Write(b []byte) (int, error) {
	if len(b) > 0 {
		c.cancel()
	}
	return c.Buffer.Write(b)
}

func TestSignalSendsNothingMoreAndLosesNothing(t *testing.T) {
	src, dst := crowd(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &cancelling{cancel: cancel}
	began := time.Now()
	src.Do(func() {
		if err := lines(ctx, probes.Lines{Spec: []byte(`{"count": 10}`), Targets: crowdOf(2000), Rate: 2000, Out: out, Log: slog.Default()}); err != nil {
			t.Error(err)
		}
	})
	told, sent := strings.Count(out.String(), "\n"), asked(t, dst)
	if told != sent || sent == 0 || sent > 2000 || time.Since(began) > 5*time.Second {
		t.Errorf("%d lines, %d packets arrived, within %s", told, sent, time.Since(began))
	}
}

func TestStoppedBeforeItBeganSendsNothing(t *testing.T) {
	src, dst := crowd(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	src.Do(func() {
		if err := lines(ctx, probes.Lines{Spec: []byte(`{"count": 1000}`), Targets: crowdOf(2), Rate: 100, Out: &bytes.Buffer{}, Log: slog.Default()}); err != nil {
			t.Error(err)
		}
	})
	if n := asked(t, dst); n > 2 {
		t.Errorf("%d packets arrived", n)
	}
}

func TestTargetThatIsNoneIsNamedAndTheOthersMeasured(t *testing.T) {
	src, _ := crowd(t)
	var out, log bytes.Buffer
	src.Do(func() {
		err := lines(t.Context(), probes.Lines{Spec: []byte(`{"count": 1}`), Targets: []string{"10.200.0.1", "not..a..name"}, Out: &out, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil || !strings.Contains(err.Error(), "1 of 2") || !strings.Contains(log.String(), "not..a..name") || !strings.HasPrefix(out.String(), "10.200.0.1 0 ") {
			t.Errorf("%v, %q, %q", err, out.String(), log.String())
		}
		err = lines(t.Context(), probes.Lines{Spec: []byte(`{"count": 1, "source": "192.0.2.77"}`), Targets: []string{"10.200.0.1"}, Out: &out, Log: slog.Default()})
		if !errors.Is(err, probes.ErrLocal) {
			t.Errorf("a source that is not ours gave %v", err)
		}
	})
}
