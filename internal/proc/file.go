package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Replace writes a file as a whole: under another name first, then renamed, so
// that a reader sees the old content or the new one, and a full disk leaves the
// old one. With sync the new one survives a power failure.
func Replace(path string, content []byte, mode os.FileMode, sync bool) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && sync {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return err
	}
	if sync {
		return SyncDir(filepath.Dir(path))
	}
	return nil
}

// SyncDir brings the names in a folder to disk: what was made, renamed or removed there.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// TurnLog moves a log of more than most bytes aside: NAME.1 is the newest of the
// old ones that are kept. A child holds its log open and appends, so it is copied
// and cut; a line written between the two is lost.
func TurnLog(path string, most int64, old int) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() < most {
		return nil
	}
	for n := old; n > 1; n-- {
		_ = os.Rename(fmt.Sprintf("%s.%d", path, n-1), fmt.Sprintf("%s.%d", path, n))
	}
	copyErr := CopyFrom(path, 0, path+".1")
	// Cut also when there was no room for the copy: then least of all may it grow.
	if err := os.Truncate(path, 0); err != nil {
		return fmt.Errorf("turn log: %w", err)
	}
	return copyErr
}

// CopyFrom copies what stands in a file from an offset on; nothing leaves no file.
func CopyFrom(path string, offset int64, to string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil || n == 0 {
		_ = os.Remove(to)
	}
	return err
}
