package chart

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"time"
)

// panel is where the parts of one picture lie, in px.
type panel struct {
	c                       Chart
	left, right             float64
	plotTop, plotBottom     float64
	stripTop, stripBottom   float64
	routeTop, routeBottom   float64
	lossTop, lossBottom     float64
	axisY, legendY          float64
	high                    float64
	b                       *bytes.Buffer
	size                    Size
	inner                   bytes.Buffer // gaps, for the strip
	foretold                bytes.Buffer // the forecast, drawn over the data
	hasFail, hasMissed, cut bool
	hasGap, hasMark         bool
	hasSmoke, hasCore       bool
	hasBand, hasForecast    bool
}

// margin surrounds a chart that stands alone.
const margin = 10

// longest keeps the ticks of a chart countable.
const longest = 100 * 365 * 24 * time.Hour

// SVG draws the chart for a page that holds Style.
func (c Chart) SVG(size Size) []byte { return c.draw(size, false) }

// Standalone draws the chart as a file of its own.
func (c Chart) Standalone() []byte { return c.draw(Wide, true) }

func (c Chart) draw(size Size, alone bool) []byte {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if !c.Until.After(c.From) {
		c.Until = c.From.Add(time.Second)
	}
	if c.Until.Sub(c.From) > longest {
		c.Until = c.From.Add(longest)
	}
	p := panel{c: c, b: &bytes.Buffer{}, size: size, left: 56, right: float64(size.Width) - 12, high: top(c.Buckets, c.Expected)}
	p.layout()
	if alone {
		p.b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	}
	p.f(`<svg xmlns="http://www.w3.org/2000/svg" class="%s"`, size.Class)
	if alone {
		p.f(` viewBox="%d %d %d %d" width="%[3]d" height="%[4]d"`, -margin, -margin, size.Width+2*margin, size.Height+2*margin)
	} else {
		p.f(` viewBox="0 0 %d %d"`, size.Width, size.Height)
	}
	p.f(` role="img" aria-labelledby="%[1]s-t %[1]s-d"><title id="%[1]s-t">%[2]s</title><desc id="%[1]s-d">%[3]s</desc>`, p.id(), esc(c.Title), esc(c.Describe()))
	if alone {
		p.f("<style>%s</style>", Style)
		p.f(`<rect class="ground" x="%d" y="%d" width="%d" height="%d"/>`, -margin, -margin, size.Width+2*margin, size.Height+2*margin)
	}
	p.patterns()
	p.axes()
	p.holes()
	p.expected()
	p.smoke()
	p.path("forecast", &p.foretold)
	p.strip()
	p.routes()
	p.loss()
	p.events()
	p.began()
	p.legend()
	p.b.WriteString("</svg>\n")
	return p.b.Bytes()
}

// Describe says in words what the chart shows, for people who do not see it.
func (c Chart) Describe() string {
	s := c.Sum()
	text := fmt.Sprintf("%d runs: %d measured, %d failed, %d missed", s.Runs, s.OK, s.Fail, s.Missed)
	if s.GapRuns > 0 {
		text += fmt.Sprintf("; %d more never became a run", s.GapRuns)
	}
	if !math.IsNaN(s.Median) {
		text += fmt.Sprintf("; median %s, least %s, greatest %s %s", Number(s.Median), Number(s.Min), Number(s.Max), c.Unit)
	}
	if loss := s.Loss(); !math.IsNaN(loss) {
		text += fmt.Sprintf("; %s %% of %d packets lost", Number(loss), s.Sent)
	}
	if e := c.expectedAt(c.Began); e != nil {
		text += fmt.Sprintf("; where it began %s was expected, %s to %s", Number(e.Forecast), Number(e.Low), Number(e.High))
	}
	return text + "."
}

