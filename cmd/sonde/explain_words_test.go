package main

import (
	"encoding/json"
	"io"
	"testing"
	"time"

	"sonde/internal/store"
)

func TestExplainTellsTheNumbersTheSecondLookAndTheGroupInWords(t *testing.T) {
	at := time.Date(2026, 3, 2, 3, 12, 0, 0, time.UTC)
	story := store.AlertStory{
		Alert: store.AlertRow{ID: 12, About: "cern", Tool: "ping", Metric: "rtt_median_ms", Unit: "ms", Monhost: "pi", Rule: "anomaly", Severity: "warning", Text: "rose to 48 ms", BeganAt: at, RaisedAt: at, PartOf: 11,
			Evidence: json.RawMessage(`{"value": 48, "forecast": 21, "low": 18, "high": 25, "score": 0.63, "basis": "the same hour of earlier days", "rule": "level"}`)},
		Findings: []store.ToldFinding{
			{AlertID: 12, At: at, Decision: "raise", Text: "rose to 48 ms", Reason: "nothing was open; not told: waits up to 2m for a second look: its score of 0.63 is doubtful; extra run from pi and b"},
			{AlertID: 12, At: at.Add(12 * time.Second), Decision: "look", Text: "a second look from pi 10s later: 22 ms, expected 18 to 25; from b 10s later: 30 ms, usual there 29 to 31", Reason: "not told yet: told when a later run finds it again, or it still stands at 03:22 UTC"},
			{AlertID: 12, At: at.Add(5 * time.Minute), Decision: "feed", Text: "rose to 49 ms", Reason: "feeds the open alert"},
			{AlertID: 12, At: at.Add(5 * time.Minute), Decision: "remind", Text: "rose to 49 ms", Reason: "it still stands, and may be told now"},
			{AlertID: 12, At: at.Add(time.Hour), Decision: "clear", Text: "as usual again, 21 ms", Reason: "the detector finds it good"},
		},
		Part:  &store.AlertRow{ID: 11, About: "62.40.98.1", Text: "delay at 3 nodes"},
		Hides: []store.AlertRow{{ID: 13, About: "cern", Text: "lost"}},
	}
	holds(t, said(func(w io.Writer) { explainAlert(w, story) }), `
in words:
  At 2026-03-02 03:12:00 UTC the rtt median was 48 ms; expected 21 ms (18 to 25), from the same hour of earlier days; score 0.63, doubtful: below 0.8; found by "level".
  It was raised at 2026-03-02 03:12:00 UTC because nothing was open.
  It was not told then: waits up to 2m for a second look: its score of 0.63 is doubtful; extra run from pi and b.
  At 2026-03-02 03:12:12 UTC a second look from pi 10s later: 22 ms, expected 18 to 25; from b 10s later: 30 ms, usual there 29 to 31: not told yet: told when a later run finds it again, or it still stands at 03:22 UTC.
  It was told at 2026-03-02 03:17:00 UTC because it still stands, and may be told now.
  It was over at 2026-03-02 04:12:00 UTC: as usual again, 21 ms (the detector finds it good).
  It is part of a11, 62.40.98.1: delay at 3 nodes
  It stands for 1 more, below.
`)
}
