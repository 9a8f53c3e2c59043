package analyst_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/analysis"
	"sonde/analysis/catalog"
	"sonde/internal/replay"
	"sonde/internal/store"
)

// What the analyst raised and closed, and what a replay of the rows it read does.
func TestAReplayRaisesWhatTheAnalystRaised(t *testing.T) {
	b := setUp(t, 3)
	b.exec(`UPDATE rules SET options = options || '{"runs": 2, "of": 5}' WHERE name = 'loss'`)
	b.runs(1, 0, "..LLLLLL....mmmmm...ffff.....")
	b.runs(2, 0, ".....fffff.......LLL.LL......")
	b.runs(3, 0, "mmm..................mmmm....")
	b.exec(`UPDATE pingdata SET loss_pct = 40 WHERE toolspec_id = 3 AND due_at BETWEEN $1 AND $2`, b.start.Add(8*time.Minute), b.start.Add(12*time.Minute))
	b.judge()
	b.await("11", `SELECT count(*)::text FROM alerts WHERE toolspec_id > 0 AND closed_at IS NOT NULL`)
	const raised = `SELECT coalesce(string_agg(format('%s %s %s %s %s', toolspec_id, to_char(began_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), to_char(raised_at AT TIME ZONE 'UTC', 'HH24:MI:SS'),
		to_char(ended_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), severity), E'\n' ORDER BY raised_at, toolspec_id), '') FROM alerts WHERE rule = $1 AND toolspec_id > 0`

	st := store.New(b.db)
	plan, err := st.ReplayPlan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, r := range plan.Rules {
		if r.Tool == "traceroute" {
			continue
		}
		i := slices.IndexFunc(catalog.All(), func(m analysis.Method) bool { return m.Name == r.Method })
		q := replay.Question{Method: catalog.All()[i], Settings: []replay.Setting{{Name: "as it is", Rule: r}}, Specs: plan.Specs, Tools: tools(),
			Learn: b.start.Add(-time.Hour), From: b.start.Add(-time.Hour), Until: plan.Now, Maintenance: plan.Maintenance, Ticks: map[int64][]time.Time{}}
		ticks, err := st.StoredTicks(context.Background(), r.Name, plan.Now)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range ticks {
			q.Ticks[k.ToolspecID] = append(q.Ticks[k.ToolspecID], k.At)
		}
		results, _, err := replay.Run(context.Background(), st, q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range results[0].Alerts {
			ended := ""
			if a.Ended != nil {
				ended = a.Ended.UTC().Format(time.TimeOnly)
			}
			got = append(got, fmt.Sprintf("%d %s %s %s %s", a.ToolspecID, a.Began.UTC().Format(time.TimeOnly), a.Raised.UTC().Format(time.TimeOnly), ended, a.Severity))
		}
		all += len(got)
		if want := b.text(raised, r.Name); strings.Join(got, "\n") != want {
			t.Errorf("%s: the replay raises\n%s\nthe analyst raised\n%s", r.Name, strings.Join(got, "\n"), want)
		}
	}
	if all < 11 {
		t.Errorf("only %d alerts: too few to tell anything", all)
	}
}
