package measure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// OptionType is the type of one option of a tool or medium.
type OptionType string

// The types an option can have. The function sonde_options_problem in the
// database checks rows by the same rules as ReadOptions.
const (
	IntOption      OptionType = "int"
	FloatOption    OptionType = "float"
	BoolOption     OptionType = "bool"
	TextOption     OptionType = "text"
	EnumOption     OptionType = "enum"
	DurationOption OptionType = "duration"
	AddressOption  OptionType = "address" // an IP literal
)

// Option describes one option of a tool or a medium. The list of them is
// written to TOOLS, so that the database can refuse a wrong row by itself.
// Default, Min and Max are written as the option itself is: an int, a float64,
// a bool, or a text such as "100ms". The zero Default (nil) means: not set.
type Option struct {
	Name     string     `json:"name"`
	Type     OptionType `json:"type"`
	Default  any        `json:"default,omitempty"`
	Min      any        `json:"min,omitempty"` // int, float and duration: the least that is right
	Max      any        `json:"max,omitempty"`
	Values   []string   `json:"values,omitempty"` // enum
	Required bool       `json:"required,omitempty"`
	Requires []string   `json:"requires,omitempty"` // options that must be set with this one
	Excludes []string   `json:"excludes,omitempty"` // options that must not
	Secret   bool       `json:"secret,omitempty"`   // text that must be a reference: file:… or env:…
	Meaning  string     `json:"meaning"`            // a sentence for people, with the unit
}

// Options are the options of one spec or medium, checked and with defaults in
// place: int → int64, float → float64, duration → time.Duration, address →
// netip.Addr, text and enum → string. An option without value and default is absent.
type Options map[string]any

// Int, Float, Bool, Text, Duration and Address give the option's value, or the zero value if absent.
func (o Options) Int(name string) int                { v, _ := o[name].(int64); return int(v) }
func (o Options) Float(name string) float64          { v, _ := o[name].(float64); return v }
func (o Options) Bool(name string) bool              { v, _ := o[name].(bool); return v }
func (o Options) Text(name string) string            { v, _ := o[name].(string); return v }
func (o Options) Duration(name string) time.Duration { v, _ := o[name].(time.Duration); return v }
func (o Options) Address(name string) netip.Addr     { v, _ := o[name].(netip.Addr); return v }

// ReadOptions checks the jsonb of a spec against what the tool knows. The
// error is a sentence that names the option, what was given and what would be right.
func ReadOptions(known []Option, raw json.RawMessage) (Options, error) {
	given := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(raw)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(raw))
		if err := dec.Decode(&given); err != nil || given == nil {
			return nil, fmt.Errorf("options must be a JSON object like {\"count\": 10}, not %s", clip(raw))
		}
		if _, err := dec.Token(); err != io.EOF {
			return nil, fmt.Errorf("options must be one JSON object, not %s", clip(raw))
		}
	}
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if !slices.ContainsFunc(known, func(o Option) bool { return o.Name == name }) {
			return nil, fmt.Errorf("unknown option %q; %s", clip([]byte(name)), knownOptions(known))
		}
	}
	out := Options{}
	for _, o := range known {
		v, isGiven := given[o.Name]
		switch {
		case isGiven:
			val, err := o.read(v)
			if err != nil {
				return nil, err
			}
			for _, other := range o.Requires {
				if _, ok := given[other]; !ok {
					return nil, fmt.Errorf("option %q needs option %q as well", o.Name, other)
				}
			}
			for _, other := range o.Excludes {
				if _, ok := given[other]; ok {
					return nil, fmt.Errorf("options %q and %q exclude each other", o.Name, other)
				}
			}
			out[o.Name] = val
		case o.Required:
			return nil, fmt.Errorf("option %q is missing: %s", o.Name, o.Meaning)
		case o.Default != nil:
			b, err := json.Marshal(o.Default)
			if err != nil {
				return nil, fmt.Errorf("default of option %q: %w", o.Name, err)
			}
			val, err := o.read(b)
			if err != nil {
				return nil, fmt.Errorf("default of %w", err)
			}
			out[o.Name] = val
		}
	}
	return out, nil
}

