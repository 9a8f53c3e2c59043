package bench

import (
	"testing"
)

const (
	floodTargets = 50_000
	floodCount   = 10
	floodRounds  = 3
)

// BenchmarkPingFlatOut pings 50,000 targets as fast as each program can, by
// turns. Packets per second are the replies over the time from the start of the
// process to its end. fping can ask each target only once at that rate:
// x_fping is sonde asking each ten times beside that, x_fping_x1 and x_fping_cpu
// sonde asking each once, where a quarter of a second has to carry its start as
// well. ping -f does not pace itself either, but it has one target and one
// packet under way, keeps nothing and prints nothing of each, so that it is
// less a peer than the price of a round trip in the kernel.
//
// Processor time is user and system of the process, in seconds for a million
// round trips; what the far kernel does is in it (see told).
func BenchmarkPingFlatOut(b *testing.B) {
	s, f, near := sonde(b), fping(b), veth(b).A.Host
	var rate, once, fpingRate, pingRate, xFping, xFping1, xPing []float64
	var cost, fpingCost, pingCost, xFpingCost, xPingCost, peak []float64
	missing := 0
	for b.Loop() {
		for range floodRounds {
			theirs := f.run(b, near, ask{floodTargets, 1, 0})
			flood := pingFlood(b, near, floodTargets*floodCount)
			short := s.run(b, near, ask{floodTargets, 1, 0})
			ours := s.run(b, near, ask{floodTargets, floodCount, 0})
			b.Logf("fping ×1: %s\nping -f: %s\nsonde ×1: %s\nsonde ×%d: %s", theirs, flood, short, floodCount, ours)
			rate, once = append(rate, ours.perSecond()), append(once, short.perSecond())
			fpingRate, pingRate = append(fpingRate, theirs.perSecond()), append(pingRate, flood.perSecond())
			xFping, xFping1, xPing = append(xFping, ours.perSecond()/theirs.perSecond()), append(xFping1, short.perSecond()/theirs.perSecond()), append(xPing, ours.perSecond()/flood.perSecond())
			cost, fpingCost, pingCost = append(cost, ours.perMillion()), append(fpingCost, theirs.perMillion()), append(pingCost, flood.perMillion())
			xFpingCost, xPingCost = append(xFpingCost, theirs.perMillion()/short.perMillion()), append(xPingCost, flood.perMillion()/ours.perMillion())
			peak = append(peak, ours.mib())
			missing += ours.missing() + short.missing()
		}
	}
	spread(b, rate, "packets/s")
	spread(b, once, "packets/s_x1")
	spread(b, fpingRate, "fping_packets/s")
	spread(b, pingRate, "ping_packets/s")
	spread(b, xFping, "x_fping")
	spread(b, xFping1, "x_fping_x1")
	spread(b, xPing, "x_ping")
	spread(b, cost, "cpu_s/M")
	spread(b, fpingCost, "fping_cpu_s/M")
	spread(b, pingCost, "ping_cpu_s/M")
	spread(b, xFpingCost, "x_fping_cpu")
	spread(b, xPingCost, "x_ping_cpu")
	spread(b, peak, "MiB")
	b.ReportMetric(float64(missing), "missing")
}

// BenchmarkPingPaced pings 5,000 targets once a second for 20 seconds and gives
// the processor time of a million round trips: at that rate all of them sleep
// between packets, which is what a monitoring host does all day.
func BenchmarkPingPaced(b *testing.B) {
	s, f, p, near := sonde(b), fping(b), proBing(b), veth(b).A.Host
	a := ask{targets: 5_000, count: 20, rate: 5_000}
	for b.Loop() {
		ours, theirs, library := s.run(b, near, a), f.run(b, near, a), p.run(b, near, a)
		b.Logf("sonde: %s\nfping: %s\npro-bing: %s", ours, theirs, library)
		b.ReportMetric(ours.perSecond(), "packets/s")
		b.ReportMetric(ours.perMillion(), "cpu_s/M")
		b.ReportMetric(theirs.perMillion(), "fping_cpu_s/M")
		b.ReportMetric(library.perMillion(), "probing_cpu_s/M")
		b.ReportMetric(theirs.perMillion()/ours.perMillion(), "x_fping_cpu")
		b.ReportMetric(library.perMillion()/ours.perMillion(), "x_probing_cpu")
		b.ReportMetric(float64(ours.missing()), "missing")
		b.ReportMetric(float64(theirs.missing()), "fping_missing")
		b.ReportMetric(float64(library.missing()), "probing_missing")
	}
}

// BenchmarkPingSustained asks 50,000 targets twice a second for a minute, six
// million packets. The rate is that of the whole process, its start and its
// waiting for the last reply included; a reply that is missing is the
// program's fault, as the far kernel answers within the call that sends.
func BenchmarkPingSustained(b *testing.B) {
	s, near := sonde(b), veth(b).A.Host
	for b.Loop() {
		ours := s.run(b, near, ask{targets: 50_000, count: 120, rate: 100_000})
		b.Logf("sonde: %s", ours)
		b.ReportMetric(float64(ours.missing()), "missing")
		b.ReportMetric(ours.perSecond(), "packets/s")
		b.ReportMetric(ours.perMillion(), "cpu_s/M")
		b.ReportMetric(ours.mib(), "MiB")
	}
}
