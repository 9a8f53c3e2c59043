package config

import "log/slog"

// Secret is a text that no log and no error shows. Reveal gives it to those
// who need it.
type Secret string

const hidden = "‹hidden›"

// Reveal gives the text itself.
func (s Secret) Reveal() string { return string(s) }

// String, GoString, LogValue and MarshalText hide it, empty shows as empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString is for %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue is for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is for JSON and TOML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
