package holtwinters

import (
	"fmt"
	"math"

	"sonde/analysis"
)

// learning gathers the seasons a model starts from. Where several steps share
// a slot it holds their mean.
type learning struct {
	Values analysis.Packed32 `json:"values,omitempty"` // whole seasons; NaN is a hole
	First  int64             `json:"first,omitempty"`  // which turn of the season they begin with
	Slot   int               `json:"slot,omitempty"`   // the one that the last value went to,
	Turn   int64             `json:"turn,omitempty"`   // its turn,
	Shared int               `json:"shared,omitempty"` // and how many values it has
	Turns  int               `json:"turns,omitempty"`  // how many began, enough or not
}

// unseasoned is how many values make a turn where there is no season.
const unseasoned = 24

// add takes a value of this slot and turn. When `turns` turns lie behind it
// and at least half of the slots have values of most of them, these are enough
// to start from, and the value is left for the model; else the oldest goes.
func (l *learning) add(slot int, turn int64, value float64, slots, turns int) (enough bool) {
	if l.Values == nil || turn < l.First || turn-l.First > 2*int64(turns) {
		*l = learning{First: turn, Turns: l.Turns + 1}
		l.clear(0, slots*turns)
	}
	for turn-l.First >= int64(turns) {
		if l.covered(slots, turns) {
			return true
		}
		l.Values = append(l.Values[:0], l.Values[slots:]...)
		l.clear(len(l.Values), slots*turns)
		l.First++
		l.Turns++
	}
	i := int(turn-l.First)*slots + slot
	if l.Slot != slot || l.Turn != turn || l.Values[i] != l.Values[i] {
		l.Slot, l.Turn, l.Shared = slot, turn, 0
		l.Values[i] = 0
	}
	l.Shared++
	l.Values[i] += (float32(value) - l.Values[i]) / float32(l.Shared)
	return false
}

// clear makes the values from..to holes.
func (l *learning) clear(from, to int) {
	l.Values = l.Values[:from]
	for range to - from {
		l.Values = append(l.Values, float32(math.NaN()))
	}
}

func (l *learning) covered(slots, turns int) bool {
	full := 0
	for i := range slots {
		n := 0
		for t := range turns {
			if v := l.Values[t*slots+i]; v == v {
				n++
			}
		}
		if 2*n > turns {
			full++
		}
	}
	return 2*full >= slots
}

func (l *learning) check(slots, turns int) error {
	if l.Values != nil && len(l.Values) != slots*turns || l.Slot < 0 || l.Shared < 0 || l.Turns < 0 || l.Shared > 1<<30 || l.Turns > 1<<30 ||
		l.First < -1<<50 || l.First > 1<<50 {
		return fmt.Errorf("saved state of a detector: %d values are not %d seasons of %d", len(l.Values), turns, slots)
	}
	return nil
}

// start makes the model: constants nobody gave are fitted to what was learnt.
func (d *detector) start(l *learning) *Model[float32] {
	values := make([]float64, len(l.Values))
	for i, v := range l.Values {
		values[i] = float64(v)
	}
	period := 1
	if d.seasonal {
		period = d.season.slots
	}
	p, _ := Fit(d.params, d.free, values, func(p Params) *Model[float32] { return fromMedians[float32](p, values, period) })
	m := Start[float32](p, values, period)
	// What was chosen for a slot's mean is spread over the steps that share it.
	shares := max(1, float64(d.season.length)/float64(d.season.slots)/float64(d.state.Grid.Step))
	for _, share := range []*float64{&m.Alpha, &m.Gamma, &m.GammaDeviation} {
		*share = 1 - math.Pow(1-*share, 1/shares)
	}
	m.Trend /= shares
	m.Phi = math.Pow(m.Phi, 1/shares)
	if d.double {
		m.Long = make([]float32, d.long.slots)
		for i := range m.Long {
			m.Long[i] = float32(m.Neutral())
		}
	}
	return m
}

// early is what a long season takes of a value in its first turns: it starts
// from nothing, so the mean of all it has seen is better than omega.
func early(omega float64, turns int64) float64 {
	if turns >= 20 {
		return omega
	}
	return max(omega, 1/float64(turns+2))
}
