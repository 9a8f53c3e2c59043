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
func Load(saved []byte, state any) error {
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

// most is the largest number an analysis takes: its square must still be one.
const most = 1e150

// Finite reports whether v is a number that sums and squares survive and JSON can keep.
func Finite(v float64) bool { return math.Abs(v) <= most }

// Value gives the number of a sample, and false when the run gave none; a
// number that is not Finite is none either.
func Value(s measure.Sample) (float64, bool) {
	return s.Value, s.HasValue() && Finite(s.Value)
}
