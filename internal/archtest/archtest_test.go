package archtest

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rule says what one room may import. The first rule whose room fits a package
// is the one that holds for it.
type rule struct {
	room    string
	ours    []string // of this module: the package itself, or with /… everything below
	foreign []string // of others; nil means any ("its protocol library")
}

var anything []string

var rules = []rule{
	{"cmd", []string{"daemons/…", "keepalive/…", "web/…", "config", "migrations", "probes/…", "notify/…", "analysis/…", "internal/…"}, anything},
	{"daemons", []string{"probes", "notify", "analysis/…", "internal/…"}, anything},
	{"keepalive", []string{"keepalive/…", "internal/…"}, anything},
	// The words of a page about a route are those of its alert.
	{"web", []string{"web/…", "analysis/…", "internal/…"}, anything},
	{"packaging", none, none},
	{"config", []string{"internal/measure"}, anything},
	{"migrations", none, []string{"github.com/jackc/pgx/v5", "github.com/pressly/goose/v3"}},

	{"probes/catalog", []string{"probes/…", "internal/measure"}, none},
	{"probes/probetest", []string{"probes", "internal/measure", "internal/proc", "internal/pgtest"}, anything},
	{"probes", []string{"probes", "internal/measure", "internal/proc"}, anything},
	{"notify/catalog", []string{"notify/…", "internal/measure"}, none},
	{"notify/notifytest", []string{"notify", "internal/measure", "internal/proc"}, anything},
	{"notify", []string{"notify", "internal/measure", "internal/proc"}, anything},
	{"analysis/catalog", []string{"analysis/…", "internal/measure"}, none},
	{"analysis", []string{"analysis/…", "internal/measure"}, []string{"gonum.org/v1/gonum"}},

	{"internal/measure", none, none},
	{"internal/alert", []string{"internal/measure"}, none},
	// The seam that analyst and back-test share.
	{"internal/judge", []string{"analysis", "internal/alert", "internal/measure", "internal/store"}, none},
	{"internal/replay", []string{"analysis", "probes", "internal/judge", "internal/alert", "internal/measure", "internal/store"}, none},
	{"internal/plan", []string{"internal/measure"}, []string{"github.com/robfig/cron/v3"}},
	{"internal/store", []string{"internal/measure", "internal/plan", "internal/alert"}, []string{"github.com/jackc/pgx/v5"}},
	{"internal/proc", []string{"internal/measure"}, anything},
	{"internal/embeddedpg", []string{"internal/measure", "internal/proc"}, anything},
	{"internal/daemon", []string{"internal/measure", "internal/proc", "internal/store"}, anything},
	// Brings the catalogues into a migrated database, for cmd and for tests.
	{"internal/schema", []string{"migrations", "probes/…", "notify/…", "analysis/…", "internal/…"}, anything},
	{"internal/pgtest", []string{"migrations", "internal/…"}, anything},
	{"internal/lab", []string{"internal/proc", "internal/measure"}, anything},
	{"internal", []string{"internal/…"}, anything},
}

var none = []string{}

// forTests reports whether a package exists for tests; the program's own code
// must not carry it.
func forTests(pkg string) bool { return pkg == "internal/lab" || strings.HasSuffix(pkg, "test") }

func ruleOf(pkg string) (rule, bool) {
	for _, r := range rules {
		if under(pkg, r.room) {
			return r, true
		}
	}
	return rule{}, false
}

func allows(list []string, pkg string) bool {
	return slices.ContainsFunc(list, func(allowed string) bool {
		whole, below := strings.CutSuffix(allowed, "/…")
		return pkg == whole || below && under(pkg, whole)
	})
}

// Arrows that point the wrong way are named: from, to, and the file to open.
func TestNobodyKnocksOnAForeignDoor(t *testing.T) {
	for _, f := range files(t) {
		r, ok := ruleOf(f.pkg)
		if !ok {
			t.Errorf("%s: the room %q is not in the drawing; add it to house and to internal/archtest", f.name, f.pkg)
			continue
		}
		for _, imported := range f.imports {
			to, isOurs := ours(imported)
			switch {
			case isOurs && to == f.pkg: // an external test of the package
			case isOurs && f.test && (forTests(to) || to == "migrations" || to == "internal/schema" || under(to, "probes", "notify", "analysis") || to == "internal/spool"):
				// what a test seeds, feeds and looks at must be the real schema and the real catalogue
			case isOurs && f.test && under(f.pkg, "daemons") && under(to, "daemons"):
				// a test may let several daemons play together
			case isOurs && !f.test && forTests(to) && !forTests(f.pkg):
				t.Errorf("%s: %s ─▶ %s: that package is for tests only", f.name, f.pkg, to)
			case isOurs && !allows(r.ours, to):
				t.Errorf("%s: the arrow %s ─▶ %s turned: %s may import %s", f.name, f.pkg, to, r.room, said(r.ours))
			case foreign(imported) && !f.test && r.foreign != nil && !under(imported, r.foreign...):
				t.Errorf("%s: %s ─▶ %s: of others' packages %s may import %s", f.name, f.pkg, imported, r.room, said(r.foreign))
			}
		}
	}
}

