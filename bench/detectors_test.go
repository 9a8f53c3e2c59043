package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/analysis/anomaly"
	"sonde/analysis/holtwinters"
	"sonde/internal/measure"
)

// Of detectors in memory, and of RRDtool's files.
const (
	manySeries = 100_000
	rrdSeries  = 500
	rrdSamples = 200 // of each
	daySlots   = 288 // five minutes
)

// BenchmarkDetectors updates Holt-Winters and the default detector of 100,000 series in
// memory, a sample each in turn, beside RRDtool, which does Holt-Winters when it
// writes: first what rrdcached needs to take a sample in, then with the writing.
func BenchmarkDetectors(b *testing.B) {
	for b.Loop() {
		ours := holtWinters()
		whole := defaultDetector(b)
		taken, written := rrdcached(b)
		b.ReportMetric(float64(ours.Nanoseconds()), "ns_holt_winters")
		b.ReportMetric(float64(whole.Nanoseconds()), "ns_default_detector")
		b.ReportMetric(float64(taken.Nanoseconds()), "ns_rrdcached_taken")
		b.ReportMetric(float64(written.Nanoseconds()), "ns_rrdcached_written")
		b.ReportMetric(taken.Seconds()/ours.Seconds(), "x_taken_vs_holt_winters")
		b.ReportMetric(written.Seconds()/ours.Seconds(), "x_written_vs_holt_winters")
	}
	b.ReportMetric(0, "ns/op")
}

// noisy is a series as a probe makes it.
func noisy() []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 4096)
	for i := range values {
		values[i] = 100 + 10*math.Sin(2*math.Pi*float64(i)/daySlots) + r.NormFloat64()
	}
	return values
}

// holtWinters is the processor time of one update.
func holtWinters() time.Duration {
	slots := make([]holtwinters.Slot[float32], manySeries*daySlots)
	for i := range slots {
		slots[i].Deviation = 1
	}
	models := make([]holtwinters.Model[float32], manySeries)
	for i := range models {
		models[i] = holtwinters.Model[float32]{
			Params: holtwinters.Params{Alpha: 0.1, Beta: 0.0035, Gamma: 0.1, Phi: 0.98, GammaDeviation: 0.1, Clip: 2},
			Level:  100, Variance: 1, Season: slots[i*daySlots : (i+1)*daySlots],
		}
	}
	values := noisy()
	const rounds = 10
	began := cpuTime()
	for n := range rounds {
		for i := range models {
			models[i].Update(values[(i+n)%len(values)])
		}
	}
	return (cpuTime() - began) / (rounds * manySeries)
}

// defaultDetector is the processor time of one sample: grid, forecasts, score, verdicts.
func defaultDetector(b *testing.B) time.Duration {
	m := anomaly.Method()
	options, err := measure.ReadOptions(m.Options, json.RawMessage(`{"interval": "5m", "kind": "rtt"}`))
	if err != nil {
		b.Fatal(err)
	}
	const series, rounds = manySeries / 4, 40
	detectors := make([]analysis.Detector, series)
	for i := range detectors {
		if detectors[i], err = m.New(options, nil); err != nil {
			b.Fatal(err)
		}
	}
	values, at := noisy(), time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	feed := func(rounds int) {
		for range rounds {
			for i, d := range detectors {
				d.Feed(measure.Sample{RunKey: measure.RunKey{DueAt: at}, Outcome: measure.OK, Value: values[i%len(values)]})
				d.(analysis.Recorder).Record()
			}
			at = at.Add(5 * time.Minute)
		}
	}
	feed(rounds)
	began := cpuTime()
	feed(rounds)
	return (cpuTime() - began) / (rounds * series)
}

// cpuTime of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rrdcached is its processor time of one sample: to take it in, and until it is written.
func rrdcached(b *testing.B) (taken, written time.Duration) {
	dir := b.TempDir()
	const from = 1_700_000_100 // a multiple of the step
	var creates strings.Builder
	for i := range rrdSeries {
		// Brutlag's five arrays come with HWPREDICT.
		fmt.Fprintf(&creates, "create %s/%d.rrd --start %d --step 300 DS:v:GAUGE:600:U:U RRA:AVERAGE:0.5:1:600 RRA:HWPREDICT:1440:0.1:0.0035:%d\n",
			dir, i, from-300, daySlots)
	}
	create := exec.Command("rrdtool", "-")
	create.Stdin = strings.NewReader(creates.String())
	if out, err := create.CombinedOutput(); err != nil || strings.Contains(string(out), "ERROR") {
		b.Fatalf("rrdtool create: %v\n%.500s", err, out)
	}
	socket := filepath.Join(dir, "s")
	// Nothing is written before it is asked for.
	daemon := exec.Command("rrdcached", "-g", "-F", "-l", "unix:"+socket, "-b", dir, "-B", "-w", "86400", "-f", "86400", "-j", dir)
	daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := daemon.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if daemon.ProcessState == nil {
			_ = daemon.Process.Kill()
			_ = daemon.Wait()
		}
	}()
	var conn net.Conn
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		if conn, err = net.Dial("unix", socket); err == nil {
			break
		}
	}
	if err != nil {
		b.Fatalf("rrdcached does not listen: %v", err)
	}
	defer conn.Close()
	used := func() time.Duration {
		d, err := cpu(daemon.Process.Pid)
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	began := used()
	values := noisy()
	w, r := bufio.NewWriterSize(conn, 1<<16), bufio.NewReader(conn)
	reply := func(want string) {
		b.Helper()
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			b.Fatalf("rrdcached says %q (%v), wanted %q", line, err, want)
		}
	}
	fmt.Fprintln(w, "BATCH")
	reply("0 ")
	for n := range rrdSamples {
		for i := range rrdSeries {
			fmt.Fprintf(w, "UPDATE %d.rrd %d:%.3f\n", i, from+300*n, values[(i+n)%len(values)])
		}
	}
	fmt.Fprintln(w, ".")
	reply("0 errors")
	taken = used() - began
	for i := range rrdSeries {
		fmt.Fprintf(w, "FLUSH %d.rrd\n", i)
		reply("0 ")
	}
	written = used() - began
	_ = daemon.Process.Signal(syscall.SIGTERM)
	_ = daemon.Wait()
	return taken / (rrdSeries * rrdSamples), written / (rrdSeries * rrdSamples)
}
