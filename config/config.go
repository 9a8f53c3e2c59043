package config

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Example is a file with every key and its default, for `docs` and packages.
//
//go:embed example.toml
var Example string

// DefaultFile is read when --config names no other.
const DefaultFile = "/etc/sonde/sonde.toml"

// Config is all settings of one host. The zero values of a file mean: not set.
type Config struct {
	Database  Secret `toml:"database"`   // connection string; empty: the embedded PostgreSQL
	Monhost   string `toml:"monhost"`    // name of this monitoring host
	State     string `toml:"state"`      // folder of everything this host keeps
	Spool     string `toml:"spool"`      // results while the database is away
	LogDir    string `toml:"log_dir"`    // logs of the daemons
	Listen    string `toml:"listen"`     // host:port of the pages
	Hosts     string `toml:"hosts"`      // further names of the pages' host, separated by commas
	LogFormat string `toml:"log_format"` // text or json
	LogLevel  string `toml:"log_level"`  // debug, info, warn or error
}

// setting ties a field to its names, so that file, environment and flags agree.
type setting struct {
	key   string // in the file; SONDE_KEY in the environment
	flag  string
	about string
	field func(*Config) *string
}

var settings = []setting{
	{"state", "data", "folder of everything this host keeps", func(c *Config) *string { return &c.State }},
	{"database", "database", "connection string; without one, the embedded PostgreSQL in the state folder", func(c *Config) *string { return (*string)(&c.Database) }},
	{"monhost", "monhost", "name of this monitoring host (default: its host name)", func(c *Config) *string { return &c.Monhost }},
	{"spool", "spool", "folder of results while the database is away (default STATE/spool)", func(c *Config) *string { return &c.Spool }},
	{"log_dir", "log-dir", "folder of the daemons' logs (default STATE/log)", func(c *Config) *string { return &c.LogDir }},
	{"listen", "listen", "host:port of the pages", func(c *Config) *string { return &c.Listen }},
	{"hosts", "hosts", "names under which the pages may be asked for, beside addresses and localhost: NAME,NAME…", func(c *Config) *string { return &c.Hosts }},
	{"log_format", "log-format", "text or json", func(c *Config) *string { return &c.LogFormat }},
	{"log_level", "log-level", "debug, info, warn or error", func(c *Config) *string { return &c.LogLevel }},
}

func (s setting) env() string { return "SONDE_" + strings.ToUpper(s.key) }

// Default gives the settings of a host that was told nothing.
func Default() Config {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	state := "/var/lib/sonde"
	if os.Geteuid() != 0 {
		state = userState()
	}
	return Config{Monhost: host, State: state, Listen: "127.0.0.1:8080", LogFormat: "text", LogLevel: "info"}
}

func userState() string {
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "sonde")
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "" // Validate asks for one
	}
	return filepath.Join(home, ".local", "share", "sonde")
}

// readFile reads one file over c. Only what stands in it changes.
func (c *Config) readFile(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := c.read(string(raw)); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

func (c *Config) read(raw string) error {
	md, err := toml.Decode(raw, c)
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d: %s", parse.Position.Line, parse.Message)
	}
	if err != nil {
		return err
	}
	if wrong := md.Undecoded(); len(wrong) > 0 {
		key := wrong[0]
		var known []string
		for _, s := range settings {
			known = append(known, s.key)
		}
		slices.Sort(known)
		return fmt.Errorf("line %d: unknown key %q; known keys: %s", lineOf(raw, key), key.String(), strings.Join(known, ", "))
	}
	return nil
}

// lineOf finds where a key stands. The library tells that only of keys it could not parse.
func lineOf(raw string, key toml.Key) int {
	last := key[len(key)-1]
	for n, line := range strings.Split(raw, "\n") {
		line = strings.TrimLeft(line, " \t[\"'")
		if rest, ok := strings.CutPrefix(line, last); ok && strings.ContainsAny(strings.TrimLeft(rest, " \t\"'")+" ", "=].") {
			return n + 1
		}
		if strings.Contains(line, last) && strings.Contains(line, "=") && strings.Index(line, last) < strings.Index(line, "=") {
			return n + 1
		}
	}
	return 1
}

// Validate makes folders absolute, fills in those that follow from others, and
// says everything that is wrong at once.
func (c *Config) Validate() error {
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if c.State == "" {
		say("state: no folder given and no home folder to put one in: use --data DIR")
	} else {
		if c.Spool == "" {
			c.Spool = filepath.Join(c.State, "spool")
		}
		if c.LogDir == "" {
			c.LogDir = filepath.Join(c.State, "log")
		}
	}
	for _, dir := range []*string{&c.State, &c.Spool, &c.LogDir} {
		if strings.ContainsAny(*dir, "\x00\n") {
			say("%q is no folder", *dir)
			continue
		}
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			say("folder %s: %w", *dir, err)
			continue
		}
		*dir = abs
	}
	if db := string(c.Database); db != "" && !strings.HasPrefix(db, "postgres://") && !strings.HasPrefix(db, "postgresql://") && !strings.Contains(db, "=") {
		say("database: write postgresql://user@host/name or host=… dbname=…")
	}
	if c.Monhost == "" || len(c.Monhost) > 200 || strings.ContainsFunc(c.Monhost, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		say("monhost: %q is no name of a host", c.Monhost)
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		say("listen: %q is not host:port, such as 127.0.0.1:8080", c.Listen)
	} else if _, err := net.LookupPort("tcp", port); err != nil {
		say("listen: %q is no port", port)
	}
	for _, name := range c.Names() {
		if !dnsName.MatchString(name) {
			say("hosts: %q is no host name: write names without http:// and port, separated by commas, such as sonde.example.net", name)
		}
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		say("log_format: %q is neither text nor json", c.LogFormat)
	}
	if _, err := c.Level(); err != nil {
		say("log_level: %q is none of debug, info, warn, error", c.LogLevel)
	}
	return errors.Join(wrong...)
}

var dnsName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// Names are those under which the pages may be asked for: Hosts, and the name
// that Listen has in place of an address.
func (c Config) Names() []string {
	names := strings.FieldsFunc(c.Hosts, func(r rune) bool { return r == ',' || r == ' ' })
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" && net.ParseIP(host) == nil {
		names = append(names, host)
	}
	return names
}

// Level is LogLevel as slog has it.
func (c Config) Level() (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(c.LogLevel))
	return l, err
}

// Embedded reports whether the database is the private one of this host.
func (c Config) Embedded() bool { return c.Database == "" }

// DatabaseDir is the folder of the embedded PostgreSQL.
func (c Config) DatabaseDir() string { return filepath.Join(c.State, "pg") }

// Environ gives all settings as SONDE_* variables, for child processes: the
// database's password does not show in a list of processes.
func (c Config) Environ() []string {
	var env []string
	for _, s := range settings {
		env = append(env, s.env()+"="+*s.field(&c))
	}
	return env
}
