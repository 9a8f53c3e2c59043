package plan

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Cron is a cron expression of five fields, as bits. It always fires some day.
type Cron struct {
	minute, hour, dom, month, dow uint64

	bothDays  bool // both day fields restrict: a day that fits either fits (crontab(5))
	everyHour bool // means an interval: see the package comment
}

// The parser of robfig/cron without descriptors decides what is right; the
// function sonde_cron_problem in the database agrees with it. Its Next is not
// used: on the days clocks change it skips wall times or has them twice.
var fields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

const (
	starBit   = 1 << 63 // how robfig/cron marks a field that restricts nothing
	allHours  = 1<<24 - 1
	allValues = 1<<60 - 1
)

// ParseCron reads a cron expression of five fields. Beyond robfig/cron it
// refuses TZ= (a column of its own says the zone) and what never fires.
func ParseCron(expr string) (Cron, error) {
	switch {
	case strings.HasPrefix(expr, "TZ=") || strings.HasPrefix(expr, "CRON_TZ="):
		// With no space after it this would also make the parser panic.
		return Cron{}, fmt.Errorf("%q names a time zone: put it into the column time_zone", expr)
	case strings.HasPrefix(expr, "@"):
		return Cron{}, fmt.Errorf("%q is no expression of five fields: for @every use run_interval, for @daily write \"0 0 * * *\"", expr)
	}
	// The parser reads what an int holds, which is less on a 32-bit host: what one
	// host of a database refuses all must.
	for _, number := range strings.FieldsFunc(expr, func(r rune) bool { return r < '0' || r > '9' }) {
		if _, err := strconv.ParseInt(number, 10, 32); err != nil {
			return Cron{}, fmt.Errorf("cron expression %q: the number %s is too large", expr, number)
		}
	}
	parsed, err := fields.Parse(expr)
	if err != nil {
		return Cron{}, fmt.Errorf("cron expression %q: %w", expr, err)
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Cron{}, fmt.Errorf("cron expression %q is no expression of five fields", expr)
	}
	c := Cron{
		minute: s.Minute & allValues, hour: s.Hour & allValues, dom: s.Dom & allValues,
		month: s.Month & allValues, dow: s.Dow & allValues,
		bothDays:  (s.Dom|s.Dow)&starBit == 0,
		everyHour: s.Hour&allHours == allHours,
	}
	if !c.fires() {
		return Cron{}, fmt.Errorf("cron expression %q never fires: no date has that day and month", expr)
	}
	return c, nil
}

// fires reports whether any date of the calendar fits. Every day of the month
// that a month can have falls on every day of the week in some year, so the
// two need not be looked at together.
func (c Cron) fires() bool {
	if c.minute == 0 || c.hour == 0 || c.month == 0 {
		return false
	}
	dates := false
	for month := range 12 {
		if c.month>>(month+1)&1 == 1 && c.dom&(1<<(longest[month]+1)-1) != 0 {
			dates = true
		}
	}
	if c.bothDays {
		return dates || c.dow != 0
	}
	return dates && c.dow != 0
}

var longest = [12]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// fits reports whether the civil day, counted from 1970-01-01, is one of c's.
func (c Cron) fits(day int64) bool {
	month, dom := civil(day)
	if c.month>>month&1 == 0 {
		return false
	}
	inMonth := c.dom>>dom&1 == 1
	inWeek := c.dow>>(((day+4)%7+7)%7)&1 == 1
	if c.bothDays {
		return inMonth || inWeek
	}
	return inMonth && inWeek
}

// civil gives month and day of month (Hinnant, chrono-compatible low-level date
// algorithms). package time gives the same, three times slower; a count over
// years asks for each day.
func civil(day int64) (month, dom int64) {
	day += 719468
	era := floorDiv(day, 146097)
	doe := day - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	dom = doy - (153*mp+2)/5 + 1
	if mp < 10 {
		return mp + 3, dom
	}
	return mp - 9, dom
}

// matches reports whether c fires at the wall time, in seconds as if it were UTC.
func (c Cron) matches(wall int64) bool {
	at, ok := c.nextWall(wall, wall+1)
	return ok && at == wall
}

// nextWall gives the first wall time of c in [lo, hi).
func (c Cron) nextWall(lo, hi int64) (int64, bool) {
	for lo = -floorDiv(-lo, 60) * 60; lo < hi; {
		day := floorDiv(lo, 86400)
		if c.fits(day) {
			minutes := (lo - day*86400) / 60
			hour, minute := minutes/60, minutes%60
			rest := c.minute >> minute
			if c.hour>>hour&1 == 0 || rest == 0 {
				hour, minute, rest = hour+1, 0, c.minute
				hour += int64(bits.TrailingZeros64(c.hour >> hour))
			}
			if hour < 24 {
				at := day*86400 + hour*3600 + (minute+int64(bits.TrailingZeros64(rest)))*60
				return at, at < hi
			}
		}
		lo = (day + 1) * 86400
	}
	return 0, false
}

// countWall gives the number of wall times of c in [lo, hi), a day at a time.
func (c Cron) countWall(lo, hi int64) int64 {
	n := int64(0)
	for lo, hi = -floorDiv(-lo, 60), -floorDiv(-hi, 60); lo < hi; {
		day := floorDiv(lo, 1440)
		end := min(hi, (day+1)*1440)
		if c.fits(day) {
			n += c.before(end-day*1440) - c.before(lo-day*1440)
		}
		lo = end
	}
	return n
}

// before gives the number of wall times of a fitting day before the minute of the day.
func (c Cron) before(minutes int64) int64 {
	hour, minute := minutes/60, minutes%60
	n := bits.OnesCount64(c.hour&(1<<hour-1)) * bits.OnesCount64(c.minute)
	if c.hour>>hour&1 == 1 {
		n += bits.OnesCount64(c.minute & (1<<minute - 1))
	}
	return int64(n)
}

// timing is an expression in its zone.
type timing struct {
	cron  Cron
	zone  *time.Location
	usual time.Duration // see Usual
}

type timingKey struct{ expr, zone string }

type timingOrError struct {
	timing
	err error
}

// compiled remembers what expressions mean. Ten thousand specs share a few;
// the limit only keeps somebody who edits forever from filling the memory.
var compiled = struct {
	sync.RWMutex
	known map[timingKey]timingOrError
}{known: map[timingKey]timingOrError{}}

const mostCompiled = 20000

func compile(expr, zone string) (timing, error) {
	key := timingKey{expr, zone}
	compiled.RLock()
	t, ok := compiled.known[key]
	compiled.RUnlock()
	if ok {
		return t.timing, t.err
	}
	if t.cron, t.err = ParseCron(expr); t.err == nil {
		if t.zone, t.err = loadZone(zone); t.err == nil {
			t.usual = t.cron.usual(t.zone)
		}
	}
	compiled.Lock()
	defer compiled.Unlock()
	if len(compiled.known) >= mostCompiled {
		clear(compiled.known)
	}
	compiled.known[key] = t
	return t.timing, t.err
}

func loadZone(name string) (*time.Location, error) {
	if name == "Local" { // LoadLocation would give the zone of this host
		return nil, errors.New("time zone \"Local\" is another one on each host: name it, such as \"Europe/Berlin\"")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", name, err)
	}
	return zone, nil
}
