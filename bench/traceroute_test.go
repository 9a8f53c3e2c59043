package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sonde/internal/lab"
)

// BenchmarkSurvey finds the routes to a thousand targets behind ten routers that
// answer everything, beside scamper and beside 64 traceroutes at a time. All must find
// every hop.
func BenchmarkSurvey(b *testing.B) {
	sonde := program(b)
	src, net, list := crowd(b, 1000, nil)
	tracers := []struct {
		name string
		run  func() string
	}{
		{"sonde", func() string { return src.Run(sonde, "probe", "traceroute", "--file", list, "--format", "lines") }},
		{"scamper", func() string {
			return src.Run("scamper", "-p", "10000", "-w", "1000", "-c", "trace -P icmp-paris -q 1", "-f", list)
		}},
		{"traceroute", func() string { return eachTraceroute(b, src, 1000) }},
	}
	for b.Loop() {
		took := map[string]float64{}
		for _, t := range tracers {
			before, began := net.Received(), time.Now()
			out := t.run()
			took[t.name] = time.Since(began).Seconds()
			for hop := range 10 {
				if n := strings.Count(out, fmt.Sprintf("10.1.%d.1 ", hop+1)) + strings.Count(out, fmt.Sprintf("10.1.%d.1\t", hop+1)); n < 990 {
					b.Fatalf("%s found hop %d for %d of 1000 targets", t.name, hop+1, n)
				}
			}
			b.Logf("%s: %.2f s, %d packets", t.name, took[t.name], net.Received()-before)
		}
		b.ReportMetric(took["sonde"], "s")
		b.ReportMetric(took["scamper"]/took["sonde"], "x_scamper")
		b.ReportMetric(took["traceroute"]/took["sonde"], "x_traceroute")
	}
}

// BenchmarkSurveyOfRoutersThatLimit is a hundred targets behind ten routers that keep
// Linux's limit of ICMP: who finds how many of the 1,100 hops, and how soon.
func BenchmarkSurveyOfRoutersThatLimit(b *testing.B) {
	sonde := program(b)
	for b.Loop() {
		for _, name := range []string{"sonde", "traceroute"} {
			src, _, list := crowd(b, 100, &lab.Limit{PerSecond: 1, Burst: 6})
			began := time.Now()
			var out string
			if name == "sonde" {
				out = src.Run(sonde, "probe", "traceroute", "--file", list, "--format", "lines")
			} else {
				out = eachTraceroute(b, src, 100)
			}
			found := 100 // each target, which all find
			for hop := range 10 {
				found += min(100, strings.Count(out, fmt.Sprintf("10.1.%d.1 ", hop+1)))
			}
			took := time.Since(began).Seconds()
			b.Logf("%s: %d of 1100 hops in %.1f s", name, found, took)
			b.ReportMetric(float64(found)/11, "%_"+name)
			b.ReportMetric(took, "s_"+name)
		}
	}
}

// crowd is a host, and so many targets behind ten routers, each with a limit like this.
func crowd(b *testing.B, targets int, limit *lab.Limit) (*lab.Host, *lab.Internet, string) {
	b.Helper()
	l := lab.New(b)
	src := l.Host("src")
	net := l.Internet(src)
	var way []lab.Hop
	for i := range 10 {
		r := lab.At(fmt.Sprintf("10.1.%d.1", i+1))
		if limit != nil {
			own := *limit
			r.Limit = &own
		}
		way = append(way, r)
	}
	net.Path("10.99.0.0/16", way...)
	list := filepath.Join(b.TempDir(), "targets")
	var text strings.Builder
	for n := range targets {
		fmt.Fprintln(&text, target(n))
	}
	if err := os.WriteFile(list, []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	return src, net, list
}

// eachTraceroute runs a traceroute a target, 64 at a time.
func eachTraceroute(b *testing.B, src *lab.Host, targets int) string {
	b.Helper()
	var all sync.WaitGroup
	places := make(chan struct{}, 64)
	outs := make([]string, targets)
	for n := range targets {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			cmd := src.Command("traceroute", "-n", "-I", "-q", "1", "-w", "1", target(n).String())
			out, err := cmd.Output()
			if err != nil {
				b.Errorf("traceroute: %v", err)
			}
			outs[n] = string(out)
		})
	}
	all.Wait()
	return strings.Join(outs, "")
}
