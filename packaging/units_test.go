package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build gives the path of a fresh sonde.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sonde")
	cmd := exec.Command("go", "build", "-o", binary, "sonde/cmd/sonde")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build sonde: %v\n%s", err, out)
	}
	return binary
}

// place copies the units, as they are after installation under the path of the
// binary, and gives the paths to verify: templates as an instance.
func place(t *testing.T, binary string) []string {
	t.Helper()
	dir := t.TempDir()
	names, err := filepath.Glob("systemd/*")
	if err != nil || len(names) < 6 {
		t.Fatalf("units: %v %v", names, err)
	}
	var out []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("=/usr/bin/sonde"), []byte("="+binary))
		base := filepath.Base(name)
		if err := os.WriteFile(filepath.Join(dir, base), text, 0o644); err != nil {
			t.Fatal(err)
		}
		base = strings.Replace(base, "daemon@", "daemon@scheduler", 1)
		base = strings.Replace(base, "worker@", "worker@ping", 1)
		out = append(out, filepath.Join(dir, base))
	}
	return out
}

func verify(unit string) (string, error) {
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	return string(out), err
}

func TestSystemdTakesTheUnits(t *testing.T) {
	for _, unit := range place(t, build(t)) {
		// A unit with an unknown setting is loaded all the same and only
		// complained of, hence the look at what was said of our own files.
		out, err := verify(unit)
		if err != nil || strings.Contains(out, "sonde") {
			t.Errorf("systemd-analyze verify %s: %v\n%s", filepath.Base(unit), err, out)
		}
	}
}

// The test above would be worth nothing if verify looked away.
func TestSystemdRefusesUnitOfProgramThatIsNotThere(t *testing.T) {
	for _, unit := range place(t, filepath.Join(t.TempDir(), "sonde")) {
		if !strings.HasSuffix(unit, ".service") {
			continue
		}
		if out, err := verify(unit); err == nil {
			t.Errorf("systemd-analyze verify %s takes a program that is not there\n%s", filepath.Base(unit), out)
		}
	}
}

// Raw sockets are for those who measure, and nobody gets more of root.
func TestOnlyWorkersHaveACapability(t *testing.T) {
	names, err := filepath.Glob("systemd/*.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			if caps, ok := strings.CutPrefix(line, "AmbientCapabilities="); ok && (caps != "CAP_NET_RAW" || strings.Contains(name, "daemon@")) {
				t.Errorf("%s: %s", name, line)
			}
		}
		for _, want := range []string{"\nUser=sonde\n", "\nNoNewPrivileges=yes\n", "\nProtectSystem=strict\n", "\nCapabilityBoundingSet="} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not say %q", name, strings.TrimSpace(want))
			}
		}
	}
}

func TestUserOfTheUnitsCanBeMade(t *testing.T) {
	conf, err := filepath.Abs("sysusers.d/sonde.conf")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-sysusers", "--dry-run", conf).CombinedOutput()
	if err != nil || strings.Contains(string(out), "ailed") {
		t.Errorf("systemd-sysusers: %v\n%s", err, out)
	}
}