func (p *panel) layout() {
	y := float64(p.size.Height)
	p.legendY = y - 8
	if p.size.Width < 500 {
		p.legendY = y - 24 // two lines
	}
	p.axisY = p.legendY - 20
	y = p.axisY - 16
	if p.c.HasLoss {
		p.lossBottom, p.lossTop = y, y-34
		y -= 40
	}
	p.stripBottom, p.stripTop = y, y-8
	y -= 11
	if len(p.c.Routes) > 0 {
		p.routeBottom, p.routeTop = y, y-16
		y -= 23
	}
	p.plotBottom, p.plotTop = y, 24
}

func (p *panel) f(format string, args ...any) { fmt.Fprintf(p.b, format, args...) }

// id is the prefix of all ids in this picture; the two sizes stand on one page.
func (p *panel) id() string {
	return esc(p.c.ID) + strings.ReplaceAll(strings.TrimPrefix(p.size.Class, "chart "), " ", "")
}

// x is where an instant lies, kept within the plot.
func (p *panel) x(t time.Time) float64 {
	share := float64(t.Sub(p.c.From)) / float64(p.c.Until.Sub(p.c.From))
	return p.left + min(max(share, 0), 1)*(p.right-p.left)
}

func (p *panel) y(v float64) float64 {
	return p.plotBottom - min(max(v/p.high, 0), 1)*(p.plotBottom-p.plotTop)
}

func (p *panel) outside(from, until time.Time) bool {
	return !until.After(p.c.From) || !from.Before(p.c.Until)
}

