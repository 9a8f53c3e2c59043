package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sonde/internal/pgtest"
	"sonde/internal/schema"
	"sonde/internal/store"
)

func TestOnlyReadingIsPossible(t *testing.T) {
	pages, conn := seeded(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, "BREW"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/alert/1", strings.NewReader("x=1")))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	// The connections themselves can write nothing.
	err := pages.Read(t.Context(), func(r *store.Reading) error { _, err := r.Nodes(t.Context()); return err })
	if err != nil {
		t.Fatal(err)
	}
	var writers int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sonde web' AND datname = current_database()`).Scan(&writers); err != nil || writers == 0 || writers > 6 {
		t.Errorf("%d connections, %v", writers, err)
	}
}

func TestPagesLoadNothingFromElsewhere(t *testing.T) {
	pages, _ := seededRoutes(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for _, target := range []string{"/", "/node/cern", "/routes/10", "/alerts", "/alert/1", "/alert/5", "/daemons", "/mediums", "/no/such", "/routes", "/routes/17", "/routes/12?a=1&b=2", "/hop/203.0.113.66", "/topology", "/topology?range=7d"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; style-src 'self' 'sha256-") || strings.Contains(got, "unsafe") {
			t.Errorf("%s: policy %q", target, got)
		}
		body := w.Body.String()
		for _, no := range []string{"<script", " onload=", "javascript:", " style=", `src="http`, `href="http`, `href="//`, "<b>site", "<b>AS", "<img", "<i>reconnected"} {
			if strings.Contains(body, no) {
				t.Errorf("%s holds %q", target, no)
			}
		}
	}
}

func TestHeadSaysWhatGetWouldAndNoMore(t *testing.T) {
	pages, _ := seeded(t)
	server := httptest.NewServer(New(pages, "0.1.0", logTo(t)).Handler())
	defer server.Close()
	resp, err := http.Head(server.URL + "/alerts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || len(body) > 0 || resp.StatusCode != http.StatusOK || resp.ContentLength < 1000 {
		t.Errorf("%d bytes, %d, length %d, %v", len(body), resp.StatusCode, resp.ContentLength, err)
	}
}

