package keepalive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// line is one line of a list, in words.
type line struct {
	n     int
	words []string
}

// readList splits a list into lines and words. Empty lines and those that begin
// with # are left out. Wrong lines come back as errors beside the good ones.
func readList(raw string) ([]line, []error) {
	var lines []line
	var wrong []error
	for n, text := range strings.Split(raw, "\n") {
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' {
			continue
		}
		w, err := words(text)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("line %d: %w", n+1, err))
			continue
		}
		lines = append(lines, line{n: n + 1, words: w})
	}
	return lines, wrong
}

// words splits at blanks. Single and double quotes keep words together, a
// backslash takes the next character as it is. Nothing else has a meaning: no
// variable, no pattern, no pipe, since there is no shell.
func words(s string) ([]string, error) {
	var out []string
	var word strings.Builder
	inWord, quote, escaped := false, rune(0), false
	for _, r := range s {
		switch {
		case r == 0:
			return nil, errors.New("a zero byte")
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '"' || r == '\'':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\r':
			if inWord {
				out = append(out, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		out = append(out, word.String())
	}
	return out, nil
}

// follow calls use with the lines of a list now and whenever the file changed,
// and each after every look, until ctx ends. An absent file is an empty list.
func (s *Supervisor) follow(ctx context.Context, name string, use func([]line), each func()) {
	path := filepath.Join(s.o.State, name)
	seen := "never read"
	for {
		raw, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		switch {
		case err != nil && seen != err.Error():
			// What was read before stays in force.
			seen = err.Error()
			s.log.Error("a list cannot be read", "file", path, "error", err)
		case err == nil && seen != string(raw):
			seen = string(raw)
			lines, wrong := readList(seen)
			for _, err := range wrong {
				s.log.Error("a line of a list is wrong and left out", "file", path, "error", err)
			}
			use(lines)
		}
		each()
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.t.list):
		}
	}
}

func (s *Supervisor) wrongLine(name string, n int, err error) {
	s.log.Error("a line of a list is wrong and left out", "file", filepath.Join(s.o.State, name), "line", n, "error", err)
}

// templates stand where a list will be, so that a person finds the form in the
// file itself.
var templates = map[string]string{
	serversList: "# Servers to keep running, in the foreground: NAME PROGRAM ARGS…\n# iperf3 iperf3 -s\n",
	cleanupList: "# Hung programs to end: PROGRAM AGE (exact name or whole path; at least 1m)\n# traceroute 10m\n",
	crontabFile: "# Programs to run: MINUTE HOUR DAY-OF-MONTH MONTH DAY-OF-WEEK PROGRAM ARGS…, local time, without a shell\n# 10 0 * * * sonde report --out /srv/www/sonde\n",
}

// layOut writes the templates of lists that are not there.
func (s *Supervisor) layOut() {
	for name, content := range templates {
		path := filepath.Join(s.o.State, name)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil {
			_, err = f.WriteString(content)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			s.log.Warn("a list to fill in cannot be written", "file", path, "error", err)
		}
	}
}
