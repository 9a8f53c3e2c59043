package measure

// A detector that knows how sure it is puts it into its evidence as "score",
// from 0 to 1, and means the same by it as every other.
const (
	AlertScore = 0.5 // from here on it is an alert
	NightScore = 0.8 // from here on it is one that may wake people
)

// ScoreOf is the score of what lies so many times as far off as where an alert
// begins: 0.5 at once, 0.8 at four times.
func ScoreOf(times float64) float64 {
	if !(times > 0) {
		return 0
	}
	return 1 - 1/(1+times)
}

// Score reads the score of a verdict; 0 when the detector says none, or one that
// is not of this scale.
func (v Verdict) Score() float64 {
	if score, ok := v.Evidence["score"].(float64); ok && score >= 0 && score <= 1 {
		return score
	}
	return 0
}
