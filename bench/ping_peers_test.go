package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	probing "github.com/prometheus-community/pro-bing"
	"golang.org/x/sys/unix"

	"sonde/internal/lab"
)

// pingTargets is the network whose every address the far kernel answers for.
var pingTargets = netip.MustParsePrefix("10.99.0.0/16")

// target is the nth address to be pinged.
func target(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 99, byte((n + 1) >> 8), byte(n + 1)})
}

// numberOf is the n of target(n).
func numberOf(a netip.Addr) int { four := a.As4(); return int(four[2])<<8 + int(four[3]) - 1 }

// opposite makes a far host answer for 65,536 addresses on its end of the link.
// The near one reaches them by a gateway: asked one by one they would fill the
// table of neighbours. Hosts of the lab do not limit the rate of ICMP.
func opposite(k *lab.Link) {
	k.B.Host.Run("ip", "route", "add", "local", pingTargets.String(), "dev", "lo")
	k.A.Host.Via(pingTargets, k.B.V4)
}

// veth is two hosts with nothing but a pair of veth between them: what one
// sends, the kernel carries over and answers before the call returns.
func veth(b *testing.B) *lab.Link {
	b.Helper()
	l := lab.New(b)
	k := l.Connect(l.Host("near"), l.Host("far"))
	opposite(k)
	return k
}

// ask is what a pinger is to do: count packets to each of so many targets, rate
// a second over all of them, as fast as it can when that is 0.
type ask struct{ targets, count, rate int }

func (a ask) packets() int { return a.targets * a.count }

// spacing is the time between two packets, and period that between two to the same target.
func (a ask) spacing() time.Duration { return time.Second / time.Duration(a.rate) }
func (a ask) period() time.Duration  { return time.Duration(a.targets) * a.spacing() }

// pinger is a program that reads addresses and prints what came back.
type pinger struct {
	name string
	args func(a ask) []string
	env  string
	read func(line []byte) (to netip.Addr, k int, rtt time.Duration, reply bool, err error)
	// loses is its exit code when a reply is missing.
	loses int
}

// told is what became of one process of a pinger.
type told struct {
	took time.Duration // from its start to its end: whatever it does besides pinging counts
	// cpu is user and system time of the process. The kernel charges it with
	// what the far side and the way back cost too, as all of that runs in the
	// call that sends, except what ksoftirqd takes over, which is told apart.
	cpu, softirq time.Duration
	peak         int64 // of its resident memory, in bytes
	replies      int
	rtts         []time.Duration // by number of target × count + k; 0 is no reply
}

func (t told) missing() int { return len(t.rtts) - t.replies }

// perSecond is the rate, perMillion the processor time in seconds of a million round trips.
func (t told) perSecond() float64  { return float64(t.replies) / t.took.Seconds() }
func (t told) perMillion() float64 { return t.cpu.Seconds() / float64(t.replies) * 1e6 }
func (t told) mib() float64        { return float64(t.peak) / (1 << 20) }

func (t told) String() string {
	return fmt.Sprintf("%d of %d in %.2f s, %.0f/s, %.2f s of processor a million (ksoftirqd %.2f more), %.1f MiB",
		t.replies, len(t.rtts), t.took.Seconds(), t.perSecond(), t.perMillion(), t.softirq.Seconds()/float64(t.replies)*1e6, t.mib())
}

// run runs the pinger on a host of the lab. What it prints goes to a file in
// memory and is read when it has ended, so that no reader takes processor time
// meanwhile.
func (p pinger) run(b *testing.B, from *lab.Host, a ask) told {
	b.Helper()
	var list bytes.Buffer
	for n := range a.targets {
		fmt.Fprintln(&list, target(n))
	}
	in, out, complaints := scratch(b), scratch(b), scratch(b)
	defer in.Close()
	defer out.Close()
	defer complaints.Close()
	if _, err := in.WriteAt(list.Bytes(), 0); err != nil {
		b.Fatal(err)
	}
	args := p.args(a)
	ctx, cancel := context.WithTimeout(b.Context(), 3*time.Minute)
	defer cancel()
	cmd := from.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, complaints
	if p.env != "" {
		cmd.Env = append(os.Environ(), p.env)
	}

	t := told{rtts: make([]time.Duration, a.packets())}
	err := t.watch(b, cmd)
	var exit *exec.ExitError
	if err != nil && (ctx.Err() != nil || !errors.As(err, &exit) || exit.ExitCode() != p.loses) {
		said, _ := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", complaints.Fd()))
		b.Fatalf("%s %q: %v, %v\n%s", p.name, args, err, ctx.Err(), said[max(0, len(said)-2000):])
	}

	if _, err := out.Seek(0, 0); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		to, k, rtt, reply, err := p.read(lines.Bytes())
		if err != nil {
			b.Fatalf("%s says %q: %v", p.name, lines.Text(), err)
		}
		if !reply {
			continue
		}
		n := numberOf(to)
		if !pingTargets.Contains(to) || n < 0 || n >= a.targets || k < 0 || k >= a.count || t.rtts[n*a.count+k] != 0 {
			b.Fatalf("%s says %q: never asked, or told twice", p.name, lines.Text())
		}
		t.rtts[n*a.count+k] = max(rtt, 1)
		t.replies++
	}
	if err := lines.Err(); err != nil {
		b.Fatal(err)
	}
	return t
}

