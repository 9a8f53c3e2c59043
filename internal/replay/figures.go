package replay

import (
	"time"
)

// Night is from 22 to 7 in the time zone of pages.
const (
	NightFrom  = 22
	NightUntil = 7
)

func isNight(hour int) bool { return hour >= NightFrom || hour < NightUntil }

// Figures is how many alerts, and when.
type Figures struct {
	Alerts       int     `json:"alerts"`
	Planned      int     `json:"planned"`         // of them: raised in maintenance, nobody is told
	Flapping     int     `json:"flapping"`        // of them
	Standing     int     `json:"standing_at_end"` // of them
	PerWeek      float64 `json:"alerts_per_week"`
	PerSpecWeek  float64 `json:"alerts_per_spec_and_week"`
	Night        int     `json:"alerts_at_night"`
	Messages     int     `json:"messages"`
	NightlyTold  int     `json:"messages_at_night"`
	Hours        [24]int `json:"alerts_by_hour"`
	Weeks        []int   `json:"alerts_by_week"`   // from the first day on
	Weekdays     [7]int  `json:"alerts_by_day"`    // Sunday first
	MedianLength string  `json:"median_length"`    // of those that ended; "" for none
	Notes        int     `json:"notes_of_changes"` // findings that open nothing
}

// Figures counts the alerts of a result.
func (r *Result) Figures(q *Question, facts *Facts, zone *time.Location) Figures {
	const week = 7 * 24 * time.Hour
	f := Figures{Alerts: len(r.Alerts), Notes: r.Notes, Weeks: make([]int, 1+int((q.Until.Sub(q.From)-1)/week))}
	var lengths []time.Duration
	for _, a := range r.Alerts {
		local := a.Raised.In(zone)
		f.Hours[local.Hour()]++
		f.Weekdays[local.Weekday()]++
		f.Weeks[min(int(a.Raised.Sub(q.From)/week), len(f.Weeks)-1)]++
		if isNight(local.Hour()) {
			f.Night++
		}
		if a.Planned {
			f.Planned++
		}
		if a.Flapping {
			f.Flapping++
		}
		if a.Ended == nil {
			f.Standing++
		} else {
			lengths = append(lengths, a.Ended.Sub(a.Began))
		}
		f.Messages += len(a.Messages)
		for _, at := range a.Messages {
			if isNight(at.In(zone).Hour()) {
				f.NightlyTold++
			}
		}
	}
	if span := q.Until.Sub(q.From); span > 0 {
		f.PerWeek = float64(f.Alerts) / (float64(span) / float64(week))
	}
	if facts.SpecHours > 0 {
		f.PerSpecWeek = float64(f.Alerts) / (facts.SpecHours / week.Hours())
	}
	if len(lengths) > 0 {
		f.MedianLength = median(lengths).Round(time.Second).String()
	}
	return f
}