func said(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// One tool or medium must not lean on another: it is added and taken out alone.
func TestToolsAndMediumsDoNotKnowEachOther(t *testing.T) {
	for _, f := range files(t) {
		for _, room := range []string{"probes", "notify"} {
			if path.Dir(f.pkg) != room || under(f.pkg, room+"/catalog") {
				continue
			}
			for _, imported := range f.imports {
				to, isOurs := ours(imported)
				if isOurs && path.Dir(to) == room && to != f.pkg && !forTests(to) {
					t.Errorf("%s: %s ─▶ %s: two of the same kind must not know each other", f.name, f.pkg, to)
				}
			}
		}
	}
}

// libraries say who may use what needs a door of its own.
var libraries = []struct {
	path  string
	rooms []string
	why   string
}{
	{"github.com/jackc/pgx/v5/pgxpool", []string{"internal/store", "internal/daemon", "cmd", "migrations", "internal/pgtest", "internal/embeddedpg"}, "the pool is opened by internal/daemon and handed on"},
	{"github.com/jackc/pgx/v5", []string{"internal/store", "internal/daemon", "migrations", "internal/pgtest", "internal/embeddedpg"}, "only internal/store and migrations know SQL"},
	{"database/sql", []string{"migrations"}, "only internal/store and migrations know SQL"},
	{"github.com/pressly/goose/v3", []string{"migrations"}, "only migrations migrates"},
	{"flag", []string{"cmd", "config"}, "only cmd and config know flags"},
	{"github.com/spf13/pflag", []string{"cmd", "config"}, "only cmd and config know flags"},
	{"github.com/BurntSushi/toml", []string{"config", "keepalive"}, "files are read by config and, for its own lists, by keepalive"},
	{"github.com/go-ping/ping", []string{"probes/ping"}, "go-ping stays behind probes/ping"},
	{"github.com/fergusstrange/embedded-postgres", []string{"internal/embeddedpg"}, "fetching a server is embeddedpg's"},
	{"gonum.org/v1/gonum", []string{"analysis"}, "arithmetic belongs to the analyses"},
}

func TestLibrariesStayBehindTheirDoors(t *testing.T) {
	for _, f := range files(t) {
		for _, imported := range f.imports {
			for _, l := range libraries {
				if !under(imported, l.path) {
					continue
				}
				if under(f.pkg, l.rooms...) {
					break // the first line that fits holds
				}
				// A test may look into the database by itself, and read -update flags.
				if f.test && (under(imported, "github.com/jackc/pgx/v5") || imported == "flag") {
					continue
				}
				t.Errorf("%s: %s ─▶ %s: %s", f.name, f.pkg, imported, l.why)
				break
			}
		}
	}
}

// go-ping knows no context and measures by wall clock; tests alone ask it.
func TestGoPingIsASecondOpinionOnly(t *testing.T) {
	for _, f := range files(t) {
		if slices.Contains(f.imports, "github.com/go-ping/ping") && !f.test {
			t.Errorf("%s imports go-ping", f.name)
		}
	}
}

var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "tcsh", "fish", "busybox"}

// Nothing from the database, the network or a file ever reaches a shell:
// programs are started with a list of arguments, and no such list has one.
func TestNoShellIsStarted(t *testing.T) {
	for _, f := range files(t) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			var started ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				started = n.Fun
			case *ast.CompositeLit:
				started = n.Type
			}
			what, ok := started.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := what.X.(*ast.Ident); ok && slices.Contains(starters, x.Name) {
				ast.Inspect(n, func(n ast.Node) bool {
					lit, ok := n.(*ast.BasicLit)
					if !ok || lit.Kind != token.STRING {
						return true
					}
					text, err := strconv.Unquote(lit.Value)
					if err == nil && slices.Contains(shells, path.Base(text)) {
						t.Errorf("%s: %s starts %q: no shell is started", f.at(lit), x.Name, text)
					}
					return true
				})
			}
			return true
		})
	}
}

// starters are the packages that start programs, by their functions and by the structs they take.
var starters = []string{"exec", "proc", "syscall", "unix"}

// A probe that takes longer than a test waits for is no reason to sleep:
// waiting for a condition is quicker and does not lie on a slow machine.
func TestTestsDoNotSleep(t *testing.T) {
	for _, f := range files(t) {
		if !f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := call.X.(*ast.Ident)
			switch {
			case !ok:
			case x.Name == "time" && call.Sel.Name == "Sleep" && !slices.Contains(f.imports, "testing/synctest"):
				t.Errorf("%s: time.Sleep: wait for the condition instead", f.at(n))
			case x.Name == "t" && (call.Sel.Name == "Skip" || call.Sel.Name == "Skipf" || call.Sel.Name == "SkipNow"):
				t.Errorf("%s: t.%s: what cannot be tried fails and says what is missing", f.at(n), call.Sel.Name)
			}
			return true
		})
	}
}

// rooms without goroutines that outlive a call: analyses and the shared words
// have none at all.
func TestArithmeticStartsNoGoroutines(t *testing.T) {
	for _, f := range files(t) {
		if f.test || !under(f.pkg, "analysis", "internal/measure", "internal/alert", "internal/plan") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: a goroutine in a room of plain arithmetic", f.at(n))
			}
			if call, ok := n.(*ast.SelectorExpr); ok && !under(f.pkg, "internal/measure") {
				if x, ok := call.X.(*ast.Ident); ok && x.Name == "time" && (call.Sel.Name == "Now" || call.Sel.Name == "Since") {
					t.Errorf("%s: time.%s: time is an input here", f.at(n), call.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestEveryPackageTellsWhatItIs(t *testing.T) {
	told := map[string]bool{}
	for _, f := range files(t) {
		if !f.test {
			told[f.pkg] = told[f.pkg] || hasDoc(t, f.name)
		}
	}
	for pkg, ok := range told {
		if !ok {
			t.Errorf("%s has no package comment (doc.go)", pkg)
		}
	}
}
