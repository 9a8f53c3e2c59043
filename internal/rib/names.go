package rib

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mostName is how long a name may be; the longest in use have some 90 characters.
const mostName = 200

// NewName makes a name of "GOOGLE, US", as asn.txt and Team Cymru write it.
func NewName(text string) Name {
	text = clean(text)
	if i := strings.LastIndexByte(text, ','); i >= 0 && isCountry(strings.TrimSpace(text[i+1:])) {
		return Name{strings.TrimSpace(text[:i]), Country(text[i+1:])}
	}
	return Name{Name: text}
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

// Country gives two capital letters, or "" for anything else. ZZ, as some write for none, is none.
func Country(s string) string {
	if s = strings.TrimSpace(s); !isCountry(s) || s == "ZZ" {
		return ""
	}
	return s
}

// clean makes one line of printable text that the database takes.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if utf8.RuneCountInString(s) > mostName {
		s = string([]rune(s)[:mostName])
	}
	return s
}

func (t *text) setName(as uint32, n Name) {
	if t.tables.Names == nil {
		t.tables.Names = map[uint32]Name{}
	}
	t.tables.Names[as] = n
}

func isNameLine(line []byte) bool {
	first, rest, _ := bytes.Cut(bytes.ReplaceAll(line, []byte("\t"), []byte(" ")), []byte(" "))
	_, err := parseAS(first)
	return err == nil && bytes.ContainsFunc(rest, unicode.IsLetter)
}

func (t *text) nameLine(line []byte) error {
	end := bytes.IndexFunc(line, unicode.IsSpace)
	if end < 0 {
		return errors.New("it has no name")
	}
	as, err := parseAS(line[:end])
	if err != nil {
		return err
	}
	t.setName(as, NewName(string(line[end:])))
	return nil
}

func isOrgLine(line []byte) bool { return bytes.Count(line, []byte("|")) >= 4 }

// comment reads the one that says what the lines after it are.
func (t *text) comment(line []byte) {
	format, is := bytes.CutPrefix(line, []byte("# format:"))
	switch format = bytes.TrimSpace(format); {
	case !is:
	case bytes.HasPrefix(format, []byte("org_id|")):
		t.section = organisations
	case bytes.HasPrefix(format, []byte("aut|")):
		t.section = systems
	}
}

// orgLine reads org_id|changed|org_name|country|source and
// aut|changed|aut_name|org_id|opaque_id|source.
func (t *text) orgLine(line []byte) error {
	f := strings.Split(string(line), "|")
	if len(f) < 5 {
		return fmt.Errorf("%d fields", len(f))
	}
	if t.section == organisations {
		t.countries[f[0]] = f[3]
		return nil
	}
	as, err := parseAS([]byte(f[0]))
	if err != nil {
		return err
	}
	t.held[as] = held{f[2], f[3]}
	return nil
}

// end joins AS with the countries of their organisations.
func (t *text) end() error {
	for as, h := range t.held {
		t.setName(as, Name{clean(h.name), Country(t.countries[h.org])})
	}
	if t.section != noSection && len(t.held) == 0 {
		return errors.New("it has organisations, but no AS: the file is damaged, or was not fetched whole")
	}
	return nil
}
