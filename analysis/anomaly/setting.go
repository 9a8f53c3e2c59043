package anomaly

import "time"

// Kinds are the kinds of series a probe makes.
var Kinds = []string{"rtt", "latency", "count", "throughput", "loss", "counter", "unknown"}

// setting is how a kind of series is judged. Deviations are in spreads.
type setting struct {
	rises, falls bool // which way is bad
	silence      bool // a value that did not come is an answer that did not come
	logs         bool // judged by its logarithm: noise grows with the value

	points     bool    // one point may alert
	point      float64 // the least deviation of a point that alerts
	pointUsual float64 // and how many times what a half day rarely brings lies on top

	level       float64       // the same for a level
	levelUsual  float64       //
	levelRare   float64       // rare is so many spreads of the logarithms above their mean
	window      time.Duration // a level is the median of so much of the past
	tau         time.Duration // of the slow forecasters, from which levels are measured
	floorShare  float64       // of the level: a level's residuals spread at least so much …
	floorLeast  float64       // … and so much more, in the unit of the series
	spreadTimes float64       // a level's spread counts so many times
	spreadClip  float64       // it learns from no more than so many spreads
	hourly      float64       // it is that of this hour, at least this share of all hours'; 0: of all hours
	hourDays    float64       // days the spread of an hour remembers
	seasonShare float64       // it grows by so much of the season's height: busy hours vary more
	daily       bool          // a point that comes at the same hour every day is no news

	ranks float64 // the last values lie so many usual distances from those of the hours before; 0: not looked at
	drift float64 // a day that lies so far below the last ten is a slow decline; 0: not looked for

	record    float64       // what alerts is at least so many times the second greatest of four weeks' half days
	cap       float64       // a half day's greatest counts as at most so many times what was asked for
	capFirst  float64       // the first one's, when little is known
	once      time.Duration // what was said fades by e,
	onceSteps float64       // in so many samples at least,
	renews    bool          // is renewed by what comes back before it has faded,
	again     float64       // and is said again when it is so many times worse
	sharp     float64       // how steeply the score grows with the deviation
}

// settings of all kinds.
var settings = func() map[string]*setting {
	out := map[string]*setting{}
	for _, kind := range Kinds {
		s := newSetting(kind)
		out[kind] = &s
	}
	return out
}()

// settingOf a kind.
func settingOf(kind string) *setting { return settings[kind] }

// newSetting of a kind. All are the same program; they differ in what the kind itself
// says: which way is bad, whether an empty value is a lost answer, how noise
// grows, and whether what happens often matters still. A path that is worse every
// evening is worse; of a series of unknown meaning only the unheard-of is news.
func newSetting(kind string) setting {
	s := setting{
		rises: true, falls: true,
		points: true, point: 3.6, pointUsual: 0.45,
		level: 3.6, levelUsual: 0.9, levelRare: 2, window: 25 * time.Minute, tau: 8 * time.Hour,
		floorShare: 0.015, spreadTimes: 1, spreadClip: 5, hourDays: 8,
		cap: 100, capFirst: 100, once: 2 * time.Hour, onceSteps: 6, again: 1.2, sharp: 3.2,
	}
	switch kind {
	case "rtt":
		s.falls, s.silence = false, true
		s.points = false
		s.level, s.levelUsual, s.tau, s.seasonShare = 1.5, 0, 4*time.Hour, 0.5
		s.floorShare, s.floorLeast, s.spreadTimes, s.spreadClip, s.hourly, s.hourDays = 0.0125, 1, 3.5, 1.7, 0.5, 20
		s.once, s.onceSteps, s.renews, s.again, s.sharp = 2*time.Hour, 36, true, 1.45, 12
	case "latency":
		s.silence = true
	case "throughput":
		s.rises, s.silence = false, true
		s.points = false
		s.level, s.levelUsual, s.levelRare, s.drift = 2.4, 0.4, 1.5, 1.6
		// Transfers are few: busy hours must not make quiet ones wide, nor one outage hide lesser falls for weeks.
		s.hourly, s.hourDays, s.cap = 0.5, 20, 1.5
		s.once, s.again, s.sharp = 4*time.Hour, 2, 4
	case "counter":
		s.logs, s.points = true, false
		s.level, s.levelUsual, s.levelRare = 1.9, 0.75, 1.5
		s.once, s.onceSteps, s.again, s.sharp = 4*time.Hour, 12, 2, 4
	case "loss":
		s.falls, s.silence = false, true
		s.sharp = 4
	case "unknown":
		s.point, s.pointUsual, s.daily = 4.5, 0, true
		s.level, s.levelUsual, s.window = 3.1, 0, time.Hour
		s.ranks = 4
		s.record, s.cap, s.capFirst = 1.25, 3, 1
		s.once, s.onceSteps, s.again, s.sharp = 16*time.Hour, 48, 2, 2
	}
	return s
}

// bad is the size of a deviation in the direction that is bad; 0 in the other.
func (s *setting) bad(deviation float64) float64 {
	switch {
	case deviation > 0 && s.rises:
		return deviation
	case deviation < 0 && s.falls:
		return -deviation
	}
	return 0
}

// pointAsked and levelAsked are the deviations that alert.
func (s *setting) pointAsked(x *extremes) float64 {
	return s.asked(s.point, s.pointUsual, pointRare, x)
}
func (s *setting) levelAsked(x *extremes) float64 {
	return s.asked(s.level, s.levelUsual, s.levelRare, x)
}

const pointRare = 1.5

func (s *setting) asked(least, usual, rare float64, x *extremes) float64 {
	asked := least
	if usual > 0 {
		asked += usual * x.rare(rare)
	}
	return max(asked, s.record*x.Second)
}
