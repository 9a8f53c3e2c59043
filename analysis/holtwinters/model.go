package holtwinters

import "math"

// Params are the constants of a model, under the letters of the papers. Of 0
// to 1 each, but for Clip.
type Params struct {
	Alpha float64 // how much of a value's news the level takes
	Beta  float64 // the same of the trend
	Gamma float64 // of the season
	Omega float64 // of the long season
	Phi   float64 // what is left of the trend a step later: 1 all (Holt), less is damped, 0 there is none
	AR    float64 // what the next forecast takes of the last error (Taylor's phi)

	GammaDeviation float64 // how much of the newest error the deviation of its slot takes (Brutlag)

	// Clip bounds what one value can do: an error counts for at most so many
	// scales (Huber's psi, the k of Gelper and others). 0: it counts in full.
	Clip float64

	// Multiplicative seasons are shares of the level, 1 when there is none;
	// additive ones are in its unit, 0 when there is none.
	Multiplicative bool
}

// Real is how exactly seasons are kept: float32 halves memory and state, and
// costs 1e-7 of a season's swing.
type Real interface{ float32 | float64 }

// Model foretells a regular series one value after another. Set its fields
// from a start (see Start), then call Update for each value and Skip for each
// hole. It allocates nothing.
type Model[F Real] struct {
	Params
	Level, Trend float64
	Season       []Slot[F] // never empty: one neutral slot stands for no season
	Long         []F       // the second season, or nil

	Variance float64 // of the errors one step ahead, robust
	Least    float64 // Variance is never less
	Error    float64 // the last error, what AR added left out

	// Hold keeps trend and seasons as they are; level and deviations go on. For
	// a caller who knows that what comes is not how the series usually is.
	Hold bool

	missing         int // holes since the last value
	season, longest int // the slots of the next value
}

// Slot is one place in the season: what it adds, and how far off values
// usually are there (mean absolute error; NaN: not known yet). They stand
// together because they are read together.
type Slot[F Real] struct{ Season, Deviation F }

// Neutral is the season that changes nothing.
func (p *Params) Neutral() float64 {
	if p.Multiplicative {
		return 1
	}
	return 0
}

// Update takes the next value, which must be analysis.Finite.
//
// Additive, with e the error and d, w what both seasons say:
//
//	level'  = α (y - d - w) + (1-α) (level + φ trend)
//	trend'  = β (level' - level) + (1-β) φ trend
//	season' = γ (y - level' - w) + (1-γ) d
//	long'   = ω (y - level' - d) + (1-ω) w
//
// Multiplicative ones divide where these subtract. Gelper, Fried and Croux
// (2010) put forecast + ψ(e) in the place of y.
func (m *Model[F]) Update(y float64) {
	slot := &m.Season[m.season]
	d, w := float64(slot.Season), m.Neutral()
	if m.Long != nil {
		w = float64(m.Long[m.longest])
	}
	along := m.Level + m.Phi*m.Trend
	base := m.join(along, d, w)
	forecast := base + m.AR*m.Error
	if m.Clip > 0 {
		y = forecast + m.bounded(y-forecast)
	}
	slot.Deviation = m.deviation(slot.Deviation, y-forecast)
	m.Error = y - base

	alpha, before := m.Alpha, m.Level
	if m.missing > 0 {
		alpha, before = m.afterHole(), along-m.Trend
		m.missing = 0
	}
	seen := y - d - w
	if m.Multiplicative {
		seen = y / apart(d*w)
	}
	m.Level = along + alpha*(seen-along)
	if m.Hold {
		m.step(1)
		return
	}
	m.Trend = m.Beta*(m.Level-before) + (1-m.Beta)*m.Phi*m.Trend
	season, long := y-m.Level-w, y-m.Level-d
	if m.Multiplicative {
		season, long = y/apart(m.Level*w), y/apart(m.Level*d)
	}
	slot.Season = F(d + m.Gamma*(season-d))
	if m.Long != nil {
		m.Long[m.longest] = F(w + m.Omega*(long-w))
	}
	m.step(1)
}

