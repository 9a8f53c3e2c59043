package web

import (
	"context"
	"embed"
	"fmt"
	"html"
	"html/template"
	"io"
	"math"
	"time"

	"sonde/internal/store"
	"sonde/web/chart"
	"sonde/web/topology"
)

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"link":     link,
	"number":   number,
	"letter":   chart.Letter,
	"short":    short,
	"mask":     mask,
	"ago":      ago,
	"nopick":   func() pick { return pick{} },
	"nodepick": func(node string) pick { return pick{Node: node} },
	"both":     func(b base, list any) listView { return listView{b, list} },
	"more":     func(list []store.PageAlert, shown int) int { return len(list) - shown },
}).ParseFS(templateFiles, "templates/*.html"))

// Style is the one sheet of all pages.
var Style = func() string {
	own, err := templateFiles.ReadFile("templates/style.css")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(own) + chart.Style + topology.Style
}()

// base is what every page has.
type base struct {
	L       links
	Title   string
	Nav     string // which part of the site
	Now     time.Time
	Zone    *time.Location
	Static  bool // a file of a report: it tells of the past
	Refresh int  // seconds; 0 means never
	Version string
	Wide    bool // a table or picture that needs all the room there is
}

// listView hands a list to a template that several pages share.
type listView struct {
	B    base
	List any
}

// write fills in a page's template.
func write(w io.Writer, name string, view any) error {
	if err := templates.ExecuteTemplate(w, name, view); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	return nil
}

// At writes an instant in the zone of the pages, with its offset.
func (b base) At(at any) template.HTML {
	var t time.Time
	switch v := at.(type) {
	case time.Time:
		t = v
	case *time.Time:
		if v != nil {
			t = *v
		}
	}
	if t.IsZero() {
		return "–"
	}
	return template.HTML(`<time datetime="` + t.UTC().Format("2006-01-02T15:04:05Z") + `">` +
		t.In(b.Zone).Format("2006-01-02 15:04:05 ") + `<span class="off">` + t.In(b.Zone).Format("-07:00") + `</span></time>`)
}

// Ago says how long before the page's time an instant lies.
func (b base) Ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if d := b.Now.Sub(t); d >= 0 {
		return ago(d) + " ago"
	}
	return "in " + ago(t.Sub(b.Now))
}

// Self is what pages hand to templates they share.
func (b base) Self() base { return b }

// Badge writes the sign and the word of a state.
func (b base) Badge(s state) template.HTML {
	return template.HTML(`<span class="state ` + s.Word() + `"><span aria-hidden="true">` + s.Sign() + `</span> ` + s.Word() + `</span>`)
}

// AlertState is the state of an alert; a closed one is over, not green.
func (b base) AlertState(a store.PageAlert) template.HTML {
	if a.ClosedAt != nil {
		return template.HTML(`<span class="state over"><span aria-hidden="true">○</span> closed</span>`)
	}
	if a.Shadow {
		return template.HTML(`<span class="state off"><span aria-hidden="true">◌</span> in shadow</span>`)
	}
	return b.Badge(stateOfAlert(a))
}

// Delivery writes the state of an attempt to deliver.
func (b base) Delivery(state string) template.HTML {
	signs := map[string]string{
		"ok":      `<span class="state ok"><span aria-hidden="true">✔</span> delivered</span>`,
		"failed":  `<span class="state critical"><span aria-hidden="true">✖</span> failed</span>`,
		"unknown": `<span class="state stale"><span aria-hidden="true">?</span> unknown</span>`,
		"trying":  `<span class="state waiting"><span aria-hidden="true">…</span> trying</span>`,
	}
	if sign, ok := signs[state]; ok {
		return template.HTML(sign)
	}
	return "–"
}

// Lasted says how long an alert lasted, or lasts.
func (b base) Lasted(a store.PageAlert) string {
	switch {
	case a.EndedAt != nil:
		return ago(a.EndedAt.Sub(a.BeganAt))
	case a.ClosedAt != nil:
		return ago(a.ClosedAt.Sub(a.BeganAt))
	}
	return ago(b.Now.Sub(a.BeganAt))
}

// ZoneText names the zone of the page's times.
func (b base) ZoneText() string {
	return b.Zone.String() + " (" + b.Now.In(b.Zone).Format("-07:00") + ")"
}

// link writes a text that leads to a page, or the text alone where there is none.
func link(href, text string) template.HTML {
	if href == "" {
		return template.HTML(html.EscapeString(text))
	}
	return template.HTML(`<a href="` + html.EscapeString(href) + `">` + html.EscapeString(text) + `</a>`)
}

func number(v any) string {
	switch n := v.(type) {
	case float64:
		return chart.Number(n)
	case *float64:
		if n != nil {
			return chart.Number(*n)
		}
	case *int:
		if n != nil {
			return fmt.Sprint(*n)
		}
	}
	return chart.Number(math.NaN())
}

// short cuts a text at n letters.
func short(n int, s string) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// mask leaves the last four letters of an address: a page is read by more people than its telephone numbers are for.
func mask(s string) string {
	r := []rune(s)
	if len(r) <= 4 {
		return s
	}
	return "…" + string(r[len(r)-4:])
}

// request is one page being made, live or as a file.
type request struct {
	ctx context.Context
	r   *store.Reading
	base
}

func (q request) titled(title, nav string) base {
	b := q.base
	b.Title, b.Nav = title, nav
	return b
}
