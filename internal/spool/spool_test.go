package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const asChild = "SONDE_TEST_SPOOL_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(asChild) {
	case "full disk":
		fillDisk()
	case "append for ever":
		appendForEver(os.Args[1])
	default:
		os.Exit(m.Run())
	}
}

func records(from, n int) []json.RawMessage {
	var list []json.RawMessage
	for i := range n {
		list = append(list, json.RawMessage(fmt.Sprintf(`{"n":%d}`, from+i)))
	}
	return list
}

func open(t testing.TB, dir, name string, limit int64) *Writer {
	t.Helper()
	w, err := Open(dir, name, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Release(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func release(t interface{ Error(...any) }, w *Writer) {
	if err := w.Release(); err != nil {
		t.Error(err)
	}
}

// numbers reads all segments that can be had.
func numbers(t testing.TB, dir string) []int {
	t.Helper()
	list, err := Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, s := range list {
		found, err := s.Read()
		if err != nil {
			t.Fatalf("%s: %v", s.Path, err)
		}
		s.Close()
		for _, r := range found {
			var v struct{ N int }
			if err := json.Unmarshal(r, &v); err != nil {
				t.Fatal(err)
			}
			all = append(all, v.N)
		}
	}
	return all
}

func upTo(n int) []int {
	var list []int
	for i := range n {
		list = append(list, i)
	}
	return list
}

func TestWhatWasAppendedIsReadInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	w := open(t, dir, "worker-ping", 1<<20)
	for i := range 10 {
		if err := w.Append(records(i*7, 7)); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			release(t, w)
		}
	}
	release(t, w)
	if got := numbers(t, dir); !slices.Equal(got, upTo(70)) {
		t.Errorf("read %v", got)
	}
	files, bytes, err := Usage(dir)
	if err != nil || files != 4 || bytes == 0 {
		t.Errorf("%d files, %d bytes, %v", files, bytes, err)
	}
}

func TestLineBreaksInARecordDoNotBreakTheLine(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, "w", 1<<20)
	if err := w.Append([]json.RawMessage{json.RawMessage("{\n  \"n\": 0\n}\n"), json.RawMessage(`{"n":1}`)}); err != nil {
		t.Fatal(err)
	}
	release(t, w)
	if got := numbers(t, dir); !slices.Equal(got, upTo(2)) {
		t.Errorf("read %v", got)
	}
	if err := w.Append([]json.RawMessage{json.RawMessage(`{"n":`)}); err == nil {
		t.Error("half a record was taken")
	}
}

func TestOpenSegmentIsTheWriters(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, "w", 1<<20)
	if err := w.Append(records(0, 1)); err != nil {
		t.Fatal(err)
	}
	list, err := Scan(dir)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	if _, err := list[0].Read(); !errors.Is(err, ErrBusy) {
		t.Errorf("read of an open segment: %v", err)
	}
	release(t, w)
	if _, err := list[0].Read(); err != nil {
		t.Errorf("read of a released segment: %v", err)
	}
	if err := list[0].Remove(); err != nil {
		t.Error(err)
	}
	if files, _, _ := Usage(dir); files != 0 {
		t.Errorf("%d files left", files)
	}
}

func TestFullSpoolKeepsTheOldestAndRefusesTheNewest(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, "a", 1000), open(t, dir, "b", 1000)
	kept := 0
	for {
		err := a.Append(records(kept, 1))
		if err == nil {
			kept++
			continue
		}
		if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), dir) {
			t.Fatal(err)
		}
		break
	}
	if err := b.Append(records(0, 5)); !errors.Is(err, ErrFull) {
		t.Errorf("another writer of the full folder: %v", err)
	}
	release(t, a)
	if got := numbers(t, dir); !slices.Equal(got, upTo(kept)) {
		t.Errorf("kept %d, read %v", kept, got)
	}
	list, _ := Scan(dir)
	if err := list[0].Remove(); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(records(0, 5)); err != nil {
		t.Errorf("after the loader made room: %v", err)
	}
}

func TestLongSegmentIsClosedForTheLoader(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, "w", 1<<30)
	big := json.RawMessage(`{"n":0,"x":"` + strings.Repeat("x", segmentSize/2) + `"}`)
	for range 3 {
		if err := w.Append([]json.RawMessage{big}); err != nil {
			t.Fatal(err)
		}
	}
	list, _ := Scan(dir)
	if len(list) != 2 {
		t.Fatalf("%d segments", len(list))
	}
	if found, err := list[0].Read(); err != nil || len(found) != 2 {
		t.Errorf("%d records, %v", len(found), err)
	}
	list[0].Close()
}

