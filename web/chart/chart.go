package chart

import (
	_ "embed"
	"math"
	"time"
)

// Style is the sheet of all charts, for pages that hold charts. A chart that
// stands alone carries it inside.
//
//go:embed chart.css
var Style string

// Bucket sums up the runs that were due within one bucket's width from At on.
// Numbers that no run gave are NaN.
type Bucket struct {
	At             time.Time
	Runs           int // that ended in any way
	OK             int
	Fail           int
	Missed         int
	Sent, Received int64   // packets; 0 where the tool sends none
	Min            float64 // least of the samples
	Low            float64 // lower quartile
	Median         float64
	High           float64 // upper quartile
	Max            float64 // greatest
}

// HasValue reports whether there is anything to draw.
func (b Bucket) HasValue() bool { return !math.IsNaN(b.Median) }

// Loss is the percentage of packets lost; NaN when none were sent.
func (b Bucket) Loss() float64 {
	if b.Sent <= 0 {
		return math.NaN()
	}
	return 100 * float64(b.Sent-b.Received) / float64(b.Sent)
}

// Span is a stretch of time with a text: a gap, an alert.
type Span struct {
	From, Until time.Time
	Text        string
	Runs        int    // of a gap
	Class       string // of an alert: info, warning, critical
}

// Mark is a moment with a text: configuration that changed.
type Mark struct {
	At   time.Time
	Text string
}

// Route says which route was seen from an instant on.
type Route struct {
	From, Until time.Time
	Number      int // 0: none was found
}

// Chart is one picture.
type Chart struct {
	ID          string // makes the names inside unique on a page
	Title       string
	Unit        string // "ms"
	From, Until time.Time
	Now         time.Time // what lies after it has not happened yet
	Zone        *time.Location
	Width       time.Duration // of a bucket
	Interval    time.Duration // how often a run is due, about; at most Width
	Buckets     []Bucket      // in ascending order
	Gaps        []Span
	Alerts      []Span
	Marks       []Mark
	Routes      []Route
	Expected    []Expected // in ascending order
	Began       time.Time  // where the trouble began that the chart is about; zero for none
	HasLoss     bool       // the tool counts packets
	Note        string     // how the numbers were come by, when not simply all of them
}

// Size is how large a chart is drawn, in px at 100 %.
type Size struct {
	Width, Height int
	Class         string // class of the svg element
}

// Two sizes, since letters that scale with the picture cannot be read on a phone.
var (
	Wide   = Size{960, 290, "chart wide"}
	Narrow = Size{380, 270, "chart narrow"}
)

// Sum is what a chart shows, in numbers.
type Sum struct {
	Runs, OK, Fail, Missed int
	GapRuns                int
	Sent, Received         int64
	Min, Median, Max       float64 // Median is the middle one of the buckets' medians
}

// Sum counts what the chart shows.
func (c Chart) Sum() Sum {
	s := Sum{Min: math.NaN(), Median: math.NaN(), Max: math.NaN()}
	var medians []float64
	for _, b := range c.Buckets {
		s.Runs += b.Runs
		s.OK += b.OK
		s.Fail += b.Fail
		s.Missed += b.Missed
		s.Sent += b.Sent
		s.Received += b.Received
		if b.HasValue() {
			medians = append(medians, b.Median)
		}
		if !math.IsNaN(b.Min) && !(s.Min <= b.Min) {
			s.Min = b.Min
		}
		if !math.IsNaN(b.Max) && !(s.Max >= b.Max) {
			s.Max = b.Max
		}
	}
	for _, g := range c.Gaps {
		s.GapRuns += g.Runs
	}
	s.Median = quantile(medians, 0.5)
	return s
}

// Loss is the percentage of packets lost; NaN when none were sent.
func (s Sum) Loss() float64 { return Bucket{Sent: s.Sent, Received: s.Received}.Loss() }