func (o Option) read(raw json.RawMessage) (any, error) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("option %q: %w", o.Name, err)
	}
	given := clip(raw)
	if o.Secret {
		given = "‹hidden›" // somebody may have written the secret itself, and errors are logged
	}
	wrong := func(want string) error {
		return fmt.Errorf("option %q must be %s, not %s", o.Name, want, given)
	}
	if v == nil {
		return nil, fmt.Errorf("option %q is null: leave it out to get the default", o.Name)
	}
	text, isText := v.(string)
	num, isNum := v.(json.Number)
	switch o.Type {
	case IntOption:
		if !isNum {
			return nil, wrong("a whole number such as " + o.example("10"))
		}
		n, ok := whole(num.String())
		if !ok {
			return nil, wrong("a whole number such as " + o.example("10"))
		}
		return n, o.inRange(float64(n), given)
	case FloatOption:
		if !isNum {
			return nil, wrong("a number such as " + o.example("0.5"))
		}
		f, err := num.Float64()
		if err != nil || math.Abs(f) > 1e300 || f == 0 && strings.ContainsAny(mantissaOf(num.String()), "123456789") {
			return nil, wrong("a number such as " + o.example("0.5"))
		}
		return f, o.inRange(f, given)
	case BoolOption:
		b, ok := v.(bool)
		if !ok {
			return nil, wrong("true or false")
		}
		return b, nil
	case EnumOption:
		if !isText || !slices.Contains(o.Values, text) {
			return nil, wrong("one of " + strings.Join(o.Values, ", "))
		}
		return text, nil
	case DurationOption:
		if !isText {
			return nil, wrong("a duration with a unit such as \"" + o.example("100ms") + "\"")
		}
		d, err := ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("option %q: %w", o.Name, err)
		}
		return d, o.inRange(d.Seconds(), given)
	case AddressOption:
		a, err := netip.ParseAddr(text)
		if !isText || err != nil || a.Zone() != "" || oddZero.MatchString(text) { // PostgreSQL's inet knows no zones
			return nil, wrong("an IP address such as \"192.0.2.1\"")
		}
		return a, nil
	case TextOption:
		if !isText || strings.ContainsRune(text, 0) { // jsonb has no NUL, nor has an argument list
			return nil, wrong("a text")
		}
		if o.Secret && !secretReference.MatchString(text) {
			return nil, fmt.Errorf("option %q is a secret: write a reference, \"file:/path\" or \"env:NAME\", not the secret itself", o.Name)
		}
		return text, nil
	}
	return nil, fmt.Errorf("option %q has the unknown type %q", o.Name, o.Type)
}

// oddZero is a leading zero that some read as octal; netip refuses it within an IPv4 address only.
var oddZero = regexp.MustCompile(`(^|\.)0[0-9]`)

var secretReference = regexp.MustCompile(`^(file:/(?s:.+)|env:[A-Za-z_][A-Za-z0-9_]*)$`)

func (o Option) inRange(f float64, given string) error {
	lo, hasLo := o.bound(o.Min)
	hi, hasHi := o.bound(o.Max)
	if hasLo && f < lo || hasHi && f > hi {
		switch {
		case hasLo && hasHi:
			return fmt.Errorf("option %q must be between %v and %v, not %s", o.Name, o.Min, o.Max, given)
		case hasLo:
			return fmt.Errorf("option %q must be at least %v, not %s", o.Name, o.Min, given)
		default:
			return fmt.Errorf("option %q must be at most %v, not %s", o.Name, o.Max, given)
		}
	}
	return nil
}

func (o Option) bound(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	case string:
		d, err := ParseDuration(v)
		return d.Seconds(), err == nil
	}
	return 0, false
}

func (o Option) example(otherwise string) string {
	if o.Default != nil {
		return fmt.Sprint(o.Default)
	}
	return otherwise
}

// whole reads a JSON number that is whole as written, up to 2^53 either way:
// 10, 1e1 and 10.0 are; 10.00000000000000000001 is not, though a float64 cannot
// tell. No exponent makes it work hard.
func whole(number string) (int64, bool) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	digits, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	all := strings.TrimRight(digits+fraction, "0")
	if all == "" {
		return 0, true
	}
	point := len(digits)
	if exponent != "" {
		shift, err := strconv.Atoi(exponent)
		if err != nil || shift < -len(number) || shift > len(number)+16 {
			return 0, false
		}
		point += shift
	}
	if point < len(all) { // something is left behind the point
		return 0, false
	}
	all = strings.TrimLeft(all+strings.Repeat("0", point-len(all)), "0")
	if len(all) > 16 {
		return 0, false
	}
	n, err := strconv.ParseInt(all, 10, 64)
	if err != nil || n > 1<<53 {
		return 0, false
	}
	if number[0] == '-' {
		n = -n
	}
	return n, true
}

// mantissaOf is a JSON number without its exponent. 1e-400 has digits there and
// yet is 0 as a float64; PostgreSQL refuses to make a float8 of it.
func mantissaOf(number string) string {
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return mantissa
}

func knownOptions(known []Option) string {
	if len(known) == 0 {
		return "there are no options here"
	}
	names := make([]string, len(known))
	for i, o := range known {
		names[i] = o.Name
	}
	sort.Strings(names)
	return "known options: " + strings.Join(names, ", ")
}

// clip keeps an error readable whatever was given.
func clip(raw []byte) string {
	const most = 80
	if len(raw) > most {
		return strings.ToValidUTF8(string(raw[:most]), "") + "…"
	}
	return string(raw)
}
