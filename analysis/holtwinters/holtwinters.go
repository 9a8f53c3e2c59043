package holtwinters

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"sonde/analysis"
	"sonde/analysis/regular"
	"sonde/internal/measure"
)

// Method is the Holt-Winters method.
func Method() analysis.Method {
	share := func(name string, constant float64, meaning string) measure.Option {
		return measure.Option{Name: name, Type: measure.FloatOption, Min: 0.0, Max: 1.0, Meaning: fmt.Sprintf("%s %v when not set, or fitted.", meaning, constant)}
	}
	return analysis.Method{
		Name:    "holt-winters",
		Meaning: "Many of the last values lie outside of what level, trend and season foretell.",
		Options: []measure.Option{
			{Name: "seasons", Type: measure.EnumOption, Default: "day", Values: []string{"none", "day", "week", "day and week"}, Meaning: "Which seasons the series has."},
			{Name: "time_zone", Type: measure.TextOption, Default: "UTC", Meaning: "Where people live whose days and weeks the series follows."},
			{Name: "season", Type: measure.EnumOption, Default: "additive", Values: []string{"additive", "multiplicative"}, Meaning: "Whether a season adds to the level or is a share of it."},
			{Name: "interval", Type: measure.DurationOption, Min: "1s", Max: "30d", Meaning: "How far apart the values are; what is usual for the spec when not set, measured when that is not known."},
			{Name: "start", Type: measure.IntOption, Default: 3, Min: 2, Max: 8, Meaning: "How many seasons it learns from before it judges: the median of them, so that with 3 one may be odd."},
			{Name: "fit", Type: measure.BoolOption, Default: false, Meaning: "Whether the constants that are not set are fitted, once, to the seasons of the start, by the least squared errors one step ahead."},
			share("alpha", usual.Alpha, "How much of a value's news the level takes."),
			share("beta", usual.Beta, "How much the trend takes."),
			share("gamma", usual.Gamma, "How much the season takes."),
			share("omega", usual.Omega, "How much the week takes beside the day."),
			share("phi", usual.Phi, "How much of the trend is left a step later: 1 is Holt's trend, less a damped one, 0 none."),
			share("ar", usual.AR, "How much of the last error the next forecast takes (Taylor)."),
			{Name: "clip", Type: measure.FloatOption, Default: 2.0, Min: 0.0, Max: 100.0, Meaning: "An error teaches the model at most so many of its usual errors; 0 is without bound."},
			{Name: "gamma_deviation", Type: measure.FloatOption, Default: 0.02, Min: 0.0, Max: 1.0, Meaning: "How much of the newest error the usual deviation takes."},
			{Name: "delta_pos", Type: measure.FloatOption, Default: 4.0, Min: 0.1, Max: 1000.0, Meaning: "How many deviations above the forecast the band ends; RRDtool has 2."},
			{Name: "delta_neg", Type: measure.FloatOption, Default: 4.0, Min: 0.1, Max: 1000.0, Meaning: "How many below."},
			{Name: "window_length", Type: measure.IntOption, Default: 6, Min: 1, Max: mostWindow, Meaning: "Of how many values …; RRDtool has 9"},
			{Name: "failure_threshold", Type: measure.IntOption, Default: 5, Min: 1, Max: mostWindow, Meaning: "… so many must lie outside of the band; RRDtool has 7."},
			{Name: "clear", Type: measure.IntOption, Default: 1, Min: 0, Max: mostWindow - 1, Meaning: "How many of window_length values may still lie outside when it is over."},
			{Name: "direction", Type: measure.EnumOption, Default: "both", Values: []string{"up", "down", "both"}, Meaning: "Which side of the band is bad."},
			{Name: "floor_pct", Type: measure.FloatOption, Default: 1.0, Min: 0.0, Max: 100.0, Meaning: "The deviation counts as at least this much, in % of the forecast."},
			{Name: "least", Type: measure.FloatOption, Default: 0.0, Min: 0.0, Max: 1e15, Meaning: "The band is at least this wide to either side, in the unit of the series."},
			{Name: "unit", Type: measure.TextOption, Default: "", Meaning: "The unit, for the sentence."},
		},
		New: newDetector,
	}
}

type detector struct {
	params             Params
	free               Free
	double             bool // day and week
	interval           time.Duration
	turns              int
	deltaPos, deltaNeg float64
	floor, least       float64
	up, down           bool
	clear              int
	unit               string
	kind               string // of seasons
	clocks             regular.Calendar

	// These follow from the step, see lay.
	seasonal     bool
	season, long season

	state state
	whole []analysis.Stretch
}

