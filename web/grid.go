package web

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"sonde/internal/measure"
	"sonde/internal/store"
	"sonde/web/chart"
	"sonde/web/daygrid"
)

// gridRows bounds a page of the grid.
const gridRows = 60

// signsALine is how many signs a cell holds in one line.
const signsALine = 9

// gridCell is what stands in an hour for one group of marks.
type gridCell struct {
	daygrid.Group
	Href  string
	Title string
	Break bool // a line may end before it
}

// Class names the mark for the style sheet.
func (c gridCell) Class() string { return markClass(c.Mark) }

func markClass(m daygrid.Mark) string {
	class := "m " + string(m.Kind)
	if m.News {
		class += " news"
	}
	if m.Beside != "" && m.Beside != "|" {
		class += " coded"
	}
	if m.Checksum {
		class += " cksum"
	}
	return class
}

type gridRow struct {
	Spec  store.PageSpec
	Cells [][]gridCell
	marks []daygrid.Mark
}

type gridTable struct {
	Monhost string
	Rows    []gridRow
}

type gridView struct {
	base
	Day         string
	Weekday     string
	Hours       []daygrid.Hour
	Tables      []gridTable
	Legend      []daygrid.Entry
	Pick        pick
	Monhosts    []string // to choose from
	All         int      // rows on all pages
	Page, Pages int
	Earlier     string
	Today       string
	Later       string
	Prev, Next  string
	CSV, JSON   string
	Here        string    // permanent link
	Clock       string    // that the clocks are set on this day
	NotYet      time.Time // hours from here on have not been
}

// Mark names the mark of the legend for the style sheet.
func (v gridView) Mark(m daygrid.Mark) string { return markClass(m) }

// Future reports whether an hour has not begun.
func (v gridView) Future(i int) bool { return v.Hours[i].From.After(v.NotYet) }

const dayForm = "2006-01-02"

// dayOf reads a local day; noon is in it whatever the clocks do.
func dayOf(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if text == "" {
		return now, nil
	}
	day, err := time.ParseInLocation(dayForm+" 15", text+" 12", zone)
	if err != nil {
		return day, badRequest{fmt.Sprintf("day: %q is no day such as 2026-11-25", short(40, text))}
	}
	if day.Year() < 1990 || day.Year() > 2200 {
		return day, badRequest{fmt.Sprintf("day: the year %d is not between 1990 and 2200", day.Year())}
	}
	return day, nil
}

// dayNear gives the name of the local day that lies days after another.
func dayNear(day time.Time, days int, zone *time.Location) string {
	y, m, d := day.In(zone).Date()
	return time.Date(y, m, d+days, 12, 0, 0, 0, zone).Format(dayForm)
}

// grid makes the grid of a local day.
func (q request) grid(day time.Time, p pick, page int) (gridView, error) {
	v := gridView{base: q.titled("", "routes"), Day: day.In(q.Zone).Format(dayForm), Weekday: day.In(q.Zone).Format("Monday"), Hours: daygrid.Hours(day, q.Zone),
		Legend: daygrid.Legend(), Pick: p, Page: page, NotYet: q.Now}
	v.Title, v.Wide = "Routes of "+v.Day, true
	if n := len(v.Hours); n != 24 {
		v.Clock = fmt.Sprintf("The clocks are set on this day: it has %d hours.", n)
	}
	today := q.Now.In(q.Zone).Format(dayForm)
	v.Earlier = v.L.Grid(dayNear(day, -1, q.Zone), p, 1)
	if v.Day < today {
		v.Later = v.L.Grid(dayNear(day, 1, q.Zone), p, 1)
	}
	if v.Day != today {
		v.Today = v.L.Grid(today, p, 1)
	}
	v.Here = v.L.Grid(v.Day, p, page)
	v.CSV, v.JSON = v.L.GridData(v.Day, p, "csv"), v.L.GridData(v.Day, p, "json")
	specs, err := q.routeSpecs(p)
	if err != nil {
		return v, err
	}
	v.Monhosts = specs.monhosts
	v.All = len(specs.list)
	v.Pages = max(1, (v.All+gridRows-1)/gridRows)
	if page > v.Pages {
		return v, badRequest{fmt.Sprintf("there are %d pages, not %d", v.Pages, page)}
	}
	if page > 1 {
		v.Prev = v.L.Grid(v.Day, p, page-1)
	}
	if page < v.Pages {
		v.Next = v.L.Grid(v.Day, p, page+1)
	}
	rows, err := q.gridRows(specs.list[(page-1)*gridRows:min(page*gridRows, v.All)], v.Hours)
	if err != nil {
		return v, err
	}
	for _, r := range rows {
		if n := len(v.Tables); n == 0 || v.Tables[n-1].Monhost != r.Spec.Monhost {
			v.Tables = append(v.Tables, gridTable{Monhost: r.Spec.Monhost})
		}
		t := &v.Tables[len(v.Tables)-1]
		t.Rows = append(t.Rows, r)
	}
	return v, nil
}

