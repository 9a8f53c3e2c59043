package plateau

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Buffers shorter than this say nothing of a level.
const (
	leastHistory = 10
	leastTrigger = 3
)

// Method is the plateau method.
func Method() analysis.Method {
	return analysis.Method{
		Name:    "plateau",
		Meaning: "A lasting step: the series left its level and stayed away.",
		Options: []measure.Option{
			{Name: "direction", Type: measure.EnumOption, Default: "both", Values: []string{"down", "up", "both"}, Meaning: "Which steps are bad."},
			{Name: "threshold_pct", Type: measure.FloatOption, Default: 33.0, Min: 0.0, Max: 1e6, Meaning: "The least change that counts, in % of the old level."},
			{Name: "least", Type: measure.FloatOption, Default: 0.0, Min: 0.0, Max: 1e15, Meaning: "The least absolute change that counts, in the unit of the series."},
			{Name: "sensitivity", Type: measure.FloatOption, Default: 2.0, Min: 0.1, Max: 100.0, Meaning: "How many standard deviations off a value is unusual; sensible are 1.5 to 3."},
			{Name: "history", Type: measure.DurationOption, Default: "1d", Min: "1m", Max: "90d", Meaning: "How far back history reaches."},
			{Name: "trigger", Type: measure.DurationOption, Default: "30m", Min: "1s", Max: "30d", Meaning: "How long a step must last."},
			{Name: "points", Type: measure.IntOption, Default: 360, Min: leastHistory, Max: 20000, Meaning: "The most values history holds, however close together they are."},
			{Name: "start", Type: measure.IntOption, Min: leastHistory, Max: 20000, Meaning: "With how many values judging begins; a full history when not set."},
			{Name: "separation", Type: measure.DurationOption, Min: "1ms", Max: "90d", Meaning: "How far apart the values are; measured when not set."},
			{Name: "floor_pct", Type: measure.FloatOption, Default: 10.0, Min: 0.0, Max: 100.0, Meaning: "The standard deviation of history counts as at least this much, in % of its mean; 0 is off."},
			{Name: "f1_limit", Type: measure.FloatOption, Default: 0.0, Min: 0.0, Max: 1e6, Meaning: "The least distance of the two means in units of the spread around both; 0 is off."},
			{Name: "settle", Type: measure.DurationOption, Default: "7d", Min: "1m", Max: "400d", Meaning: "After this long the new level is taken as usual."},
			{Name: "unit", Type: measure.TextOption, Default: "", Meaning: "The unit, for the sentence."},
		},
		New: newDetector,
	}
}

type detector struct {
	up, down                             bool // which sides are watched
	threshold, least, sensitivity        float64
	floor, f1                            float64
	history, trigger, separation, settle time.Duration
	points, start                        int
	unit                                 string
	state                                state
}

