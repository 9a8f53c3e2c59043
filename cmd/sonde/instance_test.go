package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A power cut or a full disk leaves it empty; the supervisor went round and round on it.
func TestEmptyIdentityOfAStateFolderIsMadeAnew(t *testing.T) {
	state := t.TempDir()
	if err := os.WriteFile(filepath.Join(state, "instance"), []byte(" \n"), 0o644); err != nil {
		t.Fatal(err)
	}
	first, err := instanceOf(state)
	if err != nil || first == "" {
		t.Fatalf("%q, %v", first, err)
	}
	if again, err := instanceOf(state); again != first || err != nil {
		t.Errorf("%q, then %q, %v", first, again, err)
	}
}

func TestDatabaseOfAnotherUserIsNotToBeStarted(t *testing.T) {
	denied := noDatabase(fmt.Errorf("stat PG_VERSION: %w", fs.ErrPermission), "/var/lib/sonde").Error()
	if strings.Contains(denied, "sonde up") || !strings.Contains(denied, "ask as root") {
		t.Errorf("%q", denied)
	}
	if missing := noDatabase(fs.ErrNotExist, "/var/lib/sonde").Error(); !strings.Contains(missing, "`sonde up --data /var/lib/sonde`") {
		t.Errorf("%q", missing)
	}
}