func TestWrongQuestionsAreAnsweredByASentence(t *testing.T) {
	pages, _ := seeded(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for target, want := range map[string]struct {
		status int
		text   string
	}{
		"/nowhere":                            {404, "There is no such page."},
		"/node/nobody":                        {404, "There is no node &#34;nobody&#34;."},
		"/node/%00":                           {400, "This is no name of a node."},
		"/node/%ff%fe":                        {400, "This is no name of a node."},
		"/node":                               {400, "This is no name of a node."},
		"/node/cern?range=5":                  {400, "has no unit"},
		"/node/cern?range=5parsecs":           {400, "is no unit"},
		"/node/cern?range=1s":                 {400, "is not between 1m and 3660d"},
		"/node/cern?range=90000d":             {400, "longer than a hundred years"},
		"/node/cern?rnage=3h":                 {400, "this page knows no"},
		"/node/cern?range=3h&range=4h":        {400, "is given 2 times"},
		"/node/cern?from=2026-03-29":          {400, "is no instant such as"},
		"/node/cern?spec=-1":                  {400, "is no number of 1 or more"},
		"/node/cern?spec=99":                  {404, "There is no spec 99 of node &#34;cern&#34;."},
		"/node/cern?%zz":                      {400, "cannot be read"},
		"/?page=0":                            {400, "is no number of 1 or more"},
		"/?page=99":                           {400, "there are 1 pages, not 99"},
		"/?page=99999999999999999999":         {400, "is no number of 1 or more"},
		"/?state=green":                       {400, "is none"},
		"/alert/x":                            {400, "is no number of 1 or more"},
		"/alert/12345":                        {404, "There is no alert 12345."},
		"/alerts?before=x":                    {400, "is no number"},
		"/routes/1":                           {404, "which finds no routes"},
		"/routes/12345":                       {404, "There is no spec 12345."},
		"/routes/10?a=1":                      {400, "give the numbers of two routes"},
		"/routes/10?a=1&b=77":                 {404, "There is no route 77 of spec 10."},
		"/routes/10?run=yesterday":            {400, "is no instant such as"},
		"/routes/10?run=2026-03-29T11:01:00Z": {404, "There is no run of spec 10 due at 2026-03-29T11:01:00Z."},
		"/routes/10?range=5":                  {400, "has no unit"},
		"/routes?day=2026-02-30":              {400, "is no day such as 2026-11-25"},
		"/routes?day=29.3.2026":               {400, "is no day"},
		"/routes?day=9999-01-01":              {400, "the year 9999"},
		"/routes?page=7":                      {400, "there are 1 pages, not 7"},
		"/routes?node=nobody":                 {404, "There is no spec that finds routes for this question."},
		"/routes?node=%00":                    {400, "this is no name"},
		"/routes?days=2026-03-29":             {400, "this page knows no"},
		"/routes.csv?page=2":                  {400, "this page knows no"},
		"/hop/cern":                           {400, "is no IP address"},
		"/hop/fe80::1%25eth0":                 {400, "is no IP address"},
		"/hop/192.0.2.77":                     {404, "There is no hop 192.0.2.77 that anybody has crossed."},
		"/hop/192.0.2.1?range=400d":           {400, "shows 31d at most"},
		"/hopchart/192.0.2.1":                 {400, "a chart ends in"},
		"/hopchart/1.csv":                     {400, "is no IP address"},
		"/topology?range=400d":                {400, "shows 31d at most"},
		"/topology?range=soon":                {400, "range"},
		"/topology?monhost=nobody":            {404, "There is no spec that finds routes"},
		"/chart/1.png":                        {400, "a chart ends in .svg, .csv or .json"},
		"/chart/1":                            {400, "a chart ends in"},
		"/chart/x.svg":                        {400, "is no number"},
		"/chart/77.svg":                       {404, "There is no spec 77."},
		"/chart/1.svg?from=2026-03-29T09:00:00Z&until=2026-03-29T08:00:00Z":          {400, "until must be later than from"},
		"/chart/1.svg?from=2026-03-29T09:00:00Z&until=9999-03-29T08:00:00Z":          {400, "the year 9999"},
		"/chart/1.svg?from=2026-03-29T09:00:00Z&until=2026-03-29T10:00:00Z&range=3h": {400, "exclude each other"},
	} {
		status, body := get(t, h, target)
		_, lead, _ := strings.Cut(body, `<p class="lead problem">`)
		lead, _, _ = strings.Cut(lead, "</p>")
		if status != want.status || !strings.Contains(strings.ToLower(lead), strings.ToLower(want.text)) {
			t.Errorf("%s: %d %q, want %d %q", target, status, lead, want.status, want.text)
		}
	}
}

func TestNodesOfAnyNameHaveAPage(t *testing.T) {
	pages, conn := seeded(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	for _, name := range []string{"a/b", "..", ".", "a b", "a%2Fb", "ä?#&=;+", `"'<>`, `back\slash`, "a//b", "…", hostile} {
		run(t, conn, `INSERT INTO nodes (name, address) VALUES ($1, '192.0.2.1') ON CONFLICT DO NOTHING`, name)
		status, body := get(t, h, live{}.Node(name, ""))
		if status != http.StatusOK || !strings.Contains(body, "<h1>") {
			t.Errorf("%q at %s: status %d", name, live{}.Node(name, ""), status)
		}
	}
	if _, body := get(t, h, "/?q=192.0.2.1"); !strings.Contains(body, `href="/node/a%2Fb"`) || !strings.Contains(body, `href="/node?name=.."`) {
		t.Error("the overview does not lead there")
	}
}

func TestWithTheDatabaseAwayPagesSaySo(t *testing.T) {
	s := pgtest.NewServer(t)
	pages, err := store.OpenPages(s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	h := New(pages, "0.1.0", logTo(t)).Handler()
	status, body := get(t, h, "/")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "run sonde migrate") {
		t.Errorf("an empty database: %d %.300s", status, body)
	}
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/", "/node/cern", "/alerts", "/alert/1", "/daemons", "/chart/1.svg"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "The database cannot be reached.") || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %.300s", target, w.Code, w.Body.String())
		}
	}
	if status, body := get(t, h, "/-/ready"); status != http.StatusServiceUnavailable || body != "waiting for the database\n" {
		t.Errorf("ready: %d %q", status, body)
	}
	if status, body := get(t, h, "/-/healthy"); status != http.StatusOK || body != "healthy\n" {
		t.Errorf("healthy: %d %q", status, body)
	}
	if status, _ := get(t, h, "/style.css"); status != http.StatusOK {
		t.Errorf("style: %d", status)
	}
}

