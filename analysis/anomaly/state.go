package anomaly

import (
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
const version = 2

func (d *detector) Save() (json.RawMessage, error) {
	s := saved{Version: version, Episode: d.episode}
	s.Reader = readerNumbers(&d.reader).pack()
	s.Learnt, s.Visits = d.core.numbers(d.core.day.mean).pack(), packRuns(d.core.day.n)
	s.GridAt, s.Grid = d.grid.Growing()
	return json.Marshal(s)
}

// numbers are all that a state holds, by type: the order in which they are packed.
// They are named one by one since reflection takes ten times as long.
type numbers struct {
	doubles []*float64
	counts  []*int64
	flags   []*bool
	singles [][]float32
	shorts  [][]uint16
	bytes   [][]uint8
}

func (l *learnt) numbers(day []float32) numbers {
	n := numbers{
		doubles: []*float64{&l.F.Base, &l.S.Low, &l.S.High, &l.S.Last, &l.S.Change, &l.S.Changes, &l.S.Level,
			&l.Loss.Quantum, &l.Loss.Rate, &l.Loss.Sum, &l.Drift.Level, &l.Drift.Spread, &l.BlockFor, &l.MissRate, &l.StoodFor, &l.Said, &l.SaidSilence},
		counts:  []*int64{&l.N, &l.Since, &l.WindowAt, &l.WindowN, &l.Missing, &l.MissingFrom},
		flags:   []*bool{&l.Begun, &l.Drift.Told, &l.Standing},
		singles: [][]float32{l.F.Week[:], l.S.Hour[:], l.S.LevelHour[:], l.Window[:], day},
		shorts:  [][]uint16{l.S.HourN[:], l.S.LevelN[:]},
		bytes:   [][]uint8{l.F.WeekN[:]},
	}
	for i := range l.F.Level {
		for j := range l.F.Level[i] {
			n.doubles = append(n.doubles, &l.F.Level[i][j], &l.F.Error[i][j])
		}
	}
	for _, x := range []*extremes{&l.Points, &l.Levels} {
		n.doubles = append(n.doubles, &x.Usual, &x.Spread, &x.Second)
		n.counts = append(n.counts, &x.Closed)
		n.singles = append(n.singles, x.Block[:], x.Now[:])
	}
	return n
}

func readerNumbers(r *regular.Reader) numbers {
	return numbers{doubles: []*float64{&r.Raw, &r.Rate}, counts: []*int64{(*int64)(&r.Step), &r.Last, &r.RawAt}, flags: []*bool{&r.Counter, &r.Begun, &r.Read}}
}

// pack writes the numbers one after the other, little end first.
func (n numbers) pack() []byte {
	out := make([]byte, 0, 4096)
	for _, v := range n.doubles {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(*v))
	}
	for _, v := range n.counts {
		out = binary.LittleEndian.AppendUint64(out, uint64(*v))
	}
	for _, v := range n.flags {
		b := byte(0)
		if *v {
			b = 1
		}
		out = append(out, b)
	}
	for _, row := range n.singles {
		for _, v := range row {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	for _, row := range n.shorts {
		for _, v := range row {
			out = binary.LittleEndian.AppendUint16(out, v)
		}
	}
	for _, row := range n.bytes {
		out = append(out, row...)
	}
	return out
}

// unpack reads what pack wrote. Numbers that are none, or have no end, are refused:
// no series leaves them behind.
func (n numbers) unpack(packed []byte) error {
	size := 8*len(n.doubles) + 8*len(n.counts) + len(n.flags)
	for _, row := range n.singles {
		size += 4 * len(row)
	}
	for _, row := range n.shorts {
		size += 2 * len(row)
	}
	for _, row := range n.bytes {
		size += len(row)
	}
	if len(packed) != size {
		return fmt.Errorf("saved state of a detector: %d bytes, wanted %d", len(packed), size)
	}
	take := func(n int) []byte {
		out := packed[:n]
		packed = packed[n:]
		return out
	}
	sum := 0.0 // of noughts: none other when a number is not finite
	for _, v := range n.doubles {
		*v = math.Float64frombits(binary.LittleEndian.Uint64(take(8)))
		sum += 0 * *v
	}
	for _, v := range n.counts {
		*v = int64(binary.LittleEndian.Uint64(take(8)))
	}
	for _, v := range n.flags {
		*v = take(1)[0] != 0
	}
	for _, row := range n.singles {
		for i := range row {
			row[i] = math.Float32frombits(binary.LittleEndian.Uint32(take(4)))
			sum += 0 * float64(row[i])
		}
	}
	for _, row := range n.shorts {
		for i := range row {
			row[i] = binary.LittleEndian.Uint16(take(2))
		}
	}
	for _, row := range n.bytes {
		copy(row, take(len(row)))
	}
	if sum != 0 {
		return errors.New("saved state of a detector: numbers that no series leaves behind")
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
	if err := errors.Join(readerNumbers(&reader).unpack(s.Reader), l.numbers(d.core.day.mean).unpack(s.Learnt), unpackRuns(s.Visits, d.core.day.n)); err != nil {
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
	d.core.window.restore(&l, d.core.width)
	return nil
}

// check refuses what no series leaves behind.
func (l *learnt) check(c *core) error {
	if l.N < 0 || l.Since < 0 || l.WindowAt < 0 || l.WindowN < 0 || l.WindowN > int64(c.width) || l.Missing < 0 ||
		l.Points.Closed < 0 || l.Levels.Closed < 0 || !(l.MissRate >= 0 && l.MissRate <= 1) || l.Said < 0 || l.SaidSilence < 0 {
		return errors.New("saved state of a detector: counts that no series leaves behind")
	}
	return nil
}
