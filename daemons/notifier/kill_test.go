package notifier_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/daemons/notifier"
	"sonde/internal/pgtest"
	"sonde/internal/store"
	"sonde/migrations"
	"sonde/notify"
	"sonde/notify/smstools/smsdtest"
)

// A test that kills a notifier starts this binary once more.
func TestMain(m *testing.M) {
	if dsn := os.Getenv("SONDE_NOTIFIER_CHILD"); dsn != "" {
		child(dsn, os.Getenv("SONDE_NOTIFIER_HALT"))
		return
	}
	os.Exit(m.Run())
}

// child is a notifier that stands still at one point of its first delivery, says
// so, and waits to be killed.
func child(dsn, point string) {
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	n := &notifier.Notifier{
		Store: store.New(pool), Name: fmt.Sprintf("child/%d", os.Getpid()), Lease: time.Second,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Report: func(string, time.Duration) {},
		Type: func(name string) (notify.Type, bool) {
			t, ok := find(name)
			inner := t.New
			t.New = func(raw json.RawMessage, env notify.Env) (notify.Medium, error) {
				m, err := inner(raw, env)
				return halting{m, raw, point}, err
			}
			return t, ok
		},
	}
	fmt.Println("ready")
	_ = n.Run(context.Background())
}

type halting struct {
	notify.Medium
	options json.RawMessage
	point   string
}

func (h halting) Send(ctx context.Context, m notify.Message) (notify.Proof, error) {
	var o struct{ Spool string }
	_ = json.Unmarshal(h.options, &o)
	stand := func() {
		fmt.Println("here")
		<-context.Background().Done()
	}
	switch h.point {
	case "before the medium":
		stand()
	case "file half written":
		_ = os.WriteFile(filepath.Join(o.Spool, "outgoing", "."+m.Name), []byte("To: 49"), 0o600)
		stand()
	case "file in the spool":
		go h.Medium.Send(ctx, m)
		for look := time.NewTicker(2 * time.Millisecond); ; <-look.C {
			if _, err := os.Stat(filepath.Join(o.Spool, "outgoing", m.Name)); err == nil {
				stand()
			}
		}
	}
	proof, err := h.Medium.Send(ctx, m)
	if h.point == "proof not yet stored" {
		stand()
	}
	return proof, err
}

// startChild starts a notifier that can be killed, and gives its output.
func (w *world) startChild(point string) (kill func(), lines *bufio.Reader) {
	w.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SONDE_NOTIFIER_CHILD="+w.dsn, "SONDE_NOTIFIER_HALT="+point)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	w.Cleanup(kill)
	return kill, bufio.NewReader(out)
}

// spool is a spool directory whose smsd is played by the test: it moves files
// from outgoing to sent and keeps what it sent.
type spool struct {
	dir  string
	mu   sync.Mutex
	sent []string // texts
}

func (w *world) newSpool() *spool {
	s := &spool{dir: smsdtest.NewSpool(w).Dir}
	w.exec("INSERT INTO mediums (name, type, options) VALUES ('sms', 'smstools', jsonb_build_object('spool', $1::text, 'timeout', '20s'))", s.dir)
	w.exec("INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'sms', '4915112345678')")
	return s
}

// play plays smsd until the test ends.
func (s *spool) play(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	t.Cleanup(func() { cancel(); done.Wait() })
	done.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			files, _ := os.ReadDir(filepath.Join(s.dir, "outgoing"))
			for _, f := range files {
				if strings.HasPrefix(f.Name(), ".") {
					continue
				}
				b, err := os.ReadFile(filepath.Join(s.dir, "outgoing", f.Name()))
				if err != nil || os.Rename(filepath.Join(s.dir, "outgoing", f.Name()), filepath.Join(s.dir, "sent", f.Name())) != nil {
					continue
				}
				_, text, _ := strings.Cut(string(b), "\n\n")
				s.mu.Lock()
				s.sent = append(s.sent, text)
				s.mu.Unlock()
			}
			<-tick.C
		}
	})
}

func (s *spool) count() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[string]int{}
	for _, text := range s.sent {
		count[text]++
	}
	return count
}

func waitFor(t *testing.T, lines *bufio.Reader, word string) {
	t.Helper()
	for {
		l, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the child said nothing of %q: %v", word, err)
		}
		if strings.TrimSpace(l) == word {
			return
		}
	}
}