// state is all that one value leaves behind for the next.
type state struct {
	Grid     grid            `json:"grid"`
	Learning *learning       `json:"learning,omitempty"`
	Model    *Model[float32] `json:"model,omitempty"`
	Turn     int64           `json:"turn,omitempty"` // of the long season, when the model began
	Window   violations      `json:"window"`
	Bad      *failure        `json:"bad,omitempty"`
	Ended    time.Time       `json:"ended,omitzero"`  // when the last failure was over,
	Again    int             `json:"again,omitempty"` // and how many before it began within a season of another's end
	Said     bool            `json:"said,omitempty"`  // that it cannot judge
	Stretch  *stretch        `json:"stretch,omitempty"`
}

// failure is what stands: since when, and how bad it was when last said.
type failure struct {
	Since time.Time  `json:"since"`
	Score float64    `json:"score"`
	Level float64    `json:"level"`          // of the model when it began
	Old   violations `json:"old"`            // of the band that this level would have
	Calm  int        `json:"calm,omitempty"` // values in a row with which it could be over
}

// usual are the constants of a detector that is told none, and where a fit
// begins. What least squares choose follows whatever happens within minutes,
// and finds less: docs/detection-methods.md has both.
var usual = Params{Alpha: 0.02, Beta: 0, Gamma: 0.1, Omega: 0.1, Phi: 0.98}

func newDetector(p measure.Options, saved []byte) (analysis.Detector, error) {
	zone, err := time.LoadLocation(p.Text("time_zone"))
	if err != nil {
		return nil, fmt.Errorf("option \"time_zone\": there is no time zone %q: wanted one like Europe/Berlin", p.Text("time_zone"))
	}
	d := &detector{
		params: usual, clocks: regular.NewCalendar(zone),
		kind: p.Text("seasons"), interval: min(p.Duration("interval"), mostStep), turns: p.Int("start"),
		deltaPos: p.Float("delta_pos"), deltaNeg: p.Float("delta_neg"), floor: p.Float("floor_pct"), least: p.Float("least"),
		up: p.Text("direction") != "down", down: p.Text("direction") != "up",
		clear: p.Int("clear"), unit: p.Text("unit"),
	}
	d.params.Clip, d.params.GammaDeviation = p.Float("clip"), p.Float("gamma_deviation")
	d.params.Multiplicative = p.Text("season") == "multiplicative"
	for _, c := range []struct {
		name  string
		value *float64
		free  *bool
	}{
		{"alpha", &d.params.Alpha, &d.free.Alpha}, {"beta", &d.params.Beta, &d.free.Beta}, {"gamma", &d.params.Gamma, &d.free.Gamma},
		{"omega", &d.params.Omega, nil}, {"phi", &d.params.Phi, &d.free.Phi}, {"ar", &d.params.AR, &d.free.AR},
	} {
		_, given := p[c.name]
		if given {
			*c.value = p.Float(c.name)
		}
		if c.free != nil {
			*c.free = p.Bool("fit") && !given
		}
	}
	window := violations{Window: p.Int("window_length"), Threshold: p.Int("failure_threshold")}
	switch {
	case window.Threshold > window.Window:
		return nil, fmt.Errorf("option \"failure_threshold\" (%d) must be at most \"window_length\" (%d)", window.Threshold, window.Window)
	case d.clear >= window.Threshold:
		return nil, fmt.Errorf("option \"clear\" (%d) must be less than \"failure_threshold\" (%d), or it never ends", d.clear, window.Threshold)
	}
	if err := analysis.Load(saved, &d.state); err != nil {
		return nil, err
	}
	if d.interval > 0 && d.state.Grid.Step > 0 && d.state.Grid.Step != d.interval {
		return nil, fmt.Errorf("saved state of a detector: what was learnt is of steps of %s", d.state.Grid.Step) // another grid
	}
	d.state.Window.Window, d.state.Window.Threshold = window.Window, window.Threshold
	if d.interval > 0 {
		d.state.Grid.Step = d.interval
	}
	d.lay()
	return d, d.check()
}

// lay lays the seasons out on the grid, once its step is known.
func (d *detector) lay() {
	step := d.state.Grid.Step
	if step == 0 {
		return
	}
	d.double, d.seasonal = false, false
	switch d.kind {
	case "day":
		d.season, d.seasonal = seasonOf(day, step, daySlots)
	case "week":
		d.season, d.seasonal = seasonOf(week, step, weekSlots)
	case "day and week":
		d.season, d.seasonal = seasonOf(day, step, daySlots)
		if d.seasonal {
			d.long, d.double = seasonOf(week, step, weekSlots)
		} else {
			d.season, d.seasonal = seasonOf(week, step, weekSlots)
		}
	}
	if !d.seasonal {
		d.season = season{unseasoned * step, unseasoned}
		d.params.Gamma, d.free.Gamma = 0, false
	}
}