func TestSegmentIsClosedForTheLoaderAlsoWhenNobodySaysSo(t *testing.T) {
	segmentAge = 10 * time.Millisecond
	defer func() { segmentAge = time.Minute }()
	dir := t.TempDir()
	w := open(t, dir, "w", 1<<20)
	if err := w.Append(records(0, 3)); err != nil {
		t.Fatal(err)
	}
	list, _ := Scan(dir)
	for {
		found, err := list[0].Read()
		if errors.Is(err, ErrBusy) {
			runtime.Gosched()
			continue
		}
		if err != nil || len(found) != 3 {
			t.Errorf("%d records, %v", len(found), err)
		}
		break
	}
	list[0].Close()
	if err := w.Append(records(3, 3)); err != nil {
		t.Fatal(err)
	}
	release(t, w)
	if got := numbers(t, dir); !slices.Equal(got, upTo(6)) {
		t.Errorf("read %v", got)
	}
}

// A write that the file system takes only half of must not spoil what follows.
func TestShortWriteCorruptsNothing(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, "w", 1<<20)
	if err := w.Append(records(0, 10)); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	small := before
	small.Cur = uint64(w.size) + 25
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	err := w.Append(records(10, 10))
	if e := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, unix.EFBIG) {
		t.Fatalf("the write ended with %v", err)
	}
	if err := w.Append(records(10, 10)); err != nil {
		t.Fatal(err)
	}
	release(t, w)
	if got := numbers(t, dir); !slices.Equal(got, upTo(20)) {
		t.Errorf("read %v", got)
	}
}

func TestFullDiskIsAnErrorAndNothingKeptIsLost(t *testing.T) {
	cmd := child(t, "full disk")
	// A mount of its own, which ends with the child.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func child(t *testing.T, as string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asChild+"="+as)
	return cmd
}

func fillDisk() {
	t := &failing{}
	dir, err := os.MkdirTemp("", "sonde-spool")
	t.need(err)
	defer os.Remove(dir)
	// In a changed root "/" is no mount; its mounts are not shared then.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != unix.EINVAL {
		t.need(err)
	}
	t.need(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	defer unix.Unmount(dir, 0)
	w, err := Open(dir, "w", 1<<20)
	t.need(err)
	kept := 0
	for {
		err := w.Append(records(kept, 100))
		if err != nil {
			if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dir) {
				t.need(fmt.Errorf("the full disk ended with %w", err))
			}
			break
		}
		kept += 100
	}
	list, err := Scan(dir)
	t.need(err)
	n := 0
	for _, s := range list {
		found, err := s.Read()
		t.need(err)
		n += len(found)
		t.need(s.Remove())
	}
	if n != kept || kept == 0 {
		t.need(fmt.Errorf("%d records were kept, %d read", kept, n))
	}
	t.need(w.Append(records(0, 100))) // room again
	release(t, w)
}

type failing struct{}

func (f *failing) Error(args ...any) { f.need(fmt.Errorf("%v", args)) }

func (*failing) need(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func TestKilledWriterLosesNothingThatReturned(t *testing.T) {
	for range 5 {
		dir := t.TempDir()
		cmd := child(t, "append for ever", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var returned int
		for returned < 200 {
			if _, err := fmt.Fscan(out, &returned); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		got := numbers(t, dir)
		if len(got) < returned || !slices.Equal(got, upTo(len(got))) {
			t.Errorf("%d had returned, %d are there", returned, len(got))
		}
	}
}

func appendForEver(dir string) {
	t := &failing{}
	w, err := Open(dir, "w", 1<<30)
	t.need(err)
	for n := 0; ; n += 10 {
		t.need(w.Append(records(n, 10)))
		fmt.Println(n + 10)
		if n%50 == 0 {
			release(t, w)
		}
	}
}

func TestFolderThatCannotBeWrittenIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "spool"), "w", 1); err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
	if _, err := Open("/proc/self/fdinfo", "w", 1<<20); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Error(err)
	}
	if list, err := Scan("/nonexistent/spool"); err != nil || list != nil {
		t.Errorf("a spool that was never made: %v %v", list, err)
	}
}
