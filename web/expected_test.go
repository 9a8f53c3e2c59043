package web

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// doubled gives the number of an alert about the delay to in2p3, which has doubled, whose
// detector foretold a daily course until a while before now.
func doubled(t testing.TB, conn *pgx.Conn) (id int64) {
	t.Helper()
	run(t, conn, `SELECT sonde_make_partitions('hwgraphs', '2026-03-26', '2026-03-30')`)
	run(t, conn, `UPDATE pingdata SET rtt_min_ms = rtt_min_ms + 24, rtt_median_ms = rtt_median_ms + 24, rtt_max_ms = rtt_max_ms + 24, rtts_us = ARRAY(SELECT x + 24000 FROM unnest(rtts_us) x)
		WHERE toolspec_id = 6 AND due_at >= '2026-03-29 11:20+00'`)
	run(t, conn, `INSERT INTO hwgraphs (toolspec_id, rule, from_at, step, forecast, low, high) SELECT 6, 'anomaly', '2026-03-29 10:00+00', '5 minutes', array_agg(f), array_agg(f - 2.5), array_agg(f + 3)
		FROM (SELECT 23 + 1.2 * sin(i / 4.0) AS f FROM generate_series(0, 19) i) x`)
	if err := conn.QueryRow(t.Context(), `INSERT INTO alerts (toolspec_id, monhost, node, tool, metric, rule, severity, text, began_at, raised_at, evidence)
		VALUES (6, 'lab', 'in2p3', 'ping', 'rtt_median_ms', 'anomaly', 'critical', 'rose to 46.8 ms, expected 22.7 ms and stays there', '2026-03-29 11:20+00', '2026-03-29 11:48+00',
			'{"value": 46.8, "forecast": 22.7, "low": 20.1, "high": 25.6, "score": 0.93, "rule": "level", "basis": "the same hour of earlier days"}') RETURNING id`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAnAlertShowsWhatWasExpectedAndWhereItBegan(t *testing.T) {
	pages, conn := seeded(t)
	id := doubled(t, conn)
	chart := fmt.Sprintf("/chart/6.%%s?alert=%d&from=2026-03-29T10:50:00Z&until=2026-03-29T12:00:30Z", id)
	asTheyWere(t, pages, map[string]string{"alert_expected.html": fmt.Sprintf("/alert/%d", id),
		"chart_expected.svg": fmt.Sprintf(chart, "svg"), "chart_expected.csv": fmt.Sprintf(chart, "csv"), "chart_expected.json": fmt.Sprintf(chart, "json")})
	_, body := get(t, New(pages, "0.1.0", logTo(t)).Handler(), fmt.Sprintf("/alert/%d", id))
	for _, want := range []string{"When it was raised the rtt median was 46.8 ms; expected 22.7 ms (20.1 to 25.6), from the same hour of earlier days; score 0.93, sure: 0.8 and more.",
		`class="band"`, `class="forecast"`, `class="began"`, ">band of what is expected<", fmt.Sprintf("alert=%d", id), "where it began 22.1 was expected, 19.6 to 25.1"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
}

func TestAnAlertAboutLossShowsLossAndNotTheDelay(t *testing.T) {
	pages, _ := seeded(t)
	_, body := get(t, New(pages, "0.1.0", logTo(t)).Handler(), "/alert/2")
	if !strings.Contains(body, "loss of ping fermilab from lab") || !strings.Contains(body, `class="began"`) || strings.Contains(body, ">100 %</text>") {
		t.Error("the chart of an alert about loss is of something else")
	}
	if !strings.Contains(body, "the loss was 40 %; the limit is 10 %") {
		t.Error("its numbers are not in words")
	}
}

func TestAChartAroundTheAlertOfAnotherSpecIsRefused(t *testing.T) {
	pages, _ := seeded(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for target, want := range map[string]int{"/chart/1.svg?alert=2&range=3h": http.StatusBadRequest, "/chart/1.svg?alert=99&range=3h": http.StatusNotFound, "/chart/1.svg?alert=x&range=3h": http.StatusBadRequest} {
		if status, _ := get(t, h, target); status != want {
			t.Errorf("%s: status %d", target, status)
		}
	}
}

func TestAReportHasWhatWasExpected(t *testing.T) {
	pages, conn := seeded(t)
	id := doubled(t, conn)
	dir := t.TempDir()
	if _, err := Report(t.Context(), pages, ReportOptions{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	csv, err := os.ReadFile(filepath.Join(dir, "chart", fmt.Sprintf("6-alert-%d.csv", id)))
	if err != nil || !strings.Contains(string(csv), "expected,2026-03-29T11:20:00Z") || !strings.Contains(string(csv), "began,2026-03-29T11:20:00Z") {
		t.Errorf("%v\n%.400s", err, csv)
	}
}