// gridRows marks the runs of specs.
func (q request) gridRows(specs []store.PageSpec, hours []daygrid.Hour) ([]gridRow, error) {
	ids := make([]int64, len(specs))
	for i, s := range specs {
		ids[i] = s.ID
	}
	from, until := hours[0].From, hours[len(hours)-1].Until
	if until.After(q.Now) {
		until = q.Now.Add(time.Microsecond)
	}
	days, err := q.r.GridRuns(q.ctx, ids, from, until)
	if err != nil {
		return nil, err
	}
	befores, err := q.r.GridBefore(q.ctx, ids, from)
	if err != nil {
		return nil, err
	}
	gaps, err := q.r.GridGaps(q.ctx, ids, from, until)
	if err != nil {
		return nil, err
	}
	known, err := q.knownHops(days, befores)
	if err != nil {
		return nil, err
	}
	arms, err := q.arms(ids, from)
	if err != nil {
		return nil, err
	}
	runs, before, holes := map[int64][]daygrid.Run{}, map[int64]*daygrid.Run{}, map[int64][]daygrid.Hole{}
	for _, d := range days {
		runs[d.ToolspecID] = append(runs[d.ToolspecID], gridRun(d, known, arms))
	}
	for _, b := range befores {
		r := gridRun(b, known, arms)
		before[b.ToolspecID] = &r
	}
	for _, g := range gaps {
		holes[g.ToolspecID] = append(holes[g.ToolspecID], daygrid.Hole{From: g.From, Until: g.Until, Runs: g.Runs, Reason: g.Reason})
	}
	out := make([]gridRow, len(specs))
	for i, s := range specs {
		marks := daygrid.WithHoles(daygrid.Marks(runs[s.ID], before[s.ID]), holes[s.ID], hours, q.Now)
		out[i] = gridRow{Spec: s, Cells: make([][]gridCell, len(hours)), marks: marks}
		for h, groups := range daygrid.Cells(marks, hours) {
			signs := 0
			for _, g := range groups {
				signs += utf8.RuneCountInString(g.Signs + g.Beside)
			}
			for n, g := range groups {
				c := gridCell{Break: n > 0 && signs > signsALine, Group: g, Title: g.At.In(q.Zone).Format("15:04 ") + g.Says}
				if g.Times > 1 {
					c.Title = fmt.Sprintf("%s–%s, %d runs: %s", g.At.In(q.Zone).Format("15:04"), g.Last.In(q.Zone).Format("15:04"), g.Times, g.Says)
				}
				// Where there are no tooltips what is news is behind the link.
				if g.Kind != daygrid.Gap && (g.News || g.Number > 0 && g.Kind == daygrid.First || g.Checksum) {
					c.Href = q.L.Run(s.ID, g.At, g.Number)
				}
				out[i].Cells[h] = append(out[i].Cells[h], c)
			}
		}
	}
	return out, nil
}

// knownHops gives what is known of every hop of these runs.
func (q request) knownHops(lists ...[]store.PageGridRun) (known, error) {
	var hops [][]*netip.Addr
	for _, list := range lists {
		for _, r := range list {
			hops = append(hops, r.Hops)
		}
	}
	return q.known(hops...)
}

// routeKey names a route.
type routeKey struct {
	spec   int64
	number int
}

// arms gives the hops of routes with all addresses that answered any flow of the newest run.
func (q request) arms(specs []int64, since time.Time) (map[routeKey][]measure.Hop, error) {
	seen, err := q.r.Seen(q.ctx, specs, since.AddDate(0, 0, -8), armsPerSpec)
	if err != nil {
		return nil, err
	}
	out := make(map[routeKey][]measure.Hop, len(seen))
	for _, s := range seen {
		out[routeKey{s.ToolspecID, s.Number}] = known{}.seen(s).Hops
	}
	return out, nil
}

// armsPerSpec bounds of how many routes of a spec the arms are looked at.
const armsPerSpec = 20

