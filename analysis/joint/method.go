package joint

import (
	"time"

	"sonde/analysis"
	"sonde/internal/measure"
)

// Name of the method. The analyst gives rules of this method the series of all
// specs they cover at once.
const Name = "joint"

// MostInstants bounds the past that is fitted: with 200 series it takes seconds.
const MostInstants = 1000

// Method makes Fit and Judge a method that rules can name.
func Method() analysis.Method {
	return analysis.Method{
		Name:    Name,
		Meaning: "Many series at one instant, which do not move together as they usually do. One alert for all specs of the rule.",
		Options: []measure.Option{
			{Name: "step", Type: measure.DurationOption, Default: "5m", Min: "10s", Max: "1d", Meaning: "An instant is the mean of so much time."},
			{Name: "past", Type: measure.DurationOption, Default: "3d", Min: "1h", Max: "30d", Meaning: "How far back it looks for what is usual: at most 1,000 times `step`."},
			{Name: "share", Type: measure.FloatOption, Default: Usual.Share, Min: 0.1, Max: 0.999, Meaning: "How much of what happened the usual components must explain."},
			{Name: "false_alarm", Type: measure.FloatOption, Default: Usual.FalseAlarm, Min: 1e-9, Max: 0.1, Meaning: "The probability with which a usual instant passes the limit."},
			{Name: "instants", Type: measure.IntOption, Default: 2, Min: 1, Max: 100, Meaning: "How many instants in a row must pass the limit."},
			{Name: "most", Type: measure.IntOption, Default: 100, Min: 3, Max: 200, Meaning: "The most series it looks at, those of the lowest spec ids."},
		},
		New: func(measure.Options, []byte) (analysis.Detector, error) { return shared{}, nil },
	}
}

// shared stands where a detector of one series would: it says nothing.
type shared struct{}

func (shared) Feed(measure.Sample) []measure.Verdict { return nil }
func (shared) Tick(time.Time) []measure.Verdict      { return nil }
func (shared) Save() ([]byte, error)                 { return nil, nil }
func (shared) Judges() bool                          { return false }
func (shared) Declines() string {
	return "judged together with the other series of its rule, and not by itself"
}