func (d *detector) Save() ([]byte, error) { return json.Marshal(d.state) }

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

// most is the largest value a season in single precision can keep.
const most = 1e30

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	value, ok := analysis.Value(s)
	if !ok || math.Abs(value) > most {
		return nil
	}
	st := &d.state
	known := st.Grid.Step > 0
	holes, ok := st.Grid.place(s.DueAt.UTC())
	if !known && st.Grid.Step > 0 {
		d.lay()
	}
	if !ok {
		return nil
	}
	at := st.Grid.time()
	wall := at
	if d.seasonal {
		wall = d.clocks.Wall(at)
	}
	slot, turn := d.season.place(wall)
	fresh := st.Model == nil
	if fresh && !d.learn(slot, turn, value) {
		d.note(at, holes, value, nil)
		return d.declined(s.DueAt.UTC())
	}
	m := st.Model
	m.Skip(int(max(0, min(holes, mostMissing))))
	d.seek(wall, slot)
	f := d.foretell()
	d.note(at, holes, value, &f)
	out := d.judge(s.DueAt.UTC(), at, value, f)
	// What an episode shows is not the season. If it lasts longer than one, or
	// comes again within one, it may be.
	m.Hold = st.Bad != nil && st.Again == 0 && at.Sub(st.Bad.Since) < d.span()
	season, long := m.season, m.longest
	m.Update(value)
	sound := analysis.Finite(m.Level) && analysis.Finite(m.Trend) && analysis.Finite(m.Error) && analysis.Finite(m.Variance) &&
		analysis.Finite(float64(m.Season[season].Season)) && !math.IsInf(float64(m.Season[season].Deviation), 0) && (m.Long == nil || analysis.Finite(float64(m.Long[long])))
	if fresh {
		sound = sound && d.fits(m) == nil // its start has touched all slots
	}
	if !sound { // numbers beyond all measure: it learns anew
		if st.Bad != nil {
			out = append(out, measure.Verdict{Kind: measure.Good, At: s.DueAt.UTC(), Since: earlier(at, s.DueAt.UTC()),
				Text: "judged anew: the values are beyond what can be reckoned with", Evidence: map[string]any{"rule": "failures", "value": value, "bad_since": st.Bad.Since}})
		}
		st.Model, st.Bad, st.Window.bits = nil, nil, 0
		if st.Stretch != nil {
			d.finish() // what is foretold ends here
		}
	}
	return out
}

// seek puts the model where an instant is in its seasons, by the clocks of the place.
func (d *detector) seek(wall time.Time, slot int) {
	m := d.state.Model
	if !d.seasonal {
		slot = 0
	}
	long := 0
	if d.double {
		var turn int64
		long, turn = d.long.place(wall)
		if d.state.Turn == 0 {
			d.state.Turn = turn
		}
		m.Omega = early(d.params.Omega, max(0, turn-d.state.Turn))
	}
	m.Seek(slot, long)
}

// learn gathers values until the model can start; then the value is the model's.
func (d *detector) learn(slot int, turn int64, value float64) (started bool) {
	st := &d.state
	if st.Learning == nil {
		st.Learning = &learning{}
	}
	if !st.Learning.add(slot, turn, value, d.season.slots, d.turns) {
		return false
	}
	st.Model, st.Learning, st.Said = d.start(st.Learning), nil, false
	if st.Stretch != nil {
		d.finish() // nothing is foretold in it
	}
	return true
}

// declined says once that it cannot judge, when it has waited twice as long as
// it takes.
func (d *detector) declined(now time.Time) []measure.Verdict {
	st := &d.state
	if st.Learning.Turns <= 2*d.turns || st.Said {
		return nil
	}
	st.Said = true
	return []measure.Verdict{{
		Kind: measure.Note, At: now, Since: now,
		Text: fmt.Sprintf("not judged: of %d seasons of %s each, half of %d slots need values in most; measure more often, or choose no season",
			d.turns, measure.FormatDuration(d.season.length), d.season.slots),
		Evidence: map[string]any{"rule": "not judged", "turns": st.Learning.Turns, "slots": d.season.slots},
	}}
}

// foretold is what the next value is expected to be.
type foretold struct{ forecast, deviation, low, high float64 }

