package lab

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("LAB_TEST_VICTIM") != "" {
		m.Run()
		return
	}
	os.Exit(Main(m))
}

// ping gives sent and received as iputils or fping count them.
func ping(t *testing.T, from *Host, to netip.Addr, n int) (received int) {
	t.Helper()
	out, _ := from.Command("fping", "-q", "-c", fmt.Sprint(n), "-p", "10", "-t", "1000", to.String()).CombinedOutput()
	m := regexp.MustCompile(`= (\d+)/(\d+)/`).FindStringSubmatch(string(out))
	if m == nil {
		t.Fatalf("fping said %q", out)
	}
	if _, err := fmt.Sscan(m[2], &received); err != nil {
		t.Fatal(err)
	}
	return received
}

func traceroute(t *testing.T, from *Host, args ...string) string {
	t.Helper()
	out, err := from.Command("traceroute", append([]string{"-n", "-w", "0.5", "-N", "30"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("traceroute %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestChainCarriesBothFamilies(t *testing.T) {
	src, routers, dst := New(t).Chain(3)
	for _, v6 := range []bool{false, true} {
		to := Uplink(dst, v6)
		if got := ping(t, src, to, 3); got != 3 {
			t.Errorf("%d of 3 pings to %s came back", got, to)
		}
		out := traceroute(t, src, to.String())
		for _, r := range routers {
			if !strings.Contains(out, " "+Uplink(r, v6).String()+" ") {
				t.Errorf("traceroute does not show %s at %s:\n%s", r.Name, Uplink(r, v6), out)
			}
		}
	}
}

func TestDiamondSpreadsFlowsByPort(t *testing.T) {
	src, routers, dst := New(t).Diamond(2)
	for _, v6 := range []bool{false, true} {
		seen := map[string]bool{}
		for port := 33434; port < 33466 && len(seen) < 2; port++ {
			out := traceroute(t, src, "-q", "1", "-U", "-p", fmt.Sprint(port), Uplink(dst, v6).String())
			for _, arm := range routers[1:3] {
				if strings.Contains(out, " "+Uplink(arm, v6).String()+" ") {
					seen[arm.Name] = true
				}
			}
		}
		if len(seen) != 2 {
			t.Errorf("IPv6 %v: only arms %v were used", v6, seen)
		}
	}
}

func TestLossIsExact(t *testing.T) {
	src, _, dst := New(t).Chain(1)
	dst.LoseEvery(10, "icmp type echo-request")
	if got := ping(t, src, dst.V4(), 30); got != 27 {
		t.Errorf("%d of 30 came back, want 27", got)
	}
	dst.Heal()
	if got := ping(t, src, dst.V4(), 10); got != 10 {
		t.Errorf("healed, %d of 10 came back", got)
	}
}

func TestSilentRouterForwards(t *testing.T) {
	src, routers, dst := New(t).Chain(3)
	routers[1].Silence()
	for _, v6 := range []bool{false, true} {
		out := traceroute(t, src, Uplink(dst, v6).String())
		if !regexp.MustCompile(`(?m)^ 2  \* \* \*$`).MatchString(out) || !strings.Contains(out, " 4  "+Uplink(dst, v6).String()) {
			t.Errorf("want a silent second hop and an end at the fourth:\n%s", out)
		}
	}
}

func TestCutLinkIsMended(t *testing.T) {
	l := New(t)
	src, _, dst := l.Chain(2)
	for i, k := range l.Links() {
		for _, v6 := range []bool{false, true} {
			k.Cut()
			if got := ping(t, src, Uplink(dst, v6), 2); got != 0 {
				t.Errorf("link %d is cut, and %d pings came back", i+1, got)
			}
			k.Mend()
			wait(t, func() bool { return ping(t, src, Uplink(dst, v6), 1) == 1 })
		}
	}
}

func TestRefusingRoutes(t *testing.T) {
	src, routers, dst := New(t).Chain(2)
	for kind, mark := range map[string]string{"unreachable": "!H", "prohibit": "!X", "throw": "!N"} {
		routers[1].Refuse(kind, One(dst.V4()))
		if out := traceroute(t, src, dst.V4().String()); !strings.Contains(out, mark) {
			t.Errorf("%s: no %s in\n%s", kind, mark, out)
		}
	}
	routers[1].Refuse("blackhole", One(dst.V4()))
	if got := ping(t, src, dst.V4(), 1); got != 0 {
		t.Error("a blackhole let a ping through")
	}
}

func TestSocketsStayWhereTheyWereMade(t *testing.T) {
	src, _, dst := New(t).Chain(1)
	listener, err := dst.Listen("tcp", netip.AddrPortFrom(dst.V4(), 7000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	conn, err := src.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
	if interfaces, err := net.Interfaces(); err != nil || slices.ContainsFunc(interfaces, func(i net.Interface) bool { return i.Name == "l1-1" }) {
		t.Errorf("outside the lab: %v, %v", interfaces, err)
	}
}

// TestKilledTestLeavesNothing kills a test that has a lab with a program in
// it, and watches the program and so its namespace go.
func TestKilledTestLeavesNothing(t *testing.T) {
	if os.Getenv("LAB_TEST_VICTIM") != "" {
		src, _, _ := New(t).Chain(1)
		child := src.Command("cat")
		stdin, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nchild %d\n", child.Process.Pid)
		<-t.Context().Done() // until killed
	}
	victim := exec.Command("/proc/self/exe", "-test.run=^TestKilledTestLeavesNothing$")
	victim.Env = append(os.Environ(), "LAB_TEST_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	for s := bufio.NewScanner(out); child == 0 && s.Scan(); {
		fmt.Sscanf(s.Text(), "child %d", &child)
	}
	if child == 0 {
		t.Fatal("the victim started no child")
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	victim.Wait()
	wait(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// wait polls for a condition that another process brings about.
func wait(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited 10 s in vain")
		}
	}
}
