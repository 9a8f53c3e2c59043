package smstools

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// spool is the four folders a message passes.
type spool struct {
	outgoing, checked, sent, failed string
}

// place is where a message is.
type place int

const (
	nowhere place = iota
	outgoing
	checked
	sent
	failed
)

type finding struct {
	place   place
	path    string
	locked  bool      // smsd works on it
	written time.Time // last change of the file
}

// A name becomes a file name, so it must be one.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)

func checkName(name string) error {
	if !fileName.MatchString(name) {
		return fmt.Errorf("%q cannot be the name of a message file", name)
	}
	return nil
}

// usable says in words what is wrong with the folders.
func (s spool) usable() error {
	for _, dir := range []string{s.outgoing, s.checked, s.sent, s.failed} {
		st, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the folder %s does not exist: is smstools installed, and does smsd.conf name this folder?", dir)
		case err != nil:
			return fmt.Errorf("the folder %s: %w", dir, err)
		case !st.IsDir():
			return fmt.Errorf("%s is no folder", dir)
		}
	}
	return nil
}

// put writes the message under a name that smsd overlooks (it skips names that
// begin with a dot), syncs it, and renames it, so that smsd never sees half a
// message. An existing file of that name is an error: names are given once.
func (s spool) put(name, content string) error {
	if err := s.usable(); err != nil {
		return err
	}
	if found, err := s.find(name); err != nil {
		return err
	} else if found.place != nowhere {
		return fmt.Errorf("there is already a message %s", found.path)
	}
	hidden := filepath.Join(s.outgoing, "."+name)
	err := writeSynced(hidden, content)
	if err == nil {
		err = os.Rename(hidden, filepath.Join(s.outgoing, name))
	}
	if err != nil {
		_ = os.Remove(hidden)
		return inWords(s.outgoing, err)
	}
	// Without this a power cut may forget the rename; the row in the database
	// would then find no file and send, which is right, so an error is no matter.
	if d, err := os.Open(s.outgoing); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

func writeSynced(path, content string) error {
	// 0666 and the umask: smsd often runs as another user, of a shared group,
	// and must be able to rewrite the file's headers.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	if st, err := f.Stat(); err == nil {
		_ = f.Chmod(st.Mode().Perm() | 0o660)
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func inWords(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("no space left for a message in %s: %w", dir, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("no permission to write in %s (uid %d): add this user to the group of smsd: %w", dir, os.Getuid(), err)
	}
	return fmt.Errorf("write a message in %s: %w", dir, err)
}

// find looks for a message in all folders, in the order it passes them: what
// moves on while we look is seen in the later folder. It is copied, not
// renamed, by smsd, so that it can be in two for a moment: the later counts.
func (s spool) find(name string) (finding, error) {
	var found finding
	for _, f := range []struct {
		place place
		dir   string
	}{{outgoing, s.outgoing}, {checked, s.checked}, {sent, s.sent}, {failed, s.failed}} {
		path := filepath.Join(f.dir, name)
		st, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) && (f.place == sent || f.place == failed) {
			path, st, err = s.findPreview(f.dir, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return found, fmt.Errorf("look for a message: %w", err)
		}
		found = finding{place: f.place, path: path, written: st.ModTime()}
		_, err = os.Lstat(path + ".LOCK")
		found.locked = err == nil
	}
	return found, nil
}

// findPreview finds a name that smsd lengthened by "-" and the beginning of the
// text (filename_preview in smsd.conf).
func (s spool) findPreview(dir, name string) (string, fs.FileInfo, error) {
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, n := range names {
			if strings.HasPrefix(n, name+"-") && !strings.HasSuffix(n, ".LOCK") {
				path := filepath.Join(dir, n)
				st, err := os.Lstat(path)
				return path, st, err
			}
		}
		if errors.Is(err, io.EOF) {
			return "", nil, fs.ErrNotExist
		}
		if err != nil {
			return "", nil, err
		}
	}
}

// dropUnfinished removes what a process left that died before the rename.
func (s spool) dropUnfinished(name string) { _ = os.Remove(filepath.Join(s.outgoing, "."+name)) }

// withdraw takes a message back. What it says is sure: gone means that smsd has
// not sent it and cannot; held, that smsd has it in its hands; a finding in sent
// or failed, that smsd was quicker.
func (s spool) withdraw(name string) (gone, held bool, err error) {
	// smsd's main process locks the name in checked before it copies, so that
	// a file we remove from outgoing under its hands is found there below.
	err = os.Remove(filepath.Join(s.outgoing, name))
	fromOutgoing := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, false, fmt.Errorf("withdraw a message: %w", err)
	}
	path := filepath.Join(s.checked, name)
	lock := path + ".LOCK"
	f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return false, true, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("withdraw a message: %w", err)
	}
	// smsd looks at the lock's existence only; on a full disk it stays empty.
	_, _ = fmt.Fprintf(f, "%d sonde\n", os.Getpid())
	_ = f.Close()
	err = os.Remove(path)
	fromChecked := err == nil
	if uerr := os.Remove(lock); err == nil {
		err = uerr
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, false, fmt.Errorf("withdraw a message: %w", err)
	}
	return fromOutgoing || fromChecked, false, nil
}

// breakDeadLock removes a message whose lock belongs to a process that is gone.
// smsd removes all locks when it starts, and would send the message then.
func (s spool) breakDeadLock(name string) bool {
	path := filepath.Join(s.checked, name)
	b, err := os.ReadFile(path + ".LOCK")
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	pid, err := strconv.Atoi(first)
	if err != nil || pid <= 0 || alive(pid) {
		return false
	}
	if os.Remove(path) != nil {
		return false
	}
	_ = os.Remove(path + ".LOCK")
	return true
}

// alive: a process of another user answers with EPERM, and lives.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
