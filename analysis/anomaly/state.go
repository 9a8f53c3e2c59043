package anomaly

import (
	"errors"
	"fmt"
	"math"

	"sonde/analysis"
)

// version changes when states of the program before cannot be read.
const version = 6

// Save packs the state: a season of 288 slots and all else take less than 5 KiB.
func (d *detector) Save() ([]byte, error) {
	p := analysis.Pack(4096)
	d.pack(p)
	return p.Packed(), nil
}

func (d *detector) load(saved []byte) error {
	if len(saved) == 0 {
		return nil // a fresh start
	}
	step, counter := d.reader.Step, d.reader.Counter
	p := analysis.Unpack(saved)
	d.pack(p)
	if err := p.Err(); err != nil {
		return err
	}
	if d.reader.Step != step || d.reader.Counter != counter {
		return fmt.Errorf("saved state of a detector: it is of a series with a step of %s", d.reader.Step)
	}
	return d.core.check()
}

// pack is all that a state holds. Each is named: reflection takes ten times as long.
func (d *detector) pack(p *analysis.Packing) {
	r, e := &d.reader, &d.episode
	p.Version(version)
	p.Numbers(&r.Raw, &r.Rate)
	p.Counts((*int64)(&r.Step), &r.Last, &r.RawAt, (*int64)(&d.after))
	p.Count(&d.apart)
	p.Flags(&r.Counter, &r.Begun, &r.Read, &d.odd)
	p.Text(&e.Rule)
	p.Instants(&e.Off, &e.Since, &e.Well)
	p.Numbers(&e.Usual, &e.Most)
	d.core.learnt.pack(p)
	if d.core.levels != nil {
		d.core.levels.pack(p)
		packRuns(p, d.core.day.n)
	}
	d.grid.Pack(p)
}

func (l *learnt) pack(p *analysis.Packing) {
	p.Counts(&l.N, &l.Since, &l.WindowN, &l.Missing, &l.MissingFrom)
	p.Numbers(&l.Loss.Quantum, &l.Loss.Rate, &l.Loss.Sum, &l.MissRate, &l.StoodFor, &l.Said, &l.Told, &l.SaidSilence)
	p.Flags(&l.Standing)
}

func (l *levels) pack(p *analysis.Packing) {
	p.Flags(&l.Begun, &l.Drift.Told)
	p.Counts(&l.WindowAt, &l.Hours.At)
	p.Numbers(&l.F.Base, &l.S.Low, &l.S.High, &l.S.Last, &l.S.Change, &l.S.Changes, &l.S.Level, &l.Drift.Level, &l.Drift.Spread, &l.BlockFor)
	for i := range l.F.Level {
		for j := range l.F.Level[i] {
			p.Numbers(&l.F.Level[i][j], &l.F.Error[i][j])
		}
	}
	p.Singles(l.F.Week[:])
	p.Bytes(l.F.WeekN[:])
	packHours(p, &l.S.Hours)
	p.Singles(l.Hours.Most[:])
	p.Singles(l.Hours.Now[:])
	p.Singles(l.Window[:])
	l.Points.pack(p)
	l.Levels.pack(p)
	if l.ranks != nil {
		l.ranks.pack(p)
	}
	p.Singles(l.day.mean)
}

func (x *extremes) pack(p *analysis.Packing) {
	p.Singles(x.Block[:])
	p.Counts(&x.Closed)
	p.Singles(x.Now[:])
	p.Numbers(&x.Usual, &x.Spread, &x.Second)
}

func (r *ranks) pack(p *analysis.Packing) {
	for i := range r.Edge {
		p.Numbers(&r.Edge[i], &r.Above[i])
	}
	p.Numbers(&r.Usual)
	r.Most.pack(p)
}

// packHours packs the spreads of the hours, each kind in a row.
func packHours(p *analysis.Packing, hours *[24]hourScale) {
	var points, levels [len(hours)]float32
	var pointsN, levelsN [len(hours)]uint16
	for i, h := range hours {
		points[i], levels[i], pointsN[i], levelsN[i] = h.Point, h.Level, h.PointN, h.LevelN
	}
	p.Singles(points[:])
	p.Shorts(pointsN[:])
	p.Singles(levels[:])
	p.Shorts(levelsN[:])
	for i := range hours {
		hours[i] = hourScale{points[i], levels[i], pointsN[i], levelsN[i]}
	}
}

// packRuns packs how often each byte comes in a row, and the byte: of the visits of
// the slots of a day most are alike.
func packRuns(p *analysis.Packing, b []byte) {
	for i := 0; i < len(b); {
		var run [2]byte
		if !p.Reading() {
			n := 1
			for i+n < len(b) && b[i+n] == b[i] && n < math.MaxUint8 {
				n++
			}
			run = [2]byte{byte(n), b[i]}
		}
		p.Bytes(run[:])
		n := int(run[0])
		if n == 0 || n > len(b)-i {
			p.Refuse(errors.New("saved state of a detector: visits of more slots than there are, or of none"))
			return
		}
		for k := range n {
			b[i+k] = run[1]
		}
		i += n
	}
}

// check refuses what no series leaves behind, and puts the window in order.
func (c *core) check() error {
	bad := c.N < 0 || c.Since < 0 || c.WindowN < 0 || c.WindowN > int64(c.width) || c.Missing < 0 ||
		!(c.MissRate >= 0 && c.MissRate <= 1) || c.Said < 0 || c.Told < 0 || c.SaidSilence < 0
	if c.levels != nil {
		bad = bad || c.WindowAt < 0 || c.Points.Closed < 0 || c.Levels.Closed < 0 ||
			c.Hours.At < 0 || c.Hours.At >= int64(len(c.Hours.Most)) || c.ranks != nil && c.ranks.Most.Closed < 0
	}
	if bad {
		return errors.New("saved state of a detector: counts that no series leaves behind")
	}
	if c.levels != nil {
		c.window.restore(c.Window[:c.width], c.WindowAt, c.WindowN)
	}
	return nil
}
