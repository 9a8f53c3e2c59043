package replay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// Factors by which the value of a number is tried, one option at a time.
var factors = []float64{0.25, 0.5, 0.7, 0.85, 1.2, 1.5, 2, 3, 5}

// tolerances that are tried beside.
var tolerances = []time.Duration{0, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute}

// Grid gives the settings that are tried on a rule: each number among its options
// by itself, and its tolerance; with names, those alone and with one another (two
// at most). The first is the rule as it is. What the method refuses is left out.
func Grid(m analysis.Method, r store.Rule, names []string) ([]Setting, error) {
	out := []Setting{{Name: "as it is", Rule: r}}
	given, err := measure.ReadOptions(m.Options, r.Options)
	if err != nil {
		return nil, err
	}
	if len(names) > 2 {
		return nil, fmt.Errorf("%d options together are too many to try: name two at most", len(names))
	}
	tried := func(o measure.Option) []any {
		v, have := given[o.Name]
		if !have {
			return nil
		}
		var list []any
		for _, f := range factors {
			switch v := v.(type) {
			case float64:
				if x := round3(v * f); x != v {
					list = append(list, x)
				}
			case int64:
				if x := int64(math.Round(float64(v) * f)); x != v && !slices.Contains(list, any(x)) {
					list = append(list, x)
				}
			}
		}
		return list
	}
	var axes [][]Setting
	for _, o := range m.Options {
		if len(names) > 0 && !slices.Contains(names, o.Name) {
			continue
		}
		var axis []Setting
		for _, x := range tried(o) {
			s, err := With(m, r, o.Name, x)
			if err == nil {
				axis = append(axis, s)
			}
		}
		if len(names) > 0 && len(axis) == 0 {
			return nil, fmt.Errorf("option %q of method %s is no number that can be tried", o.Name, m.Name)
		}
		axes = append(axes, axis)
	}
	if len(names) == 0 || slices.Contains(names, "tolerance") {
		var axis []Setting
		for _, t := range tolerances {
			if t != r.Tolerance {
				s := Setting{Name: "tolerance=" + measure.FormatDuration(t), Rule: r}
				s.Rule.Tolerance = t
				axis = append(axis, s)
			}
		}
		axes = append(axes, axis)
	}
	if len(axes) < len(names) {
		return nil, fmt.Errorf("method %s has no such option: %s; it has %s, and each rule has tolerance", m.Name, strings.Join(names, ", "), optionNames(m))
	}
	for _, axis := range axes {
		out = append(out, axis...)
	}
	if len(names) == 2 {
		for _, a := range axes[0] {
			for _, b := range axes[1] {
				s, err := together(m, a, b)
				if err == nil {
					out = append(out, s)
				}
			}
		}
	}
	return out, nil
}

// With gives a rule with one option changed; an error says why the method refuses it.
func With(m analysis.Method, r store.Rule, name string, value any) (Setting, error) {
	options := map[string]json.RawMessage{}
	if len(r.Options) > 0 {
		if err := json.Unmarshal(r.Options, &options); err != nil {
			return Setting{}, fmt.Errorf("options of rule %q: %w", r.Name, err)
		}
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return Setting{}, fmt.Errorf("option %q: %w", name, err)
	}
	options[name] = raw
	if r.Options, err = json.Marshal(options); err != nil {
		return Setting{}, fmt.Errorf("options of rule %q: %w", r.Name, err)
	}
	return Setting{Name: name + "=" + strings.Trim(string(raw), `"`), Rule: r}, Fits(m, &r)
}

// together joins two settings that differ from the rule in one option each.
func together(m analysis.Method, a, b Setting) (Setting, error) {
	out := Setting{Name: a.Name + " " + b.Name, Rule: a.Rule}
	var err error
	if name, value, _ := strings.Cut(b.Name, "="); name == "tolerance" {
		out.Rule.Tolerance = b.Rule.Tolerance
	} else {
		var s Setting
		s, err = With(m, a.Rule, name, json.RawMessage(value))
		out.Rule = s.Rule
	}
	return out, err
}

func optionNames(m analysis.Method) string {
	names := make([]string, len(m.Options))
	for i, o := range m.Options {
		names[i] = o.Name
	}
	return strings.Join(names, ", ")
}

// round3 keeps three digits: a threshold is for people to read.
func round3(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		return v
	}
	return short
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// Tried is a setting with what it makes of the incidents.
type Tried struct {
	Setting  Setting
	Marks    Marks
	Alerts   int
	Delay    time.Duration // mean, of the right ones it catches
	KeepsAll bool          // of the right ones that the rule as it is catches
}

// Propose orders settings, the best first: of those that keep every right incident
// that the rule as it is catches, the one that repeats the fewest wrong alerts,
// then catches the most right ones, then raises the fewest alerts of which nobody
// has said anything, then tells soonest. better reports whether the first is worth
// changing the rule for: by less wrong ones or more right ones, not by silence alone.
func Propose(results []Result, incidents []store.Incident, specs []store.Watched) (order []Tried, better bool) {
	for i := range results {
		m := results[i].Against(incidents, specs)
		t := Tried{Setting: results[i].Setting, Marks: m, Alerts: len(results[i].Alerts), KeepsAll: true}
		n := 0
		for j, told := range m.Right {
			if told.Alert != nil {
				t.Delay += told.Delay
				n++
			} else if order != nil && order[0].Marks.Right[j].Alert != nil {
				t.KeepsAll = false
			}
		}
		if n > 0 {
			t.Delay /= time.Duration(n)
		}
		order = append(order, t)
	}
	asItIs := order[0]
	slices.SortStableFunc(order, func(a, b Tried) int {
		return cmp.Or(boolean(b.KeepsAll)-boolean(a.KeepsAll), cmp.Compare(Caught(a.Marks.Wrong), Caught(b.Marks.Wrong)),
			cmp.Compare(Caught(b.Marks.Right), Caught(a.Marks.Right)), cmp.Compare(a.Marks.Unmarked, b.Marks.Unmarked), cmp.Compare(a.Delay, b.Delay))
	})
	best := order[0]
	return order, Caught(best.Marks.Wrong) < Caught(asItIs.Marks.Wrong) || Caught(best.Marks.Right) > Caught(asItIs.Marks.Right)
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
