package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

var execStart = regexp.MustCompile(`(?m)^ExecStart=/usr/bin/sonde (\S+)`)

func TestUnitsStartVerbsThatExist(t *testing.T) {
	help, err := exec.Command(build(t), "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("systemd/*.service")
	if err != nil {
		t.Fatal(err)
	}
	verbs := []string{"scheduler", "loader", "analyst", "notifier", "annotator", "web"} // instances of sonde-daemon@
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m := execStart.FindSubmatch(text)
		if m == nil {
			t.Errorf("%s starts nothing", name)
			continue
		}
		if verb := string(m[1]); verb != "%i" {
			verbs = append(verbs, verb)
		}
	}
	for _, verb := range verbs {
		if !regexp.MustCompile(`(?m)^  ` + verb + `\s`).Match(help) {
			t.Errorf("no verb %q in:\n%s", verb, help)
		}
	}
}
