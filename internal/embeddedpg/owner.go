package embeddedpg

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner is the user the server runs as. PostgreSQL refuses root.
type owner struct {
	name string
	uid  int
	gid  int
	// cred is nil when the server runs as we do.
	cred *syscall.Credential
}

func serverOwner() owner {
	if os.Geteuid() != 0 {
		return owner{name: "uid " + strconv.Itoa(os.Geteuid()), uid: os.Geteuid(), gid: os.Getegid()}
	}
	o := owner{name: "nobody", uid: 65534, gid: 65534}
	if u, err := user.Lookup("postgres"); err == nil {
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			o = owner{name: "postgres", uid: uid, gid: gid}
		}
	}
	o.cred = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	return o
}

// own makes a folder that belongs to the server's user and nobody else enters.
// A name that is a symbolic link, or already somebody else's, is refused: in a
// shared folder such as /tmp anybody could have put it there.
func (o owner) own(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok {
		return fmt.Errorf("%s is not a folder", dir)
	}
	if int(st.Uid) != o.uid && int(st.Uid) != os.Geteuid() && os.Geteuid() != 0 {
		return fmt.Errorf("folder %s belongs to uid %d, not to %s", dir, st.Uid, o.name)
	}
	if int(st.Uid) != o.uid || int(st.Gid) != o.gid {
		if err := os.Lchown(dir, o.uid, o.gid); err != nil {
			return fmt.Errorf("give folder %s to %s: %w", dir, o.name, err)
		}
	}
	return os.Chmod(dir, 0o700)
}

// reaches asks the kernel whether the server's user can enter dir: below /root,
// for example, it cannot, whatever dir's own mode is.
func (o owner) reaches(dir string) bool {
	if o.cred == nil {
		return true
	}
	// No program has this name. The kernel changes the user, then the folder,
	// and looks for the program last: EACCES comes from the folder.
	cmd := &exec.Cmd{Path: "/nonexistent", Dir: dir, SysProcAttr: &syscall.SysProcAttr{Credential: o.cred}}
	return !errors.Is(cmd.Start(), syscall.EACCES)
}

// socketDir says where the socket of the cluster in dir goes. sun_path ends at
// 107 bytes and its name takes 18; past 90 in all, or where the server's user
// cannot get at it by name, a short runtime folder is used.
func (o owner) socketDir(dir string, closed bool) string {
	run := filepath.Join(dir, "run")
	if len(run)+len("/.s.PGSQL.5432") <= 90 && !closed {
		return run
	}
	return runtimeDir(dir)
}
