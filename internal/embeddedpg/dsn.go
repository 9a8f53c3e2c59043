package embeddedpg

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The role and the database that the platform uses. The role made the cluster,
// so it may do everything in it.
const (
	Role     = "sonde"
	Database = "sonde"
	port     = "5432" // part of the socket's name, nothing listens on TCP
)

// DSN is the connection string of the server in dir, which need not run now. A
// running server's own word for where its socket is wins over what we would choose.
func DSN(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("no database in %s yet: %w", dir, err)
		}
		return "", fmt.Errorf("look for the database in %s: %w", dir, err)
	}
	if pid, err := readPidfile(data); err == nil && pid.socketDir != "" {
		return dsnAt(pid.socketDir, Database), nil
	}
	o := serverOwner()
	return dsnAt(o.socketDir(dir, !o.reaches(data)), Database), nil
}

func dsnAt(socketDir, database string) string {
	q := url.Values{"host": {socketDir}, "port": {port}}
	// libpq takes "+" for itself, not for a blank, and reads slashes as they are.
	query := strings.NewReplacer("+", "%20", "%2F", "/").Replace(q.Encode())
	u := url.URL{Scheme: "postgresql", User: url.User(Role), Host: "", Path: "/" + database, RawQuery: query}
	return u.String()
}

// runtimeDir is a short folder that is the same for the same dir, also after a restart.
func runtimeDir(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	name := "sonde-" + hex.EncodeToString(sum[:6])
	if os.Geteuid() == 0 {
		if info, err := os.Stat("/run"); err == nil && info.IsDir() {
			return filepath.Join("/run", name)
		}
		return filepath.Join("/tmp", name)
	}
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); xdg != "" && len(xdg) < 50 {
		if info, err := os.Stat(xdg); err == nil && info.IsDir() && info.Sys().(*syscall.Stat_t).Uid == uint32(os.Geteuid()) {
			return filepath.Join(xdg, name)
		}
	}
	return filepath.Join("/tmp", name+"-"+strconv.Itoa(os.Geteuid()))
}
