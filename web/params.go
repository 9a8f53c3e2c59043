package web

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// onlyKnown refuses parameters that mean nothing: a misspelt one must not be silently left out.
func onlyKnown(r *http.Request, known ...string) error {
	if err := r.ParseForm(); err != nil {
		return badRequest{"the question after ? cannot be read"}
	}
	for name, values := range r.Form {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return badRequest{fmt.Sprintf("this page knows no %q", short(40, name))}
		case !slices.Contains(known, name):
			return badRequest{fmt.Sprintf("this page knows no %q, only %s", short(40, name), strings.Join(known, ", "))}
		case len(values) > 1:
			return badRequest{fmt.Sprintf("%q is given %d times", name, len(values))}
		}
	}
	return nil
}

// positive reads a whole number of 1 or more; without one it is least.
func positive(r *http.Request, name string, absent int64) (int64, error) {
	text := r.FormValue(name)
	if text == "" {
		return absent, nil
	}
	return number64(name, text)
}

func number64(name, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, badRequest{fmt.Sprintf("%s: %q is no number of 1 or more", name, short(40, text))}
	}
	return n, nil
}

// windowOf reads range=30h, or from=…&until=… in RFC 3339.
func windowOf(r *http.Request, now time.Time) (window, error) {
	from, until, span := r.FormValue("from"), r.FormValue("until"), r.FormValue("range")
	if from == "" && until == "" {
		if span != "" {
			return spanWindow(span, now)
		}
		w, err := spanWindow(defaultSpan, now)
		w.Default = true
		return w, err
	}
	if span != "" {
		return window{}, badRequest{"range and from/until exclude each other"}
	}
	var w window
	for _, p := range []struct {
		name, text string
		to         *time.Time
	}{{"from", from, &w.From}, {"until", until, &w.Until}} {
		t, err := instant(p.name, p.text)
		if err != nil {
			return w, err
		}
		*p.to = t
	}
	if d := w.Until.Sub(w.From); d < time.Second || d > longest {
		return w, badRequest{"until must be later than from, by 3660 days at most"}
	}
	return w, nil
}

func instant(name, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, badRequest{fmt.Sprintf("%s: %q is no instant such as 2026-11-20T13:00:00Z", name, short(40, text))}
	}
	if t.Year() < 1990 || t.Year() > 2200 {
		return t, badRequest{fmt.Sprintf("%s: the year %d is not between 1990 and 2200", name, t.Year())}
	}
	return t.UTC(), nil
}

func overviewPage(q request, r *http.Request) (string, any, error) {
	if err := onlyKnown(r, "page", "q", "state"); err != nil {
		return "", nil, err
	}
	page, err := positive(r, "page", 1)
	if err != nil {
		return "", nil, err
	}
	search, only := r.FormValue("q"), r.FormValue("state")
	if len(search) > 200 || !utf8.ValidString(search) {
		return "", nil, badRequest{"q: at most 200 letters"}
	}
	if _, ok := stateByWord(only); only != "" && !ok {
		return "", nil, badRequest{fmt.Sprintf("state: %q is none", short(40, only))}
	}
	if page > 1_000_000 {
		return "", nil, badRequest{"page: there are not so many"}
	}
	v, err := q.overview(int(page), search, only)
	return "overview.html", v, err
}

func nodePage(q request, r *http.Request, name string) (string, any, error) {
	if err := onlyKnown(r, "range", "from", "until", "spec", "name"); err != nil {
		return "", nil, err
	}
	w, err := windowOf(r, q.Now)
	if err != nil {
		return "", nil, err
	}
	spec, err := positive(r, "spec", 0)
	if err != nil {
		return "", nil, err
	}
	if err := nameOK(name); err != nil {
		return "", nil, err
	}
	v, err := q.node(name, w, spec)
	return "node.html", v, err
}

// nameOK keeps from the database what it cannot compare with: it knows no NUL and no broken UTF-8.
func nameOK(name string) error {
	if name == "" || len(name) > 400 || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return badRequest{"this is no name of a node"}
	}
	return nil
}

func routesPage(q request, r *http.Request) (string, any, error) {
	if err := onlyKnown(r, "a", "b", "run", "range"); err != nil {
		return "", nil, err
	}
	id, err := number64("spec", r.PathValue("spec"))
	if err != nil {
		return "", nil, err
	}
	a, err := positive(r, "a", 0)
	if err != nil {
		return "", nil, err
	}
	b, err := positive(r, "b", 0)
	if err != nil {
		return "", nil, err
	}
	if (a == 0) != (b == 0) || max(a, b) > 1<<31-1 {
		return "", nil, badRequest{"a and b: give the numbers of two routes"}
	}
	ask := routesAsk{a: int(a), b: int(b), span: routeSpan}
	if text := r.FormValue("range"); text != "" {
		ask.span = text
	}
	if text := r.FormValue("run"); text != "" {
		if ask.run, err = instant("run", text); err != nil {
			return "", nil, err
		}
	}
	v, err := q.routes(id, ask)
	return "routes.html", v, err
}

func alertsPage(q request, r *http.Request) (string, any, error) {
	if err := onlyKnown(r, "before"); err != nil {
		return "", nil, err
	}
	before, err := positive(r, "before", 0)
	if err != nil {
		return "", nil, err
	}
	v, err := q.alerts(before)
	return "alerts.html", v, err
}

func alertPage(q request, r *http.Request) (string, any, error) {
	if err := onlyKnown(r); err != nil {
		return "", nil, err
	}
	id, err := number64("alert", r.PathValue("id"))
	if err != nil {
		return "", nil, err
	}
	v, err := q.alert(id)
	return "alert.html", v, err
}

var chartTypes = map[string]string{"svg": "image/svg+xml", "csv": "text/csv; charset=utf-8", "json": "application/json"}

// chartAnswer answers /chart/7.svg, .csv and .json, and says of which kind it is.
func chartAnswer(q request, r *http.Request, b *bytes.Buffer) (kind string, err error) {
	text, kind, _ := strings.Cut(r.PathValue("file"), ".")
	if chartTypes[kind] == "" {
		return kind, badRequest{"a chart ends in .svg, .csv or .json"}
	}
	if err := onlyKnown(r, "range", "from", "until", "alert"); err != nil {
		return kind, err
	}
	id, err := number64("spec", text)
	if err != nil {
		return kind, err
	}
	win, err := windowOf(r, q.Now)
	if err != nil {
		return kind, err
	}
	if alert := r.URL.Query().Get("alert"); alert != "" {
		if win.Alert, err = number64("alert", alert); err != nil {
			return kind, err
		}
	}
	return kind, q.chartFile(b, id, win, kind)
}
