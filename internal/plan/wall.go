package plan

import (
	"math"
	"slices"
	"time"
)

// horizon is how far ahead an expression is looked for. The longest wait is
// for 29 February around a year like 2100: eight years.
const horizon = 9 * 366 * 86400

// segment is a stretch of time in which a zone keeps its offset from UTC.
type segment struct {
	start, end     int64 // seconds since the epoch, end excluded
	offset, before int64 // seconds east of UTC, in the segment and just before it
}

func segmentAt(sec int64, zone *time.Location) segment {
	t := time.Unix(sec, 0).In(zone)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	s := segment{math.MinInt64 / 4, math.MaxInt64 / 4, int64(offset), int64(offset)}
	if !start.IsZero() {
		s.start = start.Unix()
		_, before := start.Add(-time.Second).Zone()
		s.before = int64(before)
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	if s.end <= sec {
		// Behind its last stored change Go takes a year to have 365 days, and gives
		// 31 December of a leap year an end that has gone by.
		s.end = (floorDiv(sec, 86400) + 1) * 86400
	}
	return s
}

// jumped reports whether the clock went forward over a wall time of c when the
// segment began.
func (c Cron) jumped(s segment) bool {
	if c.everyHour || s.before >= s.offset {
		return false
	}
	_, ok := c.nextWall(s.start+s.before, s.start+s.offset)
	return ok
}

// begin is the first wall time of the segment, from the instant on, that has
// not been there before.
func (c Cron) begin(s segment, from int64) int64 {
	if c.everyHour {
		return from + s.offset
	}
	return max(from+s.offset, s.start+s.before)
}

// next gives the first instant of c after the given one, both in microseconds.
func (c Cron) next(after int64, zone *time.Location) (int64, bool) {
	at := floorDiv(after, 1e6) + 1
	for limit := at + horizon; at < limit; {
		s := segmentAt(at, zone)
		if at == s.start && c.jumped(s) {
			return at * 1e6, true
		}
		if wall, ok := c.nextWall(c.begin(s, at), min(s.end, limit)+s.offset); ok {
			return (wall - s.offset) * 1e6, true
		}
		at = s.end
	}
	return 0, false
}

// usual is the distance that at most a third of those between instants exceed.
// They are counted from a Monday that stays the same, so that the next process
// has the same answer.
func (c Cron) usual(zone *time.Location) time.Duration {
	const enough = 64
	distances := make([]int64, 0, enough)
	before, ok := c.next(time.Date(2024, 1, 1, 0, 0, 0, 0, zone).UnixMicro()-1, zone)
	for len(distances) < enough && ok {
		var at int64
		if at, ok = c.next(before, zone); ok {
			distances = append(distances, at-before)
			before = at
		}
	}
	if len(distances) == 0 {
		return 0
	}
	slices.Sort(distances)
	return time.Duration(distances[len(distances)*2/3]) * time.Microsecond
}

// count gives the number of instants of c in (from, to], in microseconds.
func (c Cron) count(from, to int64, zone *time.Location) int64 {
	n := int64(0)
	at, end := floorDiv(from, 1e6)+1, floorDiv(to, 1e6)+1
	for at < end {
		s := segmentAt(at, zone)
		if at == s.start && c.jumped(s) && !c.matches(s.start+s.offset) {
			n++
		}
		stop := min(s.end, end)
		n += c.countWall(c.begin(s, at), stop+s.offset)
		at = stop
	}
	return n
}