func TestNotifierKilledAtAnyPointSendsExactlyOnceBySmstools(t *testing.T) {
	for _, point := range []string{"before the medium", "file half written", "file in the spool", "proof not yet stored"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.newSpool()
			if point == "proof not yet stored" {
				s.play(t)
			}
			kill, lines := w.startChild(point)
			_, notice := w.alert("cern")
			waitFor(t, lines, "here")
			kill()
			if point != "proof not yet stored" {
				s.play(t)
			}
			if got := w.text("SELECT state FROM deliveries"); got != "trying" {
				t.Errorf("the row that the killed notifier left says %q", got)
			}
			for i := range 2 {
				w.run(w.notifier(fmt.Sprintf("n%d", i)))
			}
			w.done(notice)
			for text, n := range s.count() {
				if n != 1 {
					t.Errorf("%q was sent %d times", text, n)
				}
			}
			if len(s.count()) != 1 {
				t.Errorf("sent: %v, want one message", s.count())
			}
			if got := w.text("SELECT state || ' ' || tries FROM deliveries"); got != "ok 1" {
				t.Errorf("the delivery ended as %q", got)
			}
			if left, _ := filepath.Glob(filepath.Join(s.dir, "outgoing", ".*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestNotifierKilledAgainAndAgainLosesAndDoublesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.newSpool()
	s.play(t)
	const alerts, kills = 60, 8
	for k := range kills {
		kill, lines := w.startChild("")
		waitFor(t, lines, "ready")
		go io.Copy(io.Discard, lines)
		for i := range alerts / kills {
			w.alert(fmt.Sprintf("host%d-%d", k, i))
		}
		// Any moment will do; what it hits differs each time.
		moment := time.NewTimer(time.Duration(rand.IntN(600)) * time.Millisecond)
		<-moment.C
		kill()
	}
	w.run(w.notifier("last"))
	w.wait("all to be told", "SELECT bool_and(done_at IS NOT NULL) FROM notices")
	count := s.count()
	if len(count) != alerts/kills*kills {
		t.Errorf("%d messages reached smsd, want %d", len(count), alerts/kills*kills)
	}
	for text, n := range count {
		if n != 1 {
			t.Errorf("%q was sent %d times", text, n)
		}
	}
	if bad := w.text("SELECT count(*)::text FROM deliveries WHERE state <> 'ok'"); bad != "0" {
		t.Errorf("%s deliveries did not end as ok", bad)
	}
}

// The plain log forgets: it cannot be asked. Then one more is sent, and no third.
func TestMediumThatForgetsIsSentToOnceMoreAfterAKill(t *testing.T) {
	w := newWorld(t)
	w.exec("INSERT INTO mediums (name, type) VALUES ('own log', 'log')")
	w.step("anna", 1, "own log", true)
	kill, lines := w.startChild("proof not yet stored")
	_, notice := w.alert("cern")
	waitFor(t, lines, "here")
	kill()
	w.run(w.notifier("n"))
	w.done(notice)
	if got := w.text("SELECT state || ' ' || tries || ' ' || doubts FROM deliveries"); got != "ok 2 1" {
		t.Errorf("the delivery ended as %q, want ok at the second try after one doubt", got)
	}
}

func TestSMSReachesThePhoneByTheRealSmsd(t *testing.T) {
	w := newWorld(t)
	s := smsdtest.NewSpool(t)
	w.exec("INSERT INTO mediums (name, type, options) VALUES ('sms', 'smstools', $1)", string(s.Options()))
	w.exec("INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'sms', '+49 151 12345678')")
	s.Start()
	w.run(w.notifier("n"))
	alert, notice := w.alert("cern")
	w.done(notice)
	w.exec("UPDATE alerts SET closed_at = now(), ended_at = now(), close_text = 'answers again' WHERE id = $1", alert)
	over := w.notice(alert, "clear", "cern")
	w.done(over)
	sent := s.Modem.Sent()
	if len(sent) != 2 || sent[0].To != "4915112345678" {
		t.Fatalf("the modem sent %+v", sent)
	}
	if !strings.HasPrefix(sent[0].Text, "DOWN cern: no answer, 3 runs in a row, since ") || !strings.HasSuffix(sent[0].Text, fmt.Sprintf("[a%d]", alert)) {
		t.Errorf("anna read %q", sent[0].Text)
	}
	if !strings.HasPrefix(sent[1].Text, "OK cern: ") {
		t.Errorf("anna read %q", sent[1].Text)
	}
	if a := w.text("SELECT answer FROM deliveries WHERE notice_id = $1", notice); !strings.Contains(a, "smsd sent it by GSM1") {
		t.Errorf("the row says %q", a)
	}
}

func TestDatabaseKilledWhileAMessageIsUnderWayDoublesNothing(t *testing.T) {
	server := pgtest.NewServer(t)
	if _, err := migrations.Up(t.Context(), server.DSN(), known()); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := &world{T: t, pool: pool, dsn: server.DSN(), dir: t.TempDir()}
	w.exec("INSERT INTO mediums (name, type) VALUES ('slow', 'scripted')")
	w.step("anna", 1, "slow", true)
	called, free := make(chan struct{}, 10), make(chan struct{})
	slow := scripted(func(context.Context, notify.Message) (notify.Proof, error) {
		called <- struct{}{}
		<-free
		return notify.Proof{Reference: "r", Text: "at last"}, nil
	})
	w.run(w.notifier("n", func(n *notifier.Notifier) { n.Type = func(string) (notify.Type, bool) { return slow, true } }))
	_, notice := w.alert("cern")
	<-called
	if err := syscall.Kill(server.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	close(free)
	pgtest.Restart(t, server)
	up := time.NewTicker(50 * time.Millisecond)
	defer up.Stop()
	for end := time.Now().Add(30 * time.Second); w.pool.Ping(t.Context()) != nil; <-up.C {
		if time.Now().After(end) {
			t.Fatal("the database does not come back")
		}
	}
	w.done(notice)
	if got := w.text("SELECT state || ' ' || tries || ' ' || answer FROM deliveries"); got != "ok 1 at last" {
		t.Errorf("the delivery ended as %q", got)
	}
	if len(called) != 0 {
		t.Errorf("%d more messages were sent", len(called))
	}
}
