package anomaly

import (
	"fmt"
	"math"
	"strings"
	"time"

	"sonde/analysis"
	"sonde/analysis/regular"
	"sonde/internal/measure"
)

// Method is the default detector.
func Method() analysis.Method {
	return analysis.Method{
		Name:    "anomaly",
		Meaning: "Something is not as it usually is at this time: learnt from the series itself, one setting for all.",
		Options: []measure.Option{
			{Name: "kind", Type: measure.EnumOption, Default: "unknown", Values: Kinds, Meaning: "What the series is: which way is bad, and what an answer means that did not come."},
			{Name: "interval", Type: measure.DurationOption, Min: "1ms", Max: "366d", Meaning: "How far apart the samples are; what is usual for the spec, by its run_interval or run_at, when not set."},
			{Name: "threshold", Type: measure.FloatOption, Default: measure.AlertScore, Min: 0.01, Max: 0.99, Meaning: "The score from which on it is an alert; from 0.8 on a finding is grave."},
			{Name: "silence", Type: measure.BoolOption, Default: true, Meaning: "Whether answers that do not come are judged; false where another rule does that."},
			{Name: "time_zone", Type: measure.TextOption, Default: "UTC", Meaning: "Where people live whose days and weeks the series follows."},
			{Name: "what", Type: measure.TextOption, Default: "", Meaning: "What the series is called, for the sentence: delay."},
			{Name: "unit", Type: measure.TextOption, Default: "", Meaning: "The unit, for the sentence."},
		},
		New: newDetector,
	}
}

// detector has what each sample touches first: among many series each piece of
// memory is fetched anew.
type detector struct {
	reader    regular.Reader
	core      core
	grid      regular.Grid
	apart     int // samples in a row that came after a pause: the step is not theirs
	threshold float64
	score     float64
	odd       bool // the last value for itself is off
	episode   episode

	after time.Duration // the last sample after a pause came so long after the one before
	what  string
	unit  string
}

// apartLeast pauses in a row are no pauses.
const apartLeast = 3

// episode is what was found and is not over.
type episode struct {
	Rule  string    // what spoke; empty: nothing is open
	Off   time.Time // since when the series has been off, if it is
	Since time.Time // when it began
	Usual float64   // what was expected when it began
	Most  float64   // the greatest conviction
	Well  time.Time // since when it has been well again
}

// defaultStep is taken where nobody says how far apart the samples are.
const defaultStep = 5 * time.Minute

func newDetector(o measure.Options, saved []byte) (analysis.Detector, error) {
	zone, err := time.LoadLocation(o.Text("time_zone"))
	if err != nil {
		return nil, fmt.Errorf("option \"time_zone\": there is no time zone %q: wanted one like Europe/Berlin", o.Text("time_zone"))
	}
	step := o.Duration("interval")
	if step <= 0 {
		step = defaultStep
	}
	d := &detector{
		reader: regular.Reader{Step: step, Counter: o.Text("kind") == "counter"},
		core:   newCore(o.Text("kind"), o.Bool("silence"), step, zone), grid: regular.NewGrid(step),
		what: o.Text("what"), unit: o.Text("unit"), threshold: o.Float("threshold"),
	}
	return d, d.load(saved)
}

// Score of the last sample.
func (d *detector) Score() float64 { return d.score }

// Usual reports whether the last sample was judged and nothing is off: a level
// that has just changed shows in its first value, and is found half a window later.
func (d *detector) Usual() bool {
	return !d.odd && d.episode.Rule == "" && d.episode.Off.IsZero() && d.Judges()
}

// Record gives the stretches of the grid that are whole.
func (d *detector) Record() []analysis.Stretch { return d.grid.Whole() }

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	d.score = 0
	if s.Gap || s.Outcome != measure.OK {
		return nil // nobody asked the target: a hole
	}
	p := d.reader.Next(s.DueAt.UTC(), s.Value)
	if p.Again {
		return nil
	}
	if !p.Broken {
		d.apart = 0
	} else if p.After > 0 {
		d.apart, d.after = d.apart+1, p.After
	}
	f := d.core.next(p)
	d.grid.Add(p, f.Forecast, f.Low, f.High)
	d.score, d.odd = score(f.Conviction, d.core.set.sharp), f.Alone >= offAt
	return d.follow(p, f)
}

// score puts a conviction, of which 1 alerts, between 0 and 1.
func score(conviction, sharp float64) float64 {
	if !(conviction > 0) {
		return 0
	}
	c := math.Pow(conviction, sharp)
	return 1 - 1/(1+c)
}

// An episode is over when the series has been well for an hour, or six steps.
const (
	wellFor   = time.Hour
	wellSteps = 6
	worse     = 2   // so many times what was said of an episode is said again
	offAt     = 0.5 // of what alerts: from here on the series is off
)

