package worker_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sonde/internal/pgtest"
	"sonde/migrations"
)

const fullDiskEnv = "SONDE_TEST_FULL_DISK"

// The database's disk is full for a while; the spool is on another.
func TestFullDiskOfTheDatabaseLosesAndDoublesNothing(t *testing.T) {
	disk := os.Getenv(fullDiskEnv)
	if disk == "" {
		t.Parallel()
		inOwnMount(t)
		return
	}
	// In a changed root "/" is no mount; its mounts are not shared then.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil && !errors.Is(err, unix.EINVAL) {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=200m,mode=755"); err != nil {
		t.Fatal(err)
	}
	usual, set := os.LookupEnv("TMPDIR")
	os.Setenv("TMPDIR", disk)
	pg := pgtest.NewServer(t)
	if os.Unsetenv("TMPDIR"); set {
		os.Setenv("TMPDIR", usual)
	}
	if _, err := migrations.Up(context.Background(), pg.DSN(), catalog(t)); err != nil {
		t.Fatal(err)
	}
	w := worldAt(t, pg.DSN())
	w.exec(`INSERT INTO toolspecs (node, tool, label, options, run_interval, test_type)
		SELECT 'far', 'noop', n::text, '{"do": "a"}', '1 second', 'background' FROM generate_series(1, 100) n`)
	w.scheduler("s")
	a := w.start("a", nil)
	w.begin(200)

	from := w.now()
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	for deadline := time.Now().Add(60 * time.Second); a.Totals().Spooled < 500; w.begin(1) {
		if time.Now().After(deadline) {
			t.Fatalf("the disk is full, and %+v", a.Totals())
		}
	}
	w.log.has(t, "No space left on device")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	select {
	case <-pg.Done(): // it may go down over a log that cannot be written
		pgtest.Restart(t, pg)
	default:
	}
	w.measuredSince(from, a, 8)
}

// inOwnMount runs the test again with mounts of its own, which end with it.
func inOwnMount(t *testing.T) {
	t.Helper()
	disk := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "4m")
	cmd.Env = append(os.Environ(), fullDiskEnv+"="+disk)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 { // PostgreSQL refuses root, so we stay who we are
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
