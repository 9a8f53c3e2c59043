package regular

import "time"

// Calendar tells where in the day and in the week of a place an instant lies.
type Calendar struct {
	zone        *time.Location
	offset      int64 // seconds east of UTC
	from, until int64 // the offset holds so long, seconds since 1970
}

// NewCalendar of a place; nil is UTC.
func NewCalendar(zone *time.Location) Calendar {
	if zone == time.UTC {
		zone = nil
	}
	return Calendar{zone: zone}
}

const (
	day  = 86400
	week = 7 * day
)

// local gives wall time as seconds since Monday, 5 January 1970 in that place.
func (c *Calendar) local(at time.Time) int64 {
	return at.Unix() + c.east(at) - 4*day
}

// Wall gives an instant whose time in UTC is what the clocks of the place show.
func (c *Calendar) Wall(at time.Time) time.Time {
	return at.Add(time.Duration(c.east(at)) * time.Second)
}

// east is how many seconds the place is east of UTC.
func (c *Calendar) east(at time.Time) int64 {
	s := at.Unix()
	if c.zone != nil && (s < c.from || s >= c.until) {
		here := at.In(c.zone)
		_, offset := here.Zone()
		c.offset = int64(offset)
		start, end := here.ZoneBounds()
		c.from, c.until = -1<<62, 1<<62
		if !start.IsZero() {
			c.from = start.Unix()
		}
		if !end.IsZero() {
			c.until = end.Unix()
		}
	}
	return c.offset
}

// Day gives the slot of the day, of n.
func (c *Calendar) Day(at time.Time, n int) int { return slot(c.local(at), day, n) }

// Week gives the slot of the week, of n; the first begins on Monday.
func (c *Calendar) Week(at time.Time, n int) int { return slot(c.local(at), week, n) }

func slot(s, period int64, n int) int {
	s %= period
	if s < 0 {
		s += period
	}
	return int(s * int64(n) / period)
}
