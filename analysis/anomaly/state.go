package anomaly

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"sonde/analysis"
	"sonde/analysis/regular"
)

// saved is the state of a detector. What was learnt is packed: a season of 288
// slots and all else take less than 5 KiB.
type saved struct {
	Version int       `json:"version"`
	Reader  []byte    `json:"reader"`
	Learnt  []byte    `json:"learnt"`
	Visits  []byte    `json:"visits"` // of the slots of the day, packed by runs
	Grid    []byte    `json:"grid,omitempty"`
	GridAt  time.Time `json:"grid_at,omitzero"`
	Episode episode   `json:"episode,omitzero"`
}

// version changes when states of the program before cannot be read.
const version = 1

func (d *detector) Save() (json.RawMessage, error) {
	s := saved{Version: version, Episode: d.episode}
	s.Reader = pack(d.reader)
	s.Learnt, s.Visits = pack(d.core.learnt, d.core.day.mean), packRuns(d.core.day.n)
	s.GridAt, s.Grid = d.grid.Growing()
	return json.Marshal(s)
}

// pack writes numbers of fixed size one after the other.
func pack(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		var err error
		if out, err = binary.Append(out, binary.LittleEndian, p); err != nil {
			panic(err) // a type of this package that has no fixed size
		}
	}
	return out
}

// unpack reads what pack wrote; each part is a pointer or a slice.
func unpack(packed []byte, parts ...any) error {
	r := bytes.NewReader(packed)
	for _, p := range parts {
		if err := binary.Read(r, binary.LittleEndian, p); err != nil {
			return fmt.Errorf("saved state of a detector: it is too short: %w", err)
		}
	}
	if r.Len() > 0 {
		return errors.New("saved state of a detector: it is too long")
	}
	return nil
}

// packRuns writes how often each byte comes in a row, and the byte.
func packRuns(b []byte) []byte {
	var out []byte
	for i := 0; i < len(b); {
		n := 1
		for i+n < len(b) && b[i+n] == b[i] && n < math.MaxUint8 {
			n++
		}
		out = append(out, byte(n), b[i])
		i += n
	}
	return out
}

func unpackRuns(packed, b []byte) error {
	i := 0
	for ; len(packed) >= 2; packed = packed[2:] {
		for range packed[0] {
			if i == len(b) {
				return errors.New("saved state of a detector: more visits than slots")
			}
			b[i] = packed[1]
			i++
		}
	}
	if i < len(b) || len(packed) > 0 {
		return errors.New("saved state of a detector: fewer visits than slots")
	}
	return nil
}

func (d *detector) load(raw json.RawMessage) error {
	var s saved
	if err := analysis.Load(raw, &s); err != nil {
		return err
	}
	if s.Version == 0 && s.Learnt == nil {
		return nil // a fresh start
	}
	if s.Version != version {
		return fmt.Errorf("saved state of a detector: version %d, this program reads %d", s.Version, version)
	}
	step, counter := d.reader.Step, d.reader.Counter
	var reader regular.Reader
	var l learnt
	if err := errors.Join(unpack(s.Reader, &reader), unpack(s.Learnt, &l, d.core.day.mean), unpackRuns(s.Visits, d.core.day.n)); err != nil {
		return err
	}
	if reader.Step != step || reader.Counter != counter {
		return fmt.Errorf("saved state of a detector: it is of a series with a step of %s", reader.Step)
	}
	if err := l.check(d.core); err != nil {
		return err
	}
	if !s.GridAt.IsZero() {
		if err := d.grid.Resume(s.GridAt.UTC(), s.Grid); err != nil {
			return err
		}
	}
	d.reader, d.core.learnt, d.episode = reader, l, s.Episode
	return nil
}

// check refuses what no series leaves behind.
func (l *learnt) check(c *core) error {
	bad := l.N < 0 || l.Since < 0 || l.WindowAt < 0 || l.WindowN < 0 || l.WindowN > int64(c.width) || l.Missing < 0 ||
		l.Points.Closed < 0 || l.Levels.Closed < 0 || !(l.MissRate >= 0 && l.MissRate <= 1) || !(l.Said >= 0)
	for _, v := range [][]float64{flat(&l.F.Level), flat(&l.F.Error),
		{l.F.Base, l.S.Low, l.S.High, l.S.Resolution, l.S.Last, l.S.Change, l.S.Changes, l.S.Level, l.BlockFor, l.Said, l.Loss.Rate, l.Loss.Sum, l.Loss.Quantum, l.Drift.Level, l.Drift.Spread}} {
		for _, x := range v {
			bad = bad || math.IsNaN(x) || math.IsInf(x, 0)
		}
	}
	for _, x := range [][]float32{l.S.Hour[:], l.S.LevelHour[:], l.Window[:], l.F.Week[:], c.day.mean, l.Points.Block[:], l.Levels.Block[:]} {
		for _, x := range x {
			bad = bad || math.IsNaN(float64(x)) || math.IsInf(float64(x), 0)
		}
	}
	if bad {
		return errors.New("saved state of a detector: numbers that no series leaves behind")
	}
	return nil
}

func flat(x *[seasons][speeds]float64) []float64 {
	var out []float64
	for _, row := range x {
		out = append(out, row[:]...)
	}
	return out
}