func gridRun(r store.PageGridRun, k known, arms map[routeKey][]measure.Hop) daygrid.Run {
	out := daygrid.Run{DueAt: r.DueAt, Outcome: measure.Outcome(r.Outcome), Reason: r.Reason, Route: k.route(r.Number, r.Hops, r.Reached), Codes: r.Codes}
	for i, h := range arms[routeKey{r.ToolspecID, r.Number}] {
		if i < len(out.Route.Hops) && len(h.Arms) > 1 {
			out.Route.Hops[i].Arms = h.Arms
		}
	}
	if r.RTT != nil {
		out.Route.RTT = time.Duration(*r.RTT * float64(time.Millisecond))
	}
	return out
}

func gridPage(q request, r *http.Request) (string, any, error) {
	if err := onlyKnown(r, append(pickNames, "day", "page")...); err != nil {
		return "", nil, err
	}
	day, err := dayOf(r.FormValue("day"), q.Now, q.Zone)
	if err != nil {
		return "", nil, err
	}
	page, err := positive(r, "page", 1)
	if err != nil {
		return "", nil, err
	}
	if page > 1_000_000 {
		return "", nil, badRequest{"page: there are not so many"}
	}
	p, err := pickOf(r)
	if err != nil {
		return "", nil, err
	}
	v, err := q.grid(day, p, int(page))
	return "grid.html", v, err
}

func gridNumbers(q request, r *http.Request, w *bytes.Buffer, kind string) error {
	if err := onlyKnown(r, append(pickNames, "day")...); err != nil {
		return err
	}
	day, err := dayOf(r.FormValue("day"), q.Now, q.Zone)
	if err != nil {
		return err
	}
	p, err := pickOf(r)
	if err != nil {
		return err
	}
	return q.gridFile(w, day, p, kind)
}

// gridMark is a mark among the numbers of the grid.
type gridMark struct {
	Monhost string `json:"monhost"`
	Node    string `json:"node"`
	Label   string `json:"label,omitempty"`
	Spec    int64  `json:"toolspec_id"`
	DueAt   string `json:"due_at"`
	Mark    string `json:"mark"`
	Kind    string `json:"kind"`
	News    bool   `json:"news"`
	Route   int    `json:"route_no,omitempty"`
	Runs    int    `json:"runs"`
	Says    string `json:"says"`
}

// mostMarks is what one answer holds, some 15 MB: a small machine serves it.
var mostMarks = 50_000

// gridFile writes the marks of a day, of all pages.
func (q request) gridFile(w *bytes.Buffer, day time.Time, p pick, kind string) error {
	specs, err := q.routeSpecs(p)
	if err != nil {
		return err
	}
	hours := daygrid.Hours(day, q.Zone)
	marks := []gridMark{}
	for some := range slices.Chunk(specs.list, gridRows) {
		rows, err := q.gridRows(some, hours)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if len(marks)+len(r.marks) > mostMarks {
				return badRequest{fmt.Sprintf("the day has more than %d marks: ask for a monhost, a node or a label (?monhost=…&node=…&label=…)", mostMarks)}
			}
			for _, m := range r.marks {
				text := m.Text
				if m.Text == "#" {
					text = fmt.Sprint(m.Number)
				}
				marks = append(marks, gridMark{r.Spec.Monhost, r.Spec.Node, r.Spec.Label, r.Spec.ID, m.At.UTC().Format("2006-01-02T15:04:05.999999Z"),
					text + m.Beside, string(m.Kind), m.News, m.Number, m.Runs, m.Says})
			}
		}
	}
	if kind == "json" {
		return json.NewEncoder(w).Encode(struct {
			Day   string     `json:"day"`
			Zone  string     `json:"time_zone"`
			Marks []gridMark `json:"marks"`
		}{day.In(q.Zone).Format(dayForm), q.Zone.String(), marks})
	}
	out := csv.NewWriter(w)
	_ = out.Write([]string{"monhost", "node", "label", "toolspec_id", "due_at", "mark", "kind", "news", "route_no", "runs", "says"}) // the error is kept
	for _, m := range marks {
		number := ""
		if m.Route > 0 {
			number = fmt.Sprint(m.Route)
		}
		_ = out.Write([]string{chart.PlainText(m.Monhost), chart.PlainText(m.Node), chart.PlainText(m.Label), fmt.Sprint(m.Spec), m.DueAt, chart.PlainText(m.Mark), m.Kind, fmt.Sprint(m.News), number, fmt.Sprint(m.Runs), chart.PlainText(m.Says)})
	}
	out.Flush()
	return out.Error()
}
