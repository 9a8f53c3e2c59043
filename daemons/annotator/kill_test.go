package annotator_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sonde/daemons/annotator"
	"sonde/internal/pgtest"
	"sonde/internal/store"
	"sonde/migrations"
)

// A test that kills an annotator starts this binary once more.
func TestMain(m *testing.M) {
	if dsn := os.Getenv("SONDE_ANNOTATOR_CHILD"); dsn != "" {
		child(dsn, os.Getenv("SONDE_ANNOTATOR_SERVER"))
		return
	}
	os.Exit(m.Run())
}

// child is an annotator that says when it asks its name server.
func child(dsn, server string) {
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	a := &annotator.Annotator{Store: store.New(pool), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Every: 10 * time.Millisecond,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			fmt.Println("asking")
			return new(net.Dialer).DialContext(ctx, network, server)
		}}
	_ = a.Run(context.Background())
}

func TestKilledAnnotatorLosesNoAddress(t *testing.T) {
	w := newWorld(t)
	w.dns.told(func() { w.dns.silent = true }) // so that it is killed while it asks
	w.traced("8.8.8.8", "8.8.4.4", "8.8.2.2")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SONDE_ANNOTATOR_CHILD="+w.dsn, "SONDE_ANNOTATOR_SERVER="+w.dns.udp.LocalAddr().String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "asking\n" {
		t.Errorf("%q %v", line, err)
	}
	w.traced("8.8.1.1") // not seen yet, or just
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	w.dns.told(func() { w.dns.silent = false })
	w.start()
	w.until("4 0", `SELECT format('%s %s', count(*) FILTER (WHERE asn_at IS NOT NULL AND name_at IS NOT NULL), sum(failures)) FROM asn`)
}

// The database goes away in the middle of everything, and comes back.
func TestDatabaseThatRestartsCostsNothingButTime(t *testing.T) {
	server := pgtest.NewServer(t)
	if _, err := migrations.Up(t.Context(), server.DSN(), migrations.Catalog{}); err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, server.DSN())
	w.start()
	w.traced("8.8.8.8")
	w.until("- - dns -", known, "8.8.8.8")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	pgtest.Restart(t, server)
	w.eventually(func() bool { return w.pool.Ping(t.Context()) == nil }, func() string { return "the database is away" })
	w.traced("8.8.4.4")
	w.until("- - dns -", known, "8.8.4.4")
}
