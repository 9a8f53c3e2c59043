package machine

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestFactsOfThisMachineAreRead(t *testing.T) {
	f := Read()
	if f.Cores != runtime.NumCPU() || f.Kernel == "" || f.MemoryMiB <= 0 {
		t.Errorf("cores %d, kernel %q, memory %d MiB", f.Cores, f.Kernel, f.MemoryMiB)
	}
	for _, n := range f.NICs {
		if n.Name == "lo" || n.MTU <= 0 {
			t.Errorf("interface %+v", n)
		}
	}
}

func TestValueIsFoundBehindItsKeyOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "os-release")
	if err := os.WriteFile(path, []byte("NAME=\"Debian\"\nPRETTY_NAME=\"Debian 12\"\nmodel name\t: ARMv6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"PRETTY_NAME": `"Debian 12"`, "NAME": `"Debian"`, "PRETTY": ""} {
		if got := value(path, key, "="); got != want {
			t.Errorf("value of %s: %q, want %q", key, got, want)
		}
	}
	if got := value(path, "model name", ":"); got != "ARMv6" {
		t.Errorf("model name: %q", got)
	}
	if got := value(filepath.Join(t.TempDir(), "nothing"), "x", "="); got != "" {
		t.Errorf("a missing file gave %q", got)
	}
}
