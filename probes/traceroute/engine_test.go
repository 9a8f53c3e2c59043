package traceroute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sonde/internal/lab"
	"sonde/internal/measure"
	"sonde/probes"
)

// underWay counts the packets an engine waits for.
func underWay(e probes.Engine) int {
	e.(*engine).mu.Lock()
	defer e.(*engine).mu.Unlock()
	return len(e.(*engine).waiting)
}

func TestManyRunsShareOneEngine(t *testing.T) {
	src, routers, dst := lab.New(t).Diamond(2)
	var e probes.Engine
	src.Do(func() {
		var err error
		if e, err = Tool().Open(t.Context(), probes.Env{Log: slog.Default()}); err != nil {
			t.Fatal(err)
		}
	})
	defer e.Close()
	want := map[string][]string{}
	specs := []string{`{"method":"icmp","timeout":"9s"}`, `{"method":"udp","timeout":"9s"}`, `{"method":"udp","family":"6","timeout":"9s"}`, `{"family":"6","timeout":"9s"}`}
	targets := []*lab.Host{dst, routers[3]}
	to := func(spec string, h *lab.Host) netip.Addr { return lab.Uplink(h, strings.Contains(spec, `"6"`)) }
	for _, spec := range specs {
		for _, h := range targets {
			want[spec+h.Name] = trace(t, src, spec, to(spec, h)).hops
		}
	}
	var all sync.WaitGroup
	for i := range 96 {
		all.Go(func() {
			spec, h := specs[i%len(specs)], targets[i/len(specs)%len(targets)]
			p, err := Tool().New(json.RawMessage(spec), probes.Env{Log: slog.Default(), Engine: e})
			if err != nil {
				t.Error(err)
				return
			}
			src.Do(func() {
				r, err := p.Run(t.Context(), measure.Target{Address: to(spec, h).String(), Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Error(err)
					return
				}
				if s := read(t, r); !slices.Equal(s.hops, want[spec+h.Name]) || !s.reached {
					t.Errorf("%s to %s: %v, alone it was %v", spec, h.Name, s.hops, want[spec+h.Name])
				}
			})
		})
	}
	all.Wait()
	if n := underWay(e); n != 0 {
		t.Errorf("%d packets are still waited for", n)
	}
}

func TestEngineThatFallsEndsItsRuns(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(1)
	routers[0].Drop("icmp type echo-request")
	src.Do(func() {
		e, err := Tool().Open(t.Context(), probes.Env{Log: slog.Default()})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-e.Down():
			t.Fatal("down at once")
		default:
		}
		p, err := Tool().New([]byte(`{"timeout":"1m"}`), probes.Env{Log: slog.Default(), Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			// Once its packets are under way.
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if underWay(e) == 19 { // three of each of six hops, and the one that asks the target
					e.Close()
					return
				}
			}
		}()
		_, err = p.Run(t.Context(), measure.Target{Address: dst.V4().String(), Log: slog.Default()})
		if !errors.Is(err, probes.ErrLocal) {
			t.Errorf("run ended with %v", err)
		}
		<-e.Down()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCancelEndsTheRunAtOnce(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(1)
	routers[0].Drop("icmp type echo-request")
	src.Do(func() {
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if _, err := try(ctx, `{"timeout":"1m"}`, dst.V4().String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("took %v", took)
		}
		if after := runtime.NumGoroutine(); after > before+1 {
			t.Errorf("%d goroutines before, %d after", before, after)
		}
	})
}

// TestWithoutPrivilegeTheErrorSaysWhatIsNeeded gives up CAP_NET_RAW on one thread.
func TestWithoutPrivilegeTheErrorSaysWhatIsNeeded(t *testing.T) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			done <- fmt.Errorf("give up capabilities: %w", err)
			return
		}
		_, err := Tool().Open(context.Background(), probes.Env{Log: slog.Default()})
		done <- err
	}()
	if err := <-done; !errors.Is(err, probes.ErrLocal) || !strings.Contains(fmt.Sprint(err), "CAP_NET_RAW") {
		t.Errorf("got %v", err)
	}
}

func TestNonsense(t *testing.T) {
	for _, spec := range []string{`[]`, `{"method":"sctp"}`, `{"paths":"both"}`, `{"confidence":1}`, `{"mtu":1500}`, `{"hops":3}`, `{"probes":0}`, `{"first_ttl":9,"max_ttl":8}`,
		`{"source":"192.0.2.1","family":"6"}`, `{"size":59}`, `{"timeout":2}`} {
		if _, err := try(t.Context(), spec, "127.0.0.1"); !errors.Is(err, probes.ErrSpec) {
			t.Errorf("%s: %v", spec, err)
		}
	}
	for _, target := range []string{"0.0.0.0", "224.0.0.1", "ff02::1", "255.255.255.255"} {
		if _, err := try(t.Context(), `{}`, target); !errors.Is(err, probes.ErrSpec) {
			t.Errorf("%s: %v", target, err)
		}
	}
	if _, err := try(t.Context(), `{"family":"6"}`, "127.0.0.1"); !errors.Is(err, probes.ErrSpec) {
		t.Errorf("IPv4 address for IPv6: %v", err)
	}
	if _, err := try(t.Context(), `{"source":"192.0.2.254"}`, "127.0.0.1"); !errors.Is(err, probes.ErrLocal) || !strings.Contains(err.Error(), "192.0.2.254") {
		t.Errorf("source of another host: %v", err)
	}
	_, err := try(t.Context(), `{}`, "no-such-host.invalid")
	if err == nil || errors.Is(err, probes.ErrSpec) || errors.Is(err, probes.ErrLocal) || !strings.Contains(err.Error(), "no-such-host.invalid") {
		t.Errorf("unknown name: %v", err)
	}
}