// follow opens, feeds and ends the episode.
func (d *detector) follow(p regular.Point, f finding) []measure.Verdict {
	e := &d.episode
	if p.After < 0 { // the clock went back: nothing began later than now
		for _, t := range []*time.Time{&e.Off, &e.Since, &e.Well} {
			if t.After(p.At) {
				*t = p.At
			}
		}
	}
	switch off := !(f.Deviation < offAt); {
	case off && e.Off.IsZero():
		e.Off = p.At
	case !off && !e.Off.IsZero():
		e.Off = time.Time{}
	}
	if d.score >= d.threshold {
		if e.Rule == "" {
			e.Since, e.Most = d.began(p, f), 0
			if e.Usual = f.Forecast; f.Rule == "silence" {
				e.Usual = 0
			}
		}
		e.Well = time.Time{}
		if f.Conviction <= e.Most*worse && f.Rule == e.Rule {
			return nil // it stands, and is hardly worse
		}
		e.Rule, e.Most = f.Rule, max(e.Most, f.Conviction)
		return []measure.Verdict{{Kind: measure.Bad, At: p.At, Since: e.Since, Text: d.words(f), Evidence: d.evidence(f)}}
	}
	switch {
	case e.Rule == "":
	case f.Deviation >= offAt:
		e.Well = time.Time{}
	case math.IsNaN(f.Forecast): // nothing came that could be well
	case e.Well.IsZero() || e.Rule != "silence" && d.core.Since <= afterPause:
		e.Well = p.At // after a pause it has to be well anew
	case p.At.Sub(e.Well) >= max(wellFor, wellSteps*d.reader.Step):
		v := measure.Verdict{Kind: measure.Good, At: p.At, Since: e.Well, Text: d.overWords(f), Evidence: d.evidence(f)}
		*e = episode{}
		return []measure.Verdict{v}
	}
	return nil
}

// began is when what is found now began. A level is seen when half of its window is off.
func (d *detector) began(p regular.Point, f finding) time.Time {
	switch f.Rule {
	case "silence":
		return earlier(time.UnixMicro(d.core.MissingFrom).UTC(), p.At)
	case "level":
		return d.episode.Off.Add(-time.Duration(d.core.width/2) * d.reader.Step)
	}
	return d.episode.Off
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// words say what was found.
func (d *detector) words(f finding) string {
	if f.Rule == "silence" {
		return fmt.Sprintf("no answer, %.0f in a row", f.Spreads)
	}
	if f.Rule == "loss" {
		return fmt.Sprintf("more loss than usual: %s now, usually %s", analysis.Number(f.Value, d.unit), analysis.Number(f.Forecast, d.unit))
	}
	if f.Rule == "drift" {
		return fmt.Sprintf("declines from day to day: %s now, %s in the last ten days", analysis.Number(f.Value, d.unit), analysis.Number(f.Forecast, d.unit))
	}
	if f.Rule == "ranks" {
		way := "low"
		if f.Rose {
			way = "high"
		}
		return strings.TrimSpace(fmt.Sprintf("%s has been %s of late: %s now, mostly %s to %s in the hours before", d.what, way,
			analysis.Number(f.Value, d.unit), analysis.Number(f.Low, d.unit), analysis.Number(f.High, d.unit)))
	}
	verb := "fell"
	if f.Rose {
		verb = "rose"
	}
	text := verb + " to " + analysis.Number(f.Value, d.unit)
	if f.Rule == "level" {
		text += " and stays there"
	}
	if d.what != "" {
		text = d.what + " " + text
	}
	return text + "; expected " + analysis.Number(f.Forecast, d.unit)
}

func (d *detector) overWords(f finding) string {
	e := d.episode
	switch {
	case e.Rule == "silence":
		return "answers again"
	case math.Abs(f.Forecast-e.Usual) > 2*f.Spread:
		return fmt.Sprintf("%s is taken as usual now, before it was %s", analysis.Number(f.Forecast, d.unit), analysis.Number(e.Usual, d.unit))
	}
	return "as usual again, " + analysis.Number(f.Value, d.unit)
}

// evidence is what led to a verdict. Numbers that are none are left out.
func (d *detector) evidence(f finding) map[string]any {
	out := map[string]any{"kind": d.core.kind, "score": d.score, "threshold": d.threshold}
	if f.Rule != "" {
		out["rule"] = f.Rule
	}
	if f.Basis != "" {
		out["basis"] = f.Basis
	}
	for name, v := range map[string]float64{"value": f.Value, "forecast": f.Forecast, "low": f.Low, "high": f.High, "spread": f.Spread,
		"off_spreads": f.Spreads, "asked_spreads": f.Asked, "usual_spreads": f.Usual} {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			out[name] = v
		}
	}
	return out
}

// Judges reports whether the last sample was judged.
func (d *detector) Judges() bool {
	c := &d.core
	if d.apart >= apartLeast || c.N <= warm {
		return false
	}
	if c.kind == "loss" {
		return c.N >= lossWarm
	}
	return c.Begun && c.Points.Closed > 0
}

// Declines says why the series is not judged; empty when it is.
func (d *detector) Declines() string {
	c := &d.core
	switch {
	case d.Judges():
		return ""
	case d.apart >= apartLeast:
		return fmt.Sprintf("not judged: the samples come %s apart, and %s was taken for the step; set the option \"interval\"", measure.FormatDuration(d.after.Round(time.Second)), measure.FormatDuration(d.reader.Step))
	case c.N <= warm:
		return fmt.Sprintf("not judged yet: %d of %d samples are there", c.N, warm)
	case c.kind == "loss":
		return fmt.Sprintf("not judged yet: %d of %d samples are there", c.N, lossWarm)
	case !c.Begun:
		return "no value has come yet: only silence can be told"
	}
	left := time.Duration((max(halfDay, 12*d.reader.Step.Seconds()) - c.BlockFor) * float64(time.Second))
	return "not judged yet: what is usual is learnt for " + measure.FormatDuration(left.Round(time.Minute)) + " more"
}