// watch runs a program to its end and writes down what it took.
func (t *told) watch(b *testing.B, cmd *exec.Cmd) error {
	b.Helper()
	before, began := softirqs(b), time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	t.took, t.peak = time.Since(began), peak()
	t.cpu, t.softirq = cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), softirqs(b)-before
	return err
}

// scratch is a file in memory.
func scratch(b *testing.B) *os.File {
	b.Helper()
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "memory")
}

// watchPeak follows the greatest resident memory of a process to its end.
// ru_maxrss would be simpler, but Linux counts what the process was before
// exec: for a moment a child of this one has all of our memory. VmHWM begins
// anew with exec and never falls, so that looking now and then loses only what
// the process takes within its last milliseconds.
func watchPeak(pid int) (stop func() int64) {
	ended := make(chan struct{})
	var peak int64
	var watching sync.WaitGroup
	watching.Go(func() {
		often := time.NewTicker(10 * time.Millisecond)
		defer often.Stop()
		for {
			raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if _, rest, found := bytes.Cut(raw, []byte("VmHWM:")); found {
				if kb, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64); err == nil {
					peak = max(peak, kb<<10)
				}
			}
			select {
			case <-often.C:
			case <-ended:
				return
			}
		}
	})
	return func() int64 {
		close(ended)
		watching.Wait()
		return peak
	}
}

// softirqs is the processor time of the kernel's threads for network work that
// it could not do on the spot, of the whole machine.
func softirqs(b *testing.B) (total time.Duration) {
	b.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		if comm, err := os.ReadFile(name); err == nil && bytes.HasPrefix(comm, []byte("ksoftirqd/")) {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			if d, err := cpu(pid); err == nil {
				total += d
			}
		}
	}
	return total
}

// installed gives the path of a peer, or says which package has it.
func installed(b *testing.B, name, pkg string) string {
	b.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		b.Fatalf("%v: install the package %s", err, pkg)
	}
	return path
}

// sonde is the program itself.
func sonde(b *testing.B) pinger {
	b.Helper()
	path := program(b)
	return pinger{name: "sonde", env: "SONDE_CONFIG=" + os.DevNull, read: readLine, args: func(a ask) []string {
		return []string{path, "probe", "ping", "--file", "-", "--count", strconv.Itoa(a.count), "--rate", strconv.Itoa(a.rate), "--format", "lines"}
	}}
}

// readLine reads `address k nanoseconds`.
func readLine(line []byte) (to netip.Addr, k int, rtt time.Duration, reply bool, err error) {
	f := bytes.SplitN(line, []byte(" "), 4)
	if len(f) != 3 {
		return to, 0, 0, false, errors.New("not three words")
	}
	if to, err = netip.ParseAddr(string(f[0])); err != nil {
		return to, 0, 0, false, err
	}
	if k, err = strconv.Atoi(string(f[1])); err != nil {
		return to, 0, 0, false, err
	}
	ns, err := strconv.ParseInt(string(f[2]), 10, 64)
	return to, k, time.Duration(ns), true, err
}

