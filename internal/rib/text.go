package rib

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// form is a form of text.
type form struct {
	name string
	line string // what a line looks like
	is   func(first []byte) bool
	read func(t *text, line []byte) error
}

// forms in the order in which a first line is held against them.
var forms = []form{
	{"bgpdump -m", "TABLE_DUMP2|1700000000|B|192.0.2.1|64500|1.0.0.0/24|64500 13335|IGP|…", isDumpLine, (*text).dumpLine},
	{"as-org2info", "15169|20230101|GOOGLE|GOGL-ARIN||ARIN", isOrgLine, (*text).orgLine},
	{"prefix AS", "1.0.0.0/24 13335", isPrefixASLine, (*text).prefixASLine},
	{"AS prefix", "13335 1.0.0.0/24 380", isASPrefixLine, (*text).asPrefixLine},
	{"pfx2as", "1.0.0.0 24 13335", isPfx2asLine, (*text).pfx2asLine},
	{"AS names", "AS15169 GOOGLE, US", isNameLine, (*text).nameLine},
}

const mostLine = 1 << 20

// text reads lines of one form.
type text struct {
	tables *Tables
	n      int

	prefixText []byte // of the line before: in dumps it comes again and again
	prefix     netip.Prefix

	countries map[string]string // of as-org2info, by the id of the organisation
	held      map[uint32]held
	section   section
}

// section is what the lines of as-org2info are about.
type section int

const (
	noSection section = iota
	organisations
	systems
)

type held struct{ name, org string }

func (t *Tables) readText(r *bufio.Reader) (string, error) {
	x := text{tables: t, countries: map[string]string{}, held: map[uint32]held{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), mostLine)
	var is *form
	for lines.Scan() {
		x.n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if strings.IndexByte("#;%!", line[0]) >= 0 {
			x.comment(line)
			continue
		}
		if is == nil {
			if is = formOf(line, x.section != noSection); is == nil {
				return "", fmt.Errorf("line %d, %q, has none of the forms that are known: a RIB dump in MRT, or lines such as %s", x.n, clip(line), allForms())
			}
		}
		if err := is.read(&x, line); err != nil {
			return is.name, fmt.Errorf("line %d, %q: %w; a line should be like %q", x.n, clip(line), err, is.line)
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = errors.New("it is too long to be one of a table")
		} else if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the file ends in the middle: %w", err)
		}
		return "", fmt.Errorf("line %d: %w", x.n+1, err)
	}
	if is == nil {
		return "", errors.New("it has no line that is not a comment")
	}
	if err := x.end(); err != nil {
		return is.name, err
	}
	return is.name, nil
}

func formOf(line []byte, as2org bool) *form {
	for i, f := range forms {
		if f.is(line) && (f.name != "as-org2info" || as2org) {
			return &forms[i]
		}
	}
	return nil
}

func allForms() string {
	var all []string
	for _, f := range forms {
		all = append(all, strconv.Quote(f.line))
	}
	return strings.Join(all, ", ")
}

func clip(line []byte) string {
	const most = 60
	if len(line) > most {
		return string(line[:most]) + "…"
	}
	return string(line)
}

// parsePrefix takes host bits for an oversight.
func (t *text) parsePrefix(b []byte) (netip.Prefix, error) {
	if len(b) > 0 && bytes.Equal(b, t.prefixText) {
		return t.prefix, nil
	}
	p, err := netip.ParsePrefix(string(b))
	if err != nil {
		return p, fmt.Errorf("%q is no prefix", b)
	}
	t.prefixText = append(t.prefixText[:0], b...)
	t.prefix = p.Masked()
	return t.prefix, nil
}

// parseAS reads 13335 or AS13335.
func parseAS(b []byte) (uint32, error) {
	digits := b
	if len(b) > 2 && (b[0]|0x20) == 'a' && (b[1]|0x20) == 's' {
		digits = b[2:]
	}
	n, err := strconv.ParseUint(string(digits), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no AS number", b)
	}
	return uint32(n), nil
}

// addAll reads 13335, several of them in 13335_4134, the most seen first, and
// sets as 1,2 or {1,2}; votes is how many saw it.
func (t *text) addAll(p netip.Prefix, b []byte, votes int) error {
	of := bytes.FieldsFunc(b, func(r rune) bool { return r == '_' || r == ',' || r == '{' || r == '}' })
	if len(of) == 0 {
		return fmt.Errorf("%q is no AS number", b)
	}
	for i, f := range of {
		as, err := parseAS(f)
		if err != nil {
			return err
		}
		// The order is kept by a vote more for who comes before.
		t.tables.Prefixes.Add(p, as, votes+len(of)-1-i)
	}
	return nil
}