// Forecast foretells the value steps ahead; 1 is the next.
func (m *Model[F]) Forecast(steps int) float64 {
	trend, damped, ar := 0.0, m.Trend, m.AR*m.Error
	for range steps - 1 {
		damped *= m.Phi
		trend += damped
		ar *= m.AR
	}
	trend += damped * m.Phi
	w := m.Neutral()
	if m.Long != nil {
		w = float64(m.Long[(m.longest+steps-1)%len(m.Long)])
	}
	d := float64(m.Season[(m.season+steps-1)%len(m.Season)].Season)
	return m.join(m.Level+trend, d, w) + ar
}

// from is the next forecast as it would be from another level.
func (m *Model[F]) from(level float64) float64 {
	if m.Multiplicative {
		return m.Forecast(1) * level / apart(m.Level)
	}
	return m.Forecast(1) - m.Level + level
}

// Deviation is how far off the next value usually is, NaN if nobody knows; it
// grows while values are missing.
func (m *Model[F]) Deviation() float64 {
	return float64(m.Season[m.season].Deviation) * m.doubt()
}

// Skip passes over steps without a value: seasons go on, the trend runs out
// after `reach` steps, because nothing shows that it goes on.
func (m *Model[F]) Skip(steps int) {
	if steps <= 0 {
		return
	}
	for range min(steps, max(0, reach-m.missing)) {
		m.Trend *= m.Phi
		m.Level += m.Trend
	}
	m.Error *= math.Pow(m.AR, float64(steps))
	m.missing = min(m.missing+steps, mostMissing)
	m.step(steps)
}

const reach = 12

// mostMissing holes are counted; twice as many fit an int of 32 bits.
const mostMissing = 1 << 29

// Seek says which slots the next value has, for a caller that knows them by
// the time of day better than by counting.
func (m *Model[F]) Seek(season, long int) { m.season, m.longest = season, long }

func (m *Model[F]) step(n int) {
	if m.season += n; m.season >= len(m.Season) {
		m.season %= len(m.Season)
	}
	if m.longest += n; m.longest >= len(m.Long) {
		m.longest = m.longest % max(1, len(m.Long))
	}
}

func (m *Model[F]) join(level, d, w float64) float64 {
	if m.Multiplicative {
		return level * d * w
	}
	return level + d + w
}

// apart keeps a divisor away from zero: a share of nothing is no share.
func apart(x float64) float64 {
	const least = 1e-9
	if math.Abs(x) < least {
		return math.Copysign(least, x)
	}
	return x
}

// afterHole is the share of the first value after n missing ones: that of the
// Kalman filter whose share is alpha when none is missing.
func (m *Model[F]) afterHole() float64 {
	n := float64(m.missing)
	return m.Alpha * (1 + n*m.Alpha) / (1 + n*m.Alpha*m.Alpha)
}

// doubt is by how much a forecast is wider for the values that are missing
// before it: the level has walked alpha times an error in each.
func (m *Model[F]) doubt() float64 {
	if m.missing == 0 {
		return 1
	}
	return math.Sqrt(1 + float64(m.missing)*m.Alpha*m.Alpha)
}

// deviation is Brutlag's: smoothed absolute errors of one slot.
func (m *Model[F]) deviation(before F, e float64) F {
	if before != before { // NaN: the first error of this slot
		return F(math.Abs(e))
	}
	return F(m.GammaDeviation*math.Abs(e) + (1-m.GammaDeviation)*float64(before))
}

// scaleGain is how much of the newest error the variance takes.
const scaleGain = 0.1

// bounded moves the variance by e and gives what e counts for: Huber's psi,
// with the variance by the bounded biweight rho, so that an outlier cannot make
// room for the next one, and a lasting change can in the end.
func (m *Model[F]) bounded(e float64) float64 {
	const k2, c = 2 * 2, 2.52 // k²; c makes the mean of rho 1 for normal errors
	if m.Variance == 0 {
		// The first error ever seen says what size errors have.
		m.Variance = e * e
		m.Least = max(m.Least, m.Variance/1e6)
		return e
	}
	doubt := 1.0
	if m.missing > 0 {
		doubt = m.doubt() * m.doubt()
	}
	rho := c
	x2 := e * e / (m.Variance * doubt)
	if x2 < k2 {
		u := 1 - x2/k2
		rho = c * (1 - u*u*u)
	}
	m.Variance = max(m.Least, m.Variance*(1+scaleGain*(rho-1)))
	if most := m.Clip * m.Clip * m.Variance * doubt; e*e > most {
		return math.Copysign(math.Sqrt(most), e)
	}
	return e
}
