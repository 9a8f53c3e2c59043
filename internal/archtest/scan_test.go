package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// file is one Go file of the program's module.
type file struct {
	name    string // from the root of the repository
	pkg     string // folder from the root: "probes/ping"
	test    bool
	imports []string
	syntax  *ast.File
	at      func(ast.Node) string
}

// files reads every Go file, whatever its build tags, but for modules of their own.
func files(t *testing.T) []file {
	t.Helper()
	var out []file
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel == "bench" || rel == "tools" || d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		syntax, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			return err
		}
		f := file{name: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), syntax: syntax}
		for _, i := range syntax.Imports {
			to, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, to)
		}
		f.at = func(n ast.Node) string { return rel + ":" + strconv.Itoa(set.Position(n.Pos()).Line) }
		out = append(out, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 5 {
		t.Fatalf("only %d Go files found under %s", len(out), root)
	}
	return out
}

// under reports whether pkg is room or lies in it.
func under(pkg string, rooms ...string) bool {
	for _, room := range rooms {
		if pkg == room || strings.HasPrefix(pkg, room+"/") {
			return true
		}
	}
	return false
}

// ours gives the folder of an import of this module.
func ours(imported string) (string, bool) {
	return strings.CutPrefix(imported, "sonde/")
}

// foreign reports whether an import is neither ours nor of the standard library.
func foreign(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".")
}

// hasDoc reports whether the file carries the comment of its package.
func hasDoc(t *testing.T, name string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	return f.Doc != nil
}