func isPrefix(b []byte) bool {
	_, err := netip.ParsePrefix(string(b))
	return err == nil
}

func isPrefixASLine(line []byte) bool {
	f := bytes.Fields(line)
	return len(f) >= 2 && isPrefix(f[0])
}

func (t *text) prefixASLine(line []byte) error {
	f := bytes.Fields(line)
	if len(f) != 2 {
		return fmt.Errorf("%d words", len(f))
	}
	p, err := t.parsePrefix(f[0])
	if err != nil {
		return err
	}
	return t.addAll(p, f[1], 1)
}

func isASPrefixLine(line []byte) bool {
	f := bytes.Fields(line)
	return len(f) >= 2 && isPrefix(f[1]) && (f[0][0] == '{' || f[0][0]|0x20 == 'a' || f[0][0] >= '0' && f[0][0] <= '9')
}

// asPrefixLine reads the AS, the prefix, and how many peers see it.
func (t *text) asPrefixLine(line []byte) error {
	f := bytes.Fields(line)
	if len(f) != 2 && len(f) != 3 {
		return fmt.Errorf("%d words", len(f))
	}
	p, err := t.parsePrefix(f[1])
	if err != nil {
		return err
	}
	votes := 1
	if len(f) == 3 {
		if votes, err = strconv.Atoi(string(f[2])); err != nil || votes < 0 {
			return fmt.Errorf("%q is no number of peers", f[2])
		}
	}
	return t.addAll(p, f[0], max(votes, 1))
}

func isPfx2asLine(line []byte) bool {
	f := bytes.Fields(line)
	if len(f) != 3 {
		return false
	}
	_, err := netip.ParseAddr(string(f[0]))
	return err == nil
}

func (t *text) pfx2asLine(line []byte) error {
	f := bytes.Fields(line)
	if len(f) != 3 {
		return fmt.Errorf("%d words", len(f))
	}
	a, err := netip.ParseAddr(string(f[0]))
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("%q is no address", f[0])
	}
	bits, err := strconv.Atoi(string(f[1]))
	if err != nil || bits < 0 || bits > a.BitLen() {
		return fmt.Errorf("%q is no length of a prefix", f[1])
	}
	return t.addAll(netip.PrefixFrom(a, bits).Masked(), f[2], 1)
}

func isDumpLine(line []byte) bool {
	return bytes.HasPrefix(line, []byte("TABLE_DUMP")) || bytes.HasPrefix(line, []byte("BGP4MP")) && bytes.Count(line, []byte("|")) >= 5
}

// dumpLine reads what bgpdump -m writes: type, time, B for a route of a table,
// the peer's address and AS, prefix, path.
func (t *text) dumpLine(line []byte) error {
	var f [7][]byte
	rest := line
	for i := range f {
		var more bool
		if f[i], rest, more = bytes.Cut(rest, []byte("|")); !more && i < len(f)-1 {
			return fmt.Errorf("%d fields", i+1)
		}
	}
	if string(f[2]) != "B" {
		return errors.New("it is an update of BGP, no route of a table")
	}
	p, err := t.parsePrefix(f[5])
	if err != nil {
		return err
	}
	origin, err := parseAS(f[4])
	if err != nil {
		return err
	}
	// From the end: past sets and confederations, as in MRT.
	path := bytes.TrimRight(f[6], " ")
	for len(path) > 0 {
		i := bytes.LastIndexByte(path, ' ')
		last := path[i+1:]
		path = bytes.TrimRight(path[:max(i, 0)], " ")
		if strings.IndexByte("{([", last[0]) >= 0 || strings.IndexByte("})]", last[len(last)-1]) >= 0 {
			// A confederation may have blanks inside.
			if open := bytes.LastIndexAny(path, "{(["); open >= 0 && strings.IndexByte("{([", last[0]) < 0 {
				path = bytes.TrimRight(path[:open], " ")
			}
			continue
		}
		if origin, err = parseAS(last); err != nil {
			return err
		}
		break
	}
	t.tables.Prefixes.Add(p, origin, 1)
	return nil
}