// foretell gives the forecast and its band.
func (d *detector) foretell() foretold {
	m := d.state.Model
	return d.band(m.Forecast(1), m.Deviation())
}

// band is no narrower than the floors.
func (d *detector) band(forecast, deviation float64) foretold {
	least := max(d.floor/100*math.Abs(forecast), d.least/max(d.deltaPos, d.deltaNeg))
	if !(deviation > least) {
		deviation = least
	}
	return foretold{forecast, deviation, forecast - d.deltaNeg*deviation, forecast + d.deltaPos*deviation}
}

func (d *detector) outside(value float64, f foretold) bool {
	return d.up && value > f.high || d.down && value < f.low
}

// judge counts a value and says what begins, grows or ends.
func (d *detector) judge(now, at time.Time, value float64, f foretold) []measure.Verdict {
	st := &d.state
	failed := st.Window.add(d.outside(value, f))
	count := st.Window.count()
	back := false
	if st.Bad != nil {
		old := d.band(st.Model.from(st.Bad.Level), f.deviation)
		st.Bad.Old.Window = st.Window.Window
		st.Bad.Old.add(d.outside(value, old))
		if back = st.Bad.Old.count() <= d.clear; back {
			st.Model.Level = st.Bad.Level // it had begun to follow
		}
		if back || count <= d.clear {
			st.Bad.Calm++
		} else {
			st.Bad.Calm = 0
		}
	}
	// 1 is the edge of the band.
	score := (value - f.forecast) / (f.high - f.forecast)
	if value < f.forecast {
		score = (f.forecast - value) / (f.forecast - f.low)
	}
	if !(score >= 0) {
		score = 0 // a band without width, and a value on its only point
	}
	score = min(score, 1e9)
	evidence := map[string]any{
		"rule": "failures", "value": value, "forecast": f.forecast, "low": f.low, "high": f.high, "score": measure.ScoreOf(score), "deviation": f.deviation,
		"violations": count, "window_length": st.Window.Window, "failure_threshold": st.Window.Threshold,
		"delta_pos": d.deltaPos, "delta_neg": d.deltaNeg, "level": st.Model.Level, "trend": st.Model.Trend,
	}
	said := func(kind measure.VerdictKind, text string) []measure.Verdict {
		return []measure.Verdict{{Kind: kind, At: now, Since: st.Bad.Since, Text: text, Evidence: evidence}}
	}
	expected := fmt.Sprintf("now %s, foretold %s (%s to %s)", d.number(value), d.number(f.forecast), d.number(f.low), d.number(f.high))
	switch {
	case st.Bad == nil && failed:
		since := at.Add(-time.Duration(st.Window.first()) * st.Grid.Step)
		if !st.Ended.IsZero() && at.Sub(st.Ended) < d.span() {
			st.Again++
		} else {
			st.Again = 0
		}
		st.Bad = &failure{Since: earlier(since, now), Score: score, Level: st.Model.Level, Old: st.Window}
		return said(measure.Bad, fmt.Sprintf("%d of the last %d values outside the band, %s", count, st.Window.Window, expected))
	case st.Bad != nil && failed && score >= 2*st.Bad.Score:
		st.Bad.Score = score
		return said(measure.Bad, "twice as far off as before, "+expected)
	case st.Bad != nil && st.Bad.Calm > d.patience():
		evidence["bad_since"] = st.Bad.Since
		text := "back in the band, " + expected
		if math.Abs(st.Model.Level-st.Bad.Level) > d.deltaPos*f.deviation {
			text = fmt.Sprintf("the forecast has followed and takes it as usual: the level was %s and is %s", d.number(st.Bad.Level), d.number(st.Model.Level))
		}
		out := said(measure.Good, text)
		out[0].Since = earlier(at, now)
		st.Bad, st.Window.bits, st.Ended = nil, 0, at
		return out
	}
	return nil
}

// patience is how many values must be calm before a failure is over: none the
// first time, and with each failure that begins within a season of the last
// one's end eight times as many. A season that is no longer what it was is one
// episode until it is learnt, not two a day.
func (d *detector) patience() int {
	if d.state.Again == 0 {
		return 0
	}
	steps := d.state.Window.Window << (3 * min(d.state.Again, 8))
	return min(steps, int(max(3*d.season.length, d.span())/d.state.Grid.Step))
}

// span is the longest season.
func (d *detector) span() time.Duration {
	if d.double {
		return d.long.length
	}
	return d.season.length
}

// earlier of two instants: the step of a sample may lie a little after it.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (d *detector) number(v float64) string { return analysis.Number(v, d.unit) }