func TestPagesComeBackWithTheDatabase(t *testing.T) {
	s := pgtest.NewServer(t)
	if _, err := schema.Up(t.Context(), s.DSN()); err != nil {
		t.Fatal(err)
	}
	pages, err := store.OpenPages(s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	h := New(pages, "0.1.0", logTo(t)).Handler()
	if status, body := get(t, h, "/"); status != http.StatusOK || !strings.Contains(body, "INSERT INTO nodes") {
		t.Errorf("an empty database does not say how to begin: %d %.300s", status, body)
	}
	proc, err := os.FindProcess(s.Pid())
	if err != nil {
		t.Fatal(err)
	}
	if err := proc.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if status, _ := get(t, h, "/alerts"); status != http.StatusServiceUnavailable {
		t.Errorf("killed: status %d", status)
	}
	pgtest.Restart(t, s)
	// Connections that died with the server may cost a page or two.
	for i := 0; ; i++ {
		if status, body := get(t, h, "/alerts"); status == http.StatusOK {
			break
		} else if i == 10 {
			t.Fatalf("back: status %d %.300s", status, body)
		}
	}
}

func TestAPageThatTakesTooLongSaysSo(t *testing.T) {
	pages, conn := seeded(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	if status, _ := get(t, h, "/alerts"); status != http.StatusOK {
		t.Fatal(status)
	}
	// Somebody holds the table that the page must read, until the reader loses patience.
	other, err := pgx.Connect(t.Context(), conn.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	run(t, other, `BEGIN`)
	run(t, other, `LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE`)
	cancelled := make(chan struct{})
	go func() {
		defer close(cancelled)
		// Not the page's own time limit but the same end of it: the query is cancelled.
		for {
			var n int
			err := conn.QueryRow(context.Background(), `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
				WHERE application_name = 'sonde web' AND wait_event_type = 'Lock' AND datname = current_database()`).Scan(&n)
			if err != nil || n > 0 {
				return
			}
		}
	}()
	status, body := get(t, h, "/alerts")
	<-cancelled
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "took too long") {
		t.Errorf("%d %.300s", status, body)
	}
}

func TestChartsAndNumbersAreOfTheirType(t *testing.T) {
	pages, _ := seeded(t)
	h := New(pages, "0.1.0", logTo(t)).Handler()
	if _, body := get(t, h, "/chart/9.svg?range=3h"); xml.Unmarshal([]byte(body), new(struct{})) != nil || strings.Contains(body, "<script") {
		t.Error("the chart of the hostile node is no XML")
	}
	if _, body := get(t, h, "/chart/9.json?range=3h"); !json.Valid([]byte(body)) {
		t.Error("no JSON")
	}
	_, body := get(t, h, "/chart/1.csv?range=3h")
	if rows, err := csv.NewReader(strings.NewReader(body)).ReadAll(); err != nil || len(rows) < 150 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func FuzzQuestionsNeverBreakAPage(f *testing.F) {
	for _, s := range []string{"range=3h", "from=2026-03-29T09:00:00Z&until=2026-03-29T10:00:00Z", "spec=1&range=1h30m", "%zz", "range=%00", "a=b;c", "from=0000-00-00T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: http.MethodGet, URL: httptest.NewRequest(http.MethodGet, "/", nil).URL}
		r.URL.RawQuery = query
		if onlyKnown(r, "range", "from", "until", "spec") != nil {
			return
		}
		w, err := windowOf(r, asOf)
		if err != nil {
			return
		}
		if d := w.Until.Sub(w.From); d <= 0 || d > longest {
			t.Fatalf("%q is a window of %v", query, d)
		}
		if n := w.Until.Sub(w.From)/store.BucketWidth(w.From, w.Until, 1) + 2; n > store.MostBuckets+2 {
			t.Fatalf("%q needs %d buckets", query, n)
		}
	})
}