// fping asks one packet of each target without retries by its ordinary mode,
// which is its quickest, and more by -c. It has 65,535 sequence numbers for
// what it sent in the last ten seconds and gives up when they do not suffice,
// so more than one packet is to be had from it only up to 6,500 a second.
//
// It sleeps for the spacing after a packet instead of until the next is due,
// and oversleeps by some 60 µs (the kernel's timer slack). With half the
// spacing it has time for all targets within the period, which it keeps, so
// that 5,000 a second are had from it; 20,000 are not, at any spacing above 0.
func fping(b *testing.B) pinger {
	b.Helper()
	path := installed(b, "fping", "fping")
	return pinger{name: "fping", read: readFping, loses: 1, args: func(a ask) []string {
		args := []string{path, "-f", "-", "-t", "1000"}
		if a.rate == 0 {
			if a.count > 1 {
				b.Fatal("fping has not enough sequence numbers")
			}
			return append(args, "-i", "0", "-r", "0", "-e")
		}
		ms := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds()*1000, 'f', -1, 64) }
		return append(args, "-c", strconv.Itoa(a.count), "-i", ms(a.spacing()/2), "-p", ms(max(a.period(), time.Millisecond)))
	}}
}

// readFping reads `address : [k], 64 bytes, 0.004 ms (…)` and `address is
// alive (0.004 ms)`; what came not back has no time in milliseconds.
func readFping(line []byte) (to netip.Addr, k int, rtt time.Duration, reply bool, err error) {
	f := strings.Fields(string(line))
	if len(f) < 3 {
		return to, 0, 0, false, errors.New("less than three words")
	}
	if to, err = netip.ParseAddr(f[0]); err != nil {
		return to, 0, 0, false, err
	}
	var ms string
	switch {
	case len(f) > 6 && f[1] == ":" && f[6] == "ms":
		ms = f[5]
		if k, err = strconv.Atoi(strings.Trim(f[2], "[],")); err != nil {
			return to, 0, 0, false, err
		}
	case len(f) == 5 && f[2] == "alive":
		ms = strings.Trim(f[3], "(")
	default:
		return to, 0, 0, false, nil
	}
	v, err := strconv.ParseFloat(ms, 64)
	return to, k, time.Duration(v * float64(time.Millisecond)), true, err
}

// pingFlood has iputils ask one target, the next packet as soon as the last is
// answered.
func pingFlood(b *testing.B, from *lab.Host, packets int) (t told) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	cmd := from.CommandContext(ctx, installed(b, "ping", "iputils-ping"), "-f", "-q", "-c", strconv.Itoa(packets), target(0).String())
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := t.watch(b, cmd)
	if _, rest, _ := strings.Cut(said.String(), " packets transmitted, "); rest != "" {
		t.replies, _ = strconv.Atoi(strings.Fields(rest)[0])
	}
	if err != nil || t.replies != packets {
		b.Fatalf("ping: %v\n%s", err, said.String())
	}
	t.rtts = make([]time.Duration, packets)
	return t
}

// proBingAsked in the environment makes this very binary a pinger.
const proBingAsked = "SONDE_BENCH_PROBING"

// proBing is pro-bing as its README has it, one Pinger and goroutine for each
// target, on datagram sockets, which are its default; it runs as a process of
// its own, so that its processor time is known as that of the others is.
func proBing(b *testing.B) pinger {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	return pinger{name: "pro-bing", env: proBingAsked + "=1", read: readLine, args: func(a ask) []string {
		return []string{self, strconv.Itoa(a.count), strconv.Itoa(a.rate)}
	}}
}

// proBingMain is the other end of proBing. The Pingers start one after the
// other as their packets are due, and each keeps its period from there.
func proBingMain() error {
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	rate, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	var targets []string
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		targets = append(targets, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return err
	}
	a := ask{len(targets), count, rate}

	var lock sync.Mutex
	var failed error
	out := bufio.NewWriter(os.Stdout)
	var all sync.WaitGroup
	began := time.Now()
	for i, to := range targets {
		p := probing.New(to)
		p.Count, p.Interval, p.Timeout = count, time.Millisecond, 2*time.Second
		if rate > 0 {
			wait(time.Until(began.Add(time.Duration(i) * a.spacing())))
			p.Interval = a.period()
			p.Timeout += time.Duration(count) * p.Interval
		}
		p.OnRecv = func(r *probing.Packet) {
			lock.Lock()
			defer lock.Unlock()
			fmt.Fprintln(out, r.Addr, r.Seq, r.Rtt.Nanoseconds())
		}
		all.Go(func() {
			if err := p.Run(); err != nil {
				lock.Lock()
				defer lock.Unlock()
				failed = fmt.Errorf("ping %s: %w", to, err)
			}
		})
	}
	all.Wait()
	return errors.Join(failed, out.Flush())
}
