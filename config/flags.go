package config

import (
	"errors"
	"os"

	"github.com/spf13/pflag"
)

// Source reads the settings of one call of the program.
type Source struct {
	fs   *pflag.FlagSet
	file *string
	vals []*string // as settings
	env  func(string) (string, bool)
}

// Flags adds --config and a flag for each setting to fs. Load, after
// fs.Parse, gives the settings.
func Flags(fs *pflag.FlagSet) *Source {
	s := &Source{fs: fs, env: os.LookupEnv}
	s.file = fs.String("config", "", "configuration file (default "+DefaultFile+")")
	for _, set := range settings {
		s.vals = append(s.vals, fs.String(set.flag, "", set.about))
	}
	return s
}

// Load reads file, environment and flags over the defaults and validates the whole.
func (s *Source) Load() (Config, error) {
	c := Default()
	file, named := *s.file, s.fs.Changed("config")
	if !named {
		file, named = s.env("SONDE_CONFIG")
	}
	if !named || file == "" {
		file, named = DefaultFile, false
	}
	if err := c.readFile(file); err != nil && (named || !errors.Is(err, os.ErrNotExist)) {
		return Config{}, err
	}
	for i, set := range settings {
		if v, ok := s.env(set.env()); ok && v != "" {
			*set.field(&c) = v
		}
		if s.fs.Changed(set.flag) {
			*set.field(&c) = *s.vals[i]
		}
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}
