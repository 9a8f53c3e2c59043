package meandiff

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/stat"

	"sonde/analysis"
	"sonde/analysis/usual"
	"sonde/internal/measure"
)

// Method is IEPM's mean difference.
func Method() analysis.Method {
	return analysis.Method{
		Name:    "mean-difference",
		Meaning: "The mean of the last values lies several spreads off that of the same hours before.",
		Options: append([]measure.Option{
			{Name: "recent", Type: measure.IntOption, Default: 6, Min: 3, Max: 500, Meaning: "How many of the last values are compared."},
			{Name: "f1_limit", Type: measure.FloatOption, Default: 4.0, Min: 0.1, Max: 1e6, Meaning: "From what F1 on the means differ."},
			{Name: "clear", Type: measure.FloatOption, Default: 0.5, Min: 0.0, Max: 0.99, Meaning: "Below what part of f1_limit it is as usual again."},
		}, usual.Options()...),
		New: newDetector,
	}
}

type detector struct {
	usual.Settings
	recent       int
	limit, clear float64
	state        usual.Window
}

func newDetector(p measure.Options, saved []byte) (analysis.Detector, error) {
	d := &detector{Settings: usual.Read(p), recent: p.Int("recent"), limit: p.Float("f1_limit"), clear: p.Float("clear")}
	if err := analysis.Load(saved, &d.state); err != nil {
		return nil, err
	}
	return d, d.state.CheckWindow(d.Settings, d.recent)
}

func (d *detector) Save() ([]byte, error) { return json.Marshal(d.state) }

func (d *detector) Tick(time.Time) []measure.Verdict { return nil }

func (d *detector) Feed(s measure.Sample) []measure.Verdict {
	st := &d.state
	now, before, ok := st.Take(d.Settings, s, d.recent)
	if !ok {
		return nil
	}
	from, fromSD := stat.MeanStdDev(before, nil)
	to, toSD := stat.MeanStdDev(now, nil)
	f1 := F1(from, max(fromSD, d.Floor(from)), to, toSD)
	return st.Judge(d.Settings, st.Newest, usual.Finding{
		Rule: "mean difference F1", Score: f1 / d.limit, Clear: d.clear, Hold: d.recent / 2, RepeatFrom: 2,
		Since: st.Recent[0].At, From: from, To: to, Low: from - fromSD, High: from + fromSD, Value: now[len(now)-1],
		Unfounded: !d.Counts(from, to),
		Evidence:  map[string]any{"f1": min(f1, 1e9), "f1_limit": d.limit, "usual_sd": fromSD, "now_sd": toSD, "recent": len(now), "usual": len(before)},
		Sentence: fmt.Sprintf("the mean of the last %d values is %s, usual is %s: %.1f of their spreads apart",
			len(now), d.Number(to), d.Number(from), min(f1, 1e9)),
	})
}

// F1 says how far two means lie apart, in units of the spread around both.
func F1(usualMean, usualSD, nowMean, nowSD float64) float64 {
	if usualMean == nowMean {
		return 0
	}
	return math.Abs(usualMean-nowMean) / math.Sqrt((usualSD*usualSD+nowSD*nowSD)/2)
}
