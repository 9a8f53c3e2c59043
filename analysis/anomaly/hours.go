package anomaly

// hours are the greatest deviations that each hour of the day usually brings: a job
// that runs every night, a few minutes sooner or later, is no news and no record. No
// season learns it, because the minute is never the same.
type hours struct {
	Most [24]float32 // the greatest of an hour, mean of the last days
	At   int64       // the hour that goes on
	Now  [1]float32  // its greatest so far
}

const (
	hoursDays = 3  // days that an hour remembers
	hoursFree = 1  // spreads; an hour that brings less brings nothing
	hoursMost = 10 // times what was asked for: one disaster is not usual
)

// usual is what this hour or one beside it usually brings.
func (h *hours) usual(hour int) float64 {
	return max(0, float64(max(h.Most[hour], h.Most[(hour+1)%24], h.Most[(hour+23)%24]))-hoursFree)
}

// note takes a deviation; more than most counts as most.
func (h *hours) note(hour int, deviation, most float64) {
	if int64(hour) != h.At {
		if most := &h.Most[h.At]; *most == 0 {
			*most = h.Now[0] // or the second night would be a record too
		} else {
			*most += (h.Now[0] - *most) / hoursDays
		}
		h.At, h.Now[0] = int64(hour), 0
	}
	h.Now[0] = max(h.Now[0], float32(min(deviation, most, spreadsMost)))
}
