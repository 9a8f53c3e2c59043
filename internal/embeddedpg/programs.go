package embeddedpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	fetcher "github.com/fergusstrange/embedded-postgres"
)

// ErrNoPrograms says that there is no PostgreSQL to run and none can be fetched.
var ErrNoPrograms = errors.New("no PostgreSQL server programs")

// programs is where the server programs of one version are.
type programs struct {
	bin   string
	major string // "15"
}

// findPrograms looks in PATH, in the distributions' versioned folders (newest
// first) and asks pg_config. A cluster once made runs only with programs of its
// own major version, so with major given nothing else is taken.
func findPrograms(ctx context.Context, major string) (programs, error) {
	var seen []string
	for _, bin := range candidates(ctx) {
		p, err := inspect(ctx, bin)
		if err != nil {
			continue
		}
		if major == "" || p.major == major {
			return p, nil
		}
		seen = append(seen, p.major)
	}
	if major != "" && len(seen) > 0 {
		return programs{}, fmt.Errorf("%w of version %s, with which this database was made (found: %s): apt-get install postgresql-%s, or move the data with pg_upgrade",
			ErrNoPrograms, major, strings.Join(seen, ", "), major)
	}
	return programs{}, ErrNoPrograms
}

func candidates(ctx context.Context) []string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	var versioned []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/usr/local/pgsql/bin"} {
		found, _ := filepath.Glob(pattern)
		versioned = append(versioned, found...)
	}
	slices.SortStableFunc(versioned, func(a, b string) int { return versionIn(b) - versionIn(a) })
	dirs = append(dirs, versioned...)
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	return dirs
}

// versionIn reads the number in a folder's path: 15 of /usr/lib/postgresql/15/bin.
func versionIn(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[0])
	return n
}

// inspect says which version lives in a folder, if both programs are there.
func inspect(ctx context.Context, bin string) (programs, error) {
	if !filepath.IsAbs(bin) {
		return programs{}, errors.New("not an absolute path")
	}
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(bin, name)); err != nil {
			return programs{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return programs{}, err
	}
	major := versionIn(string(out)) // postgres (PostgreSQL) 15.18 (Debian …)
	if major < 14 {
		return programs{}, fmt.Errorf("%s is too old: PostgreSQL 14 or later", bytes.TrimSpace(out))
	}
	return programs{bin: bin, major: strconv.Itoa(major)}, nil
}

// fetchPrograms has the embedded-postgres library fetch the programs into
// dir/programs. The library knows no way to fetch without starting; it is given
// a locale that no machine has, so that its own initdb fails after unpacking and
// nothing is started. Whether it worked is told by the programs being there.
func fetchPrograms(ctx context.Context, dir string) (programs, error) {
	into := filepath.Join(dir, "programs")
	if p, err := inspect(ctx, filepath.Join(into, "bin")); err == nil {
		return p, nil
	}
	scratch := filepath.Join(dir, "programs.new")
	defer os.RemoveAll(scratch)
	defer removeLogs(time.Now())
	server := fetcher.NewDatabase(fetcher.DefaultConfig().
		Port(0).
		CachePath(filepath.Join(scratch, "cache")).
		BinariesPath(into).
		RuntimePath(filepath.Join(scratch, "run")).
		DataPath(filepath.Join(scratch, "data")).
		Locale("none_of_this_name").
		Logger(io.Discard))
	done := make(chan error, 1)
	go func() {
		err := server.Start()
		if err == nil {
			err = server.Stop()
		}
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		// The library knows no context; its download ends by itself.
		return programs{}, context.Cause(ctx)
	}
	p, missing := inspect(ctx, filepath.Join(into, "bin"))
	if missing != nil {
		return programs{}, fmt.Errorf("fetching them: %w", err)
	}
	return p, nil
}

// removeLogs removes what the library wrote to the folder of temporary files and
// forgets there.
func removeLogs(since time.Time) {
	logs, _ := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*"))
	for _, log := range logs {
		if info, err := os.Lstat(log); err == nil && info.Mode().IsRegular() && !info.ModTime().Before(since.Add(-time.Second)) {
			_ = os.Remove(log)
		}
	}
}
