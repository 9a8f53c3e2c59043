package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func load(t *testing.T, env map[string]string, args ...string) (Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s := Flags(fs)
	s.env = func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s.Load()
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sonde.toml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExampleIsReadAndChangesNothing(t *testing.T) {
	want, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := load(t, nil, "--config", file(t, Example))
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the example says %+v, the defaults are %+v", got, want)
	}
	// With every comment that hides a key taken away it still reads.
	open := regexp.MustCompile(`(?m)^# ([a-z_]+ = )`).ReplaceAllString(Example, "$1")
	if _, err := load(t, nil, "--config", file(t, open)); err != nil {
		t.Error(err)
	}
	for _, s := range settings {
		if !strings.Contains(open, "\n"+s.key+" = ") {
			t.Errorf("the example does not show %s", s.key)
		}
	}
}

func TestEveryFieldHasASetting(t *testing.T) {
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		found := false
		for _, s := range settings {
			found = found || s.key == typ.Field(i).Tag.Get("toml")
		}
		if !found {
			t.Errorf("field %s has no flag and no variable", typ.Field(i).Name)
		}
	}
}

func TestFlagsWinOverEnvironmentOverFileOverDefaults(t *testing.T) {
	path := file(t, "monhost = 'file'\nlisten = '127.0.0.1:1'\nlog_format = 'json'\n")
	c, err := load(t, map[string]string{"SONDE_CONFIG": path, "SONDE_MONHOST": "env", "SONDE_LISTEN": "127.0.0.1:2"}, "--listen", "127.0.0.1:3", "--data", "/x")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:3" || c.Monhost != "env" || c.LogFormat != "json" || c.LogLevel != "info" || c.Spool != "/x/spool" || c.LogDir != "/x/log" {
		t.Errorf("%+v", c)
	}
}

func TestEnvironmentCarriesEverySettingToAChild(t *testing.T) {
	c, err := load(t, nil, "--data", "/x", "--database", "postgresql://u:p@h/d", "--monhost", "m", "--listen", "127.0.0.1:9", "--hosts", "a.example,b", "--log-format", "json", "--log-level", "debug")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, kv := range c.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	if again, err := load(t, env); err != nil || again != c {
		t.Errorf("%+v %v, want %+v", again, err, c)
	}
}

func TestWrongFileIsRefusedWithItsLine(t *testing.T) {
	for _, c := range []struct{ content, want string }{
		{"monhost = 'a'\nlissten = 'x'\n", `line 2: unknown key "lissten"; known keys: database, hosts, listen`},
		{"[web]\nlisten = 'x'\n", `unknown key "web`},
		{"monhost = 'a'\nmonhost = 'b'\n", "line 2"},
		{"monhost = \n", "line 1"},
		{"listen = 8080\n", "listen"},
		{"listen = '8080'\n", "not host:port"},
		{"hosts = 'sonde.example.net, http://x'\n", `hosts: "http://x" is no host name`},
		{"hosts = 'sonde.example.net:8080'\n", "without http:// and port"},
		{"log_format = 'xml'\n", "neither text nor json"},
		{"log_level = 'loud'\n", "none of debug"},
		{"monhost = 'a b'\n", "no name of a host"},
		{"database = 'localhost'\n", "postgresql://"},
	} {
		_, err := load(t, nil, "--config", file(t, c.content))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want …%s…", c.content, err, c.want)
		}
	}
}

func TestPagesAreNamedByHostsAndByListen(t *testing.T) {
	for _, c := range []struct{ listen, hosts, want string }{
		{"127.0.0.1:8080", "", ""},
		{"[::1]:8080", "a.example, b", "a.example b"},
		{":8080", "a.example,b,", "a.example b"},
		{"pi.example:8080", "a.example", "a.example pi.example"},
	} {
		if got := strings.Join((Config{Listen: c.listen, Hosts: c.hosts}).Names(), " "); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestNamedFileMustBeThere(t *testing.T) {
	if _, err := load(t, nil, "--config", "/nonexistent/sonde.toml"); err == nil {
		t.Error("an absent file that was named is no error")
	}
	if _, err := load(t, map[string]string{"SONDE_CONFIG": "/nonexistent/sonde.toml"}); err == nil {
		t.Error("an absent file that the environment names is no error")
	}
}

func TestSecretIsHiddenHoweverItIsPrinted(t *testing.T) {
	c := Config{Database: "postgresql://u:topsecret@h/d"}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "database", c.Database)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q", c.Database, c.Database), string(js), log.String()} {
		if strings.Contains(s, "topsecret") || !strings.Contains(s, "hidden") {
			t.Error(s)
		}
	}
	if c.Database.Reveal() != "postgresql://u:topsecret@h/d" {
		t.Error("the secret is lost")
	}
}

func FuzzFile(f *testing.F) {
	f.Add(Example)
	f.Add("[a.b]\nc = 1")
	f.Add("x = [[")
	f.Fuzz(func(t *testing.T, raw string) {
		c := Default()
		if c.read(raw) == nil && c.Validate() == nil && !filepath.IsAbs(c.State) {
			t.Errorf("a valid configuration with the folder %q", c.State)
		}
	})
}
