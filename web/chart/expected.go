package chart

import (
	"bytes"
	"math"
	"time"
)

// Expected is what a detector expected in a stretch of time; NaN where it did not say.
type Expected struct {
	From, Until         time.Time
	Forecast, Low, High float64
}

// expectedAt is what was expected at an instant, nil when nobody said.
func (c Chart) expectedAt(at time.Time) *Expected {
	for i := range c.Expected {
		if e := &c.Expected[i]; !at.IsZero() && !at.Before(e.From) && at.Before(e.Until) && !math.IsNaN(e.Forecast) {
			return e
		}
	}
	return nil
}

// expected draws the band behind the data; the forecast comes before them.
func (p *panel) expected() {
	var band, edges bytes.Buffer
	line := &p.foretold
	var lastLine, lastBand Expected
	for _, e := range p.c.Expected {
		if p.outside(e.From, e.Until) {
			continue
		}
		x0, x1 := p.x(e.From), max(p.x(e.Until), p.x(e.From)+1)
		if !math.IsNaN(e.Low) && !math.IsNaN(e.High) {
			rect(&band, x0, p.y(e.High), x1, p.y(e.Low))
			for _, at := range [][2]float64{{lastBand.High, e.High}, {lastBand.Low, e.Low}} {
				p.step(&edges, lastBand.Until, e.From, at[0], at[1], x0, x1)
			}
			lastBand = e
		}
		if !math.IsNaN(e.Forecast) {
			p.step(line, lastLine.Until, e.From, lastLine.Forecast, e.Forecast, x0, x1)
			lastLine = e
		}
	}
	p.hasBand, p.hasForecast = band.Len() > 0, line.Len() > 0
	p.path("band", &band)
	p.path("edge", &edges)
}

// step draws one step of a line, joined with the step before only where that ends here.
func (p *panel) step(b *bytes.Buffer, ended, begins time.Time, before, now, x0, x1 float64) {
	b.WriteString("M" + px(x0) + " ")
	if ended.Equal(begins) && !ended.IsZero() && before != now {
		b.WriteString(px(p.y(before)) + "V")
	}
	b.WriteString(px(p.y(now)) + "H" + px(x1))
}

// began marks where the trouble began.
func (p *panel) began() {
	if p.c.Began.IsZero() || p.c.Began.Before(p.c.From) || p.c.Began.After(p.c.Until) {
		return
	}
	x := p.x(p.c.Began)
	at, anchor := x+5, "start"
	if x > p.right-50 {
		at, anchor = x-5, "end"
	}
	p.f(`<path class="began" d="M%s %sV%s"/><path class="beganhead" d="M%s %sl-5 -7h10z"/>`, px(x), px(p.plotTop), px(p.plotBottom), px(x), px(p.plotTop+6))
	p.f(`<text class="begantext" x="%s" y="%s" text-anchor="%s">began</text>`, px(at), px(p.plotBottom-5), anchor)
}