// px writes a coordinate with one decimal at most.
func px(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

func rect(b *bytes.Buffer, x0, y0, x1, y1 float64) {
	b.WriteString("M" + px(x0) + " " + px(y0) + "H" + px(x1) + "V" + px(y1) + "H" + px(x0) + "z")
}

func (p *panel) path(class string, d *bytes.Buffer) {
	if d.Len() > 0 {
		p.f(`<path class="%s" d="%s"/>`, class, d.String())
	}
}

// fill draws areas with one of the patterns.
func (p *panel) fill(pattern string, d *bytes.Buffer) {
	if d.Len() > 0 {
		p.f(`<path fill="url(#%s-%s)" d="%s"/>`, p.id(), pattern, d.String())
	}
}

func (p *panel) patterns() {
	p.f(`<defs><pattern id="%[1]s-fail" width="7" height="7" patternUnits="userSpaceOnUse"><path class="pfail" d="M-1 8L8 -1M-1 1L1 -1M6 8L8 6"/></pattern>`+
		`<pattern id="%[1]s-missed" width="7" height="7" patternUnits="userSpaceOnUse"><path class="pmissed" d="M0 0L7 7M7 0L0 7"/></pattern>`+
		`<pattern id="%[1]s-gap" width="5" height="5" patternUnits="userSpaceOnUse"><circle class="pgap" cx="2" cy="2" r="1.1"/></pattern></defs>`, p.id())
}

func (p *panel) axes() {
	zone := zoneText(p.c.From, p.c.Until, p.c.Zone)
	p.f(`<text class="title" x="0" y="12">%s</text>`, esc(clip(p.c.Title, max(p.size.Width-13*len(zone)/2, 70)/7)))
	p.f(`<path class="ground" d="M%s %sH%sV%sH%sz"/>`, px(p.left), px(p.plotTop), px(p.right), px(p.plotBottom), px(p.left))
	var grid bytes.Buffer
	values := valueTicks(p.high, 5)
	for i, v := range values {
		label := Number(v)
		if i == len(values)-1 {
			label += " " + clip(p.c.Unit, 6)
		}
		grid.WriteString("M" + px(p.left) + " " + px(p.y(v)) + "H" + px(p.right))
		p.f(`<text x="%s" y="%s" text-anchor="end">%s</text>`, px(p.left-5), px(p.y(v)+4), esc(strings.TrimSpace(label)))
	}
	ticks, bottom := timeTicks(p.c.From, p.c.Until, p.c.Zone, p.size.Width/80), p.stripBottom
	if p.c.HasLoss {
		bottom = p.lossBottom
	}
	for _, t := range ticks {
		x := p.x(t.At)
		grid.WriteString("M" + px(x) + " " + px(p.plotTop) + "V" + px(bottom+3))
		anchor := "middle"
		switch {
		case x < p.left+16:
			anchor = "start"
		case x > p.right-20:
			anchor = "end"
		}
		p.f(`<text x="%s" y="%s" text-anchor="%s">%s</text>`, px(x), px(p.axisY), anchor, t.Label)
	}
	p.path("grid", &grid)
	p.f(`<text x="%s" y="12" text-anchor="end">%s</text>`, px(p.right), esc(zone))
}

// zoneText names the zone with its offset, or both where the clock changes.
func zoneText(from, until time.Time, zone *time.Location) string {
	a, b := from.In(zone).Format("-07:00"), until.In(zone).Format("-07:00")
	if a != b {
		a += " → " + b
	}
	return zone.String() + " " + a
}

func clip(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

// column is the stretch of a bucket, at least a pixel wide, never past now.
func (p *panel) column(b Bucket) (x0, x1 float64) {
	until := b.At.Add(p.c.Width)
	if !p.c.Now.IsZero() && until.After(p.c.Now) && b.At.Before(p.c.Now) {
		until = p.c.Now
	}
	x0, x1 = p.x(b.At), p.x(until)
	return x0, max(x1, x0+1)
}

// holes hatches where no value is known, by the reason.
func (p *panel) holes() {
	var fail, missed, gap bytes.Buffer
	measured := make([][2]float64, 0, len(p.c.Buckets))
	for _, b := range p.c.Buckets {
		if p.outside(b.At, b.At.Add(p.c.Width)) {
			continue
		}
		x0, x1 := p.column(b)
		measured = append(measured, [2]float64{x0, x1})
		if b.OK > 0 {
			continue
		}
		switch {
		case b.Fail > 0:
			rect(&fail, x0, p.plotTop, x1, p.plotBottom)
		case b.Missed > 0:
			rect(&missed, x0, p.plotTop, x1, p.plotBottom)
		}
	}
	for _, g := range p.c.Gaps {
		until := g.Until.Add(p.c.Interval) // the last instant stands for its interval
		if p.outside(g.From, until) {
			continue
		}
		at, end := p.x(g.From), max(p.x(until), p.x(g.From)+2)
		// A wide bucket may have a gap within, which the strip shows.
		if p.c.Width > p.c.Interval {
			rect(&p.inner, at, p.stripTop, end, p.stripBottom)
		}
		// A result inside a gap wins: only what lies between buckets is a gap.
		for _, m := range measured {
			if m[1] <= at || m[0] >= end {
				continue
			}
			if m[0] > at {
				rect(&gap, at, p.plotTop, m[0], p.plotBottom)
				rect(&p.inner, at, p.stripTop, m[0], p.stripBottom)
			}
			at = m[1]
		}
		if at < end {
			rect(&gap, at, p.plotTop, end, p.plotBottom)
			rect(&p.inner, at, p.stripTop, end, p.stripBottom)
		}
	}
	p.hasGap = gap.Len() > 0 || p.inner.Len() > 0
	p.fill("fail", &fail)
	p.fill("missed", &missed)
	p.fill("gap", &gap)
}

// smoke draws the bands and the median.
func (p *panel) smoke() {
	var outer, inner, line, wedges bytes.Buffer
	last, lastY := math.Inf(-1), 0.0
	var lastAt time.Time
	for _, b := range p.c.Buckets {
		if !b.HasValue() || p.outside(b.At, b.At.Add(p.c.Width)) {
			continue
		}
		x0, x1 := p.column(b)
		if b.Max > b.Min {
			rect(&outer, x0, p.y(b.Max), x1, p.y(b.Min))
		}
		if b.High > b.Low {
			rect(&inner, x0, p.y(b.High), x1, p.y(b.Low))
		}
		if b.Max > p.high {
			p.cut = true
			m := (x0 + x1) / 2
			wedges.WriteString("M" + px(m-3) + " " + px(p.plotTop+5) + "L" + px(m) + " " + px(p.plotTop) + "L" + px(m+3) + " " + px(p.plotTop+5) + "z")
		}
		y := p.y(b.Median)
		// Joined only with the very next bucket: a hole is never bridged.
		if b.At.Sub(lastAt) <= p.c.Width+p.c.Width/2 && last > math.Inf(-1) {
			if math.Abs(y-lastY) >= 0.05 {
				line.WriteString("V" + px(y))
			}
		} else {
			line.WriteString("M" + px(x0) + " " + px(y))
		}
		line.WriteString("H" + px(x1))
		last, lastY, lastAt = x1, y, b.At
	}
	p.hasSmoke, p.hasCore = outer.Len() > 0, inner.Len() > 0
	p.path("smoke", &outer)
	p.path("core", &inner)
	p.path("median", &line)
	p.path("wedge", &wedges)
}

// strip says of each bucket how its runs ended, also where some of them gave a value.
func (p *panel) strip() {
	var ok, fail, missed bytes.Buffer
	for _, b := range p.c.Buckets {
		if p.outside(b.At, b.At.Add(p.c.Width)) {
			continue
		}
		x0, x1 := p.column(b)
		if b.Fail > 0 || b.Missed > 0 {
			x1 = max(x1, x0+2.5)
		}
		switch {
		case b.Fail > 0:
			rect(&fail, x0, p.stripTop, x1, p.stripBottom)
			p.hasFail = true
		case b.Missed > 0:
			rect(&missed, x0, p.stripTop, x1, p.stripBottom)
		case b.OK > 0:
			rect(&ok, x0, p.stripTop+2, x1, p.stripBottom-2)
		}
		p.hasMissed = p.hasMissed || b.Missed > 0
	}
	p.path("okrun", &ok)
	p.fill("fail", &fail)
	p.fill("missed", &missed)
	p.fill("gap", &p.inner)
}

func (p *panel) routes() {
	for i, r := range p.c.Routes {
		if p.outside(r.From, r.Until) {
			continue
		}
		x0, x1 := p.x(r.From), max(p.x(r.Until), p.x(r.From)+1)
		p.f(`<path class="route%d" d="M%s %sH%sV%sH%sz"/>`, i%2, px(x0), px(p.routeTop), px(x1), px(p.routeBottom), px(x0))
		if n := strconv.Itoa(r.Number); r.Number > 0 && x1-x0 > float64(7*len(n)+2) {
			p.f(`<text class="routetext" x="%s" y="%s" text-anchor="middle">%s</text>`, px((x0+x1)/2), px(p.routeBottom-4), n)
		}
	}
	if len(p.c.Routes) > 0 {
		p.f(`<text x="%s" y="%s" text-anchor="end">route</text>`, px(p.left-5), px(p.routeBottom-4))
	}
}

func (p *panel) loss() {
	if !p.c.HasLoss {
		return
	}
	var bars bytes.Buffer
	p.f(`<path class="ground" d="M%s %sH%sV%sH%sz"/>`, px(p.left), px(p.lossTop), px(p.right), px(p.lossBottom), px(p.left))
	for _, b := range p.c.Buckets {
		loss := b.Loss()
		if !(loss > 0) || p.outside(b.At, b.At.Add(p.c.Width)) {
			continue
		}
		x0, x1 := p.column(b)
		// A single lost packet of a thousand must still be seen.
		rect(&bars, x0, p.lossBottom-max(loss/100*(p.lossBottom-p.lossTop), 2), max(x1, x0+2), p.lossBottom)
	}
	p.path("loss", &bars)
	p.f(`<text x="%s" y="%s" text-anchor="end">100 %%</text>`, px(p.left-5), px(p.lossTop+8))
	p.f(`<text x="%s" y="%s" text-anchor="end">loss</text>`, px(p.left-5), px(p.lossBottom))
}

// events draws alerts, changes of configuration, and where the present ends.
func (p *panel) events() {
	for _, a := range p.c.Alerts {
		until := a.Until
		if until.IsZero() {
			until = p.c.Until
			if !p.c.Now.IsZero() && p.c.Now.Before(until) {
				until = p.c.Now
			}
		}
		if !a.From.Equal(until) && p.outside(a.From, until) {
			continue
		}
		x0, x1 := p.x(a.From), max(p.x(until), p.x(a.From)+3)
		p.f(`<path class="alert %s" d="M%s %sH%sV%sH%sz"><title>%s</title></path>`, esc(a.Class), px(x0), px(p.plotTop-5), px(x1), px(p.plotTop-1), px(x0), esc(a.Text))
	}
	for i, m := range p.c.Marks {
		if m.At.Before(p.c.From) || m.At.After(p.c.Until) {
			continue
		}
		p.hasMark = true
		x := p.x(m.At)
		p.f(`<path class="mark" d="M%s %sV%s"><title>%s</title></path>`, px(x), px(p.plotTop), px(p.plotBottom), esc(m.Text))
		p.f(`<text class="marktext" x="%s" y="%s">%s</text>`, px(min(x+3, p.right-10)), px(p.plotTop+12), Letter(i))
	}
	if !p.c.Now.IsZero() && p.c.Now.Before(p.c.Until) && p.c.Now.After(p.c.From) {
		x := p.x(p.c.Now)
		p.f(`<path class="now" d="M%s %sV%s"/><text x="%s" y="%s">now</text>`, px(x), px(p.plotTop), px(p.plotBottom), px(min(x+3, p.right-24)), px(p.plotBottom-4))
	}
}

// Letter names the marks: A, B, … Z, then AA.
func Letter(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return Letter(i/26-1) + string(rune('A'+i%26))
}

type legendItem struct {
	text  string
	swash string // svg of the sample, drawn at x, y
}

// legend explains only what occurs.
func (p *panel) legend() {
	box := func(attr string) string {
		return `<path ` + attr + ` d="M%[1]s %[2]sh14v-9h-14z"/>`
	}
	pattern := func(name string) string {
		return box(`class="grid"`) + box(fmt.Sprintf(`fill="url(#%s-%s)"`, p.id(), name))
	}
	items := []legendItem{
		{"median", `<path class="median" d="M%[1]s %[3]sh14"/>`},
	}
	add := func(is bool, text, swash string) {
		if is {
			items = append(items, legendItem{text, swash})
		}
	}
	add(p.hasForecast, "expected", `<path class="forecast" d="M%[1]s %[3]sh14"/>`)
	add(p.hasBand, "band of what is expected", box(`class="band"`))
	add(p.hasCore, "quartiles", box(`class="core"`))
	add(p.hasSmoke, "least–greatest", box(`class="smoke"`))
	add(p.hasFail, "failed", pattern("fail"))
	add(p.hasMissed, "missed", pattern("missed"))
	add(p.hasGap, "gap: no run", pattern("gap"))
	add(p.cut, "above the scale", `<path class="wedge" d="M%[1]s %[2]sl4 -8l4 8z"/>`)
	add(p.hasMark, "A changed configuration", `<path class="mark" d="M%[1]s %[3]sh14"/>`)
	x, y := 0.0, p.legendY
	for _, i := range items {
		width := 20 + 6.8*float64(len([]rune(i.text))) + 10
		if x > 0 && x+width > float64(p.size.Width) {
			x, y = 0, y+16
		}
		// Arguments are numbered, so a sample may leave one out.
		s := strings.NewReplacer("%[1]s", px(x), "%[2]s", px(y), "%[3]s", px(y-4)).Replace(i.swash)
		p.b.WriteString(s)
		p.f(`<text x="%s" y="%s">%s</text>`, px(x+19), px(y), i.text)
		x += width
	}
}

func esc(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		// XML 1.0 knows no control characters, not even escaped ones.
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}