type point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"v"`
}

// state is all that one value leaves behind for the next.
type state struct {
	History []float64 `json:"history,omitempty"`
	Full    bool      `json:"full,omitempty"` // judging has begun
	Up      []point   `json:"up,omitempty"`   // the trigger buffers, one for each side
	Down    []point   `json:"down,omitempty"`
	Back    []point   `json:"back,omitempty"` // values near the old level while a step is open
	Open    *step     `json:"open,omitempty"`
	Spacing spacing   `json:"spacing"`
}

// step is an open plateau: the level before the first step, and when it came.
type step struct {
	From   float64   `json:"from"`
	FromSD float64   `json:"from_sd"`
	Since  time.Time `json:"since"`
	Found  time.Time `json:"found"`
	Rose   bool      `json:"rose"`
}

func newDetector(p measure.Options, saved []byte) (analysis.Detector, error) {
	d := &detector{
		up: p.Text("direction") != "down", down: p.Text("direction") != "up",
		threshold: p.Float("threshold_pct"), least: p.Float("least"), sensitivity: p.Float("sensitivity"),
		floor: p.Float("floor_pct"), f1: p.Float("f1_limit"),
		history: p.Duration("history"), trigger: p.Duration("trigger"), separation: p.Duration("separation"), settle: p.Duration("settle"),
		points: p.Int("points"), start: p.Int("start"), unit: p.Text("unit"),
	}
	if d.trigger >= d.history {
		return nil, fmt.Errorf("option \"trigger\" (%s) must be shorter than \"history\" (%s)", measure.FormatDuration(d.trigger), measure.FormatDuration(d.history))
	}
	if err := analysis.Load(saved, &d.state); err != nil {
		return nil, err
	}
	return d, d.state.check()
}

func (s state) check() error {
	for _, v := range s.History {
		if !analysis.Finite(v) {
			return fmt.Errorf("saved state of a detector: %v in history", v)
		}
	}
	for _, buffer := range [][]point{s.Up, s.Down, s.Back} {
		for _, p := range buffer {
			if !analysis.Finite(p.Value) {
				return fmt.Errorf("saved state of a detector: %v waiting", p.Value)
			}
		}
	}
	if s.Open != nil && !(analysis.Finite(s.Open.From) && analysis.Finite(s.Open.FromSD)) {
		return fmt.Errorf("saved state of a detector: the open step is no number")
	}
	if s.Full && len(s.History) < leastTrigger || s.Spacing.Sum < 0 || s.Spacing.Count < 0 || s.Spacing.Sum > 1<<61 {
		return fmt.Errorf("saved state of a detector: %d values of history, %v spacing", len(s.History), s.Spacing)
	}
	return nil
}

func (d *detector) Save() ([]byte, error) { return json.Marshal(d.state) }

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	v, ok := analysis.Value(s)
	if !ok {
		return nil
	}
	at := s.DueAt.UTC()
	st := &d.state
	st.Spacing.add(at)
	historyLength, triggerLength := d.lengths()
	if !st.Full {
		st.History = append(st.History, v)
		begin := historyLength
		if d.start > 0 {
			begin = min(begin, d.start)
		}
		// The first few distances may mislead about the length.
		st.Full = len(st.History) >= begin && st.Spacing.Count >= leastHistory-1
		return nil
	}
	var out []measure.Verdict
	taken := false
	if st.Open != nil {
		out, taken = d.back(point{at, v}, triggerLength)
	}
	if !taken {
		out = append(out, d.judge(point{at, v}, triggerLength)...)
	}
	if over := len(st.History) - historyLength; over > 0 {
		st.History = append([]float64(nil), st.History[over:]...)
	}
	return out
}

func (d *detector) lengths() (history, trigger int) {
	every := d.separation
	if every == 0 {
		every = d.state.Spacing.average()
	}
	history = max(leastHistory, min(Length(d.history, every), d.points))
	return history, max(leastTrigger, min(Length(d.trigger, every), history))
}

// usual is the level of history, its deviation floored.
func (d *detector) usual() (mean, sd float64) {
	mean, sd = level(d.state.History)
	return mean, max(sd, d.floor/100*math.Abs(mean))
}

// judge puts one value where it belongs and looks whether a trigger buffer ran over.
func (d *detector) judge(p point, triggerLength int) []measure.Verdict {
	st := &d.state
	mean, sd := d.usual()
	switch {
	case d.up && p.Value > mean+d.sensitivity*sd:
		st.Up = append(st.Up, p)
		d.leak(&st.Down)
		if len(st.Up) > triggerLength {
			return d.full(&st.Up, p.At, mean, sd, triggerLength)
		}
	case d.down && p.Value < mean-d.sensitivity*sd:
		st.Down = append(st.Down, p)
		d.leak(&st.Up)
		if len(st.Down) > triggerLength {
			return d.full(&st.Down, p.At, mean, sd, triggerLength)
		}
	default:
		st.History = append(st.History, p.Value)
		d.leak(&st.Up)
		d.leak(&st.Down)
	}
	return nil
}

// leak moves the oldest waiting value into history.
func (d *detector) leak(buffer *[]point) {
	if len(*buffer) == 0 {
		return
	}
	d.state.History = append(d.state.History, (*buffer)[0].Value)
	*buffer = append([]point(nil), (*buffer)[1:]...)
	if len(*buffer) == 0 {
		*buffer = nil
	}
}

// full decides about a trigger buffer that ran over.
func (d *detector) full(buffer *[]point, at time.Time, mean, sd float64, triggerLength int) []measure.Verdict {
	st := &d.state
	waiting := *buffer
	values := valuesOf(waiting)
	to, toSD := level(values)
	change, f1 := Change(mean, to), F1(mean, sd, to, toSD)
	if math.Abs(change) < d.threshold || math.Abs(to-mean) < d.least || d.f1 > 0 && math.Abs(f1) < d.f1 {
		*buffer = nil
		return nil
	}
	evidence := map[string]any{
		"from": mean, "from_sd": sd, "to": to, "to_sd": toSD, "values": values,
		"history_length": len(st.History), "trigger_length": triggerLength,
		"separation_s": d.state.Spacing.average().Seconds(),
	}
	if analysis.Finite(change) {
		evidence["change_pct"] = change
	}
	if analysis.Finite(f1) {
		evidence["f1"] = math.Abs(f1)
	}
	since, rose := waiting[0].At, to > mean
	st.History, st.Up, st.Down, st.Back = values, nil, nil, nil

	if open := st.Open; open != nil && open.Rose != rose && d.near(to, *open) {
		st.Open = nil
		evidence["old_level"] = open.From
		return []measure.Verdict{{
			Kind: measure.Good, At: at, Since: since, Evidence: evidence,
			Text: fmt.Sprintf("back near the old level of %s, now %s", d.number(open.From), d.number(to)),
		}}
	}
	if st.Open == nil {
		st.Open = &step{From: mean, FromSD: sd, Since: since, Rose: rose}
	}
	st.Open.Found = at
	verb := "fell"
	if rose {
		verb = "rose"
	}
	text := fmt.Sprintf("%s from %s to %s", verb, d.number(mean), d.number(to))
	if analysis.Finite(change) {
		text += fmt.Sprintf(" (%+.0f %%)", change)
	}
	return []measure.Verdict{{
		Kind: measure.Bad, At: at, Since: since, Evidence: evidence,
		Text: text + fmt.Sprintf(", %d values long", len(values)),
	}}
}

// near says whether a level counts as the one before the open step.
func (d *detector) near(v float64, open step) bool {
	return math.Abs(Change(open.From, v)) < d.threshold || math.Abs(v-open.From) < d.least
}

// back looks whether an open step is over. A value that lies near the old level
// is taken: it waits in the back buffer and goes nowhere else.
func (d *detector) back(p point, triggerLength int) (out []measure.Verdict, taken bool) {
	st := &d.state
	open := *st.Open
	over := func(since time.Time, text string) []measure.Verdict {
		st.Open, st.Back, st.Up, st.Down = nil, nil, nil, nil
		mean, sd := d.usual()
		return []measure.Verdict{{
			Kind: measure.Good, At: p.At, Since: since, Text: text,
			Evidence: map[string]any{"old_level": open.From, "old_sd": open.FromSD, "now": mean, "now_sd": sd, "bad_since": open.Since},
		}}
	}
	if p.At.Sub(open.Found) >= d.settle {
		mean, _ := d.usual()
		return over(open.Found, fmt.Sprintf("%s has stood for %s and is taken as usual now", d.number(mean), measure.FormatDuration(d.settle))), false
	}
	band := d.sensitivity * open.FromSD
	if open.Rose && p.Value > open.From+band || !open.Rose && p.Value < open.From-band {
		d.leak(&st.Back)
		return nil, false
	}
	st.Back = append(st.Back, p)
	if len(st.Back) <= triggerLength {
		return nil, true
	}
	st.History = valuesOf(st.Back)
	mean, _ := level(st.History)
	return over(st.Back[0].At, fmt.Sprintf("back at %s, the old level was %s", d.number(mean), d.number(open.From))), true
}

func valuesOf(points []point) []float64 {
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = p.Value
	}
	return values
}

func (d *detector) number(v float64) string { return analysis.Number(v, d.unit) }
