package analysis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"sonde/internal/measure"
)

// Load reads what Save wrote into state; nothing saved leaves it as it is. A
// state comes back from the database, so it is outside bytes: a method checks
// after Load that what it got can be true.
func Load(saved json.RawMessage, state any) error {
	saved = bytes.TrimSpace(saved)
	if len(saved) == 0 || bytes.Equal(saved, []byte("null")) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(saved))
	if err := dec.Decode(state); err != nil {
		return fmt.Errorf("saved state of a detector: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("saved state of a detector: something follows the JSON")
	}
	return nil
}

// Value gives the number of a sample, and false when the run gave none. An
// infinite value is none either: no mean survives it, and JSON cannot keep it.
func Value(s measure.Sample) (float64, bool) {
	return s.Value, s.HasValue() && !math.IsInf(s.Value, 0)
}

// SeverityOption is the option by which a rule says how grave its verdicts are.
func SeverityOption(usual measure.Severity) measure.Option {
	return measure.Option{
		Name: "severity", Type: measure.EnumOption, Default: string(usual),
		Values:  []string{string(measure.Info), string(measure.Warning), string(measure.Critical)},
		Meaning: "How grave it is when this detector finds something.",
	}
}
