package web

import (
	"bytes"
	"fmt"
	"net/netip"
	"sort"
	"time"

	"sonde/internal/store"
)

const (
	gridDays   = 7   // of which a report has the grid, today among them
	reportHops = 500 // of which a report has pages at most: those that most pairs cross
)

// pick is what a report tells of.
func (w *reporter) pick() pick { return pick{Node: w.o.Node} }

// hopsOf finds the hops that are crossed now, those that most pairs cross first.
func (w *reporter) hopsOf(r *store.Reading, specs []int64) error {
	seen, err := r.Seen(w.ctx, specs, w.now.Add(-24*time.Hour), 1)
	if err != nil {
		return err
	}
	pairs := map[netip.Addr]int{}
	for _, s := range seen {
		here := map[netip.Addr]bool{}
		for _, list := range append(s.Addresses, s.Hops) {
			for _, a := range list {
				if a != nil && !here[*a] {
					here[*a] = true
					pairs[*a]++
				}
			}
		}
	}
	all := make([]netip.Addr, 0, len(pairs))
	for a := range pairs {
		all = append(all, a)
	}
	sort.Slice(all, func(i, j int) bool {
		if pairs[all[i]] != pairs[all[j]] {
			return pairs[all[i]] > pairs[all[j]]
		}
		return all[i].Less(all[j])
	})
	w.hopList = all[:min(len(all), reportHops)]
	for _, a := range w.hopList {
		w.have.hops[a] = true
	}
	return nil
}

// grids writes the grids of the last days with their numbers.
func (w *reporter) grids() error {
	for back := range gridDays {
		name := dayNear(w.now, -back, w.zone)
		day, err := dayOf(name, w.now, w.zone)
		if err != nil {
			return err
		}
		for page, last := 1, 1; page <= last; page++ {
			err := w.page("../", gridFile(name, page), "grid.html", func(q request) (any, error) {
				v, err := q.grid(day, w.pick(), page)
				last = v.Pages
				return v, err
			})
			if err != nil {
				return err
			}
		}
		for _, kind := range []string{"csv", "json"} {
			var b bytes.Buffer
			if err := w.read("../", func(q request) error { return q.gridFile(&b, day, w.pick(), kind) }); err != nil && !isNone(err) {
				return err
			}
			if err := w.file("grid/"+name+"."+kind, b.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// hops writes the pages of hops and their charts.
func (w *reporter) hops() error {
	for _, a := range w.hopList {
		win, err := spanWindow(defaultSpan, w.now)
		if err != nil {
			return err
		}
		win.Default = true
		err = w.page("../", hopFile(a), "hop.html", func(q request) (any, error) {
			v, err := q.hop(a, win)
			if err != nil || v.Chart == nil {
				return v, err
			}
			for kind := range chartTypes {
				var b bytes.Buffer
				if err := writeChart(&b, v.Chart.C, kind); err != nil {
					return v, err
				}
				if err := w.file((files{"", w.have}).HopChart(a, win, kind), b.Bytes()); err != nil {
					return v, err
				}
			}
			return v, nil
		})
		if err != nil {
			return fmt.Errorf("hop %s: %w", a, err)
		}
	}
	return nil
}

// topology writes the picture and its numbers.
func (w *reporter) topology() error {
	return w.page("", "topology.html", "topology.html", func(q request) (any, error) {
		v, err := q.topology(w.pick(), topologySpan)
		if err != nil {
			return v, err
		}
		for kind := range chartTypes {
			var b bytes.Buffer
			if err := writeTopology(&b, v.Layout, kind); err != nil {
				return v, err
			}
			if err := w.file("topology."+kind, b.Bytes()); err != nil {
				return v, err
			}
		}
		return v, nil
	})
}
