package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"sonde/internal/store"
)

// ReportOptions says what a report consists of.
type ReportOptions struct {
	Dir     string
	Node    string // only this node; "" for all
	Version string
}

// Written says what a report consists of.
type Written struct {
	Pages int
	Nodes int
}

// reportTime bounds a whole report.
const reportTime = time.Hour

// Report writes the pages as files. Each file is written under a temporary name
// and renamed, so that a reader sees the old one or the new one. All pages but
// the charts' numbers tell of one instant.
//
// Files of nodes that are no more stay where they are.
func Report(ctx context.Context, pages *store.Pages, o ReportOptions) (Written, error) {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return Written{}, fmt.Errorf("report: %w", err)
	}
	w := &reporter{ctx: ctx, pages: pages, o: o, have: &inventory{node: o.Node, nodes: map[string]bool{}, specs: map[int64]bool{}, alerts: map[int64]bool{}, days: map[string]bool{}, hops: map[netip.Addr]bool{}}}
	if err := w.all(); err != nil {
		return w.done, fmt.Errorf("report to %s: %w", o.Dir, err)
	}
	return w.done, nil
}

type reporter struct {
	ctx   context.Context
	pages *store.Pages
	o     ReportOptions
	have  *inventory
	zone  *time.Location
	now   time.Time
	done  Written

	hopList []netip.Addr // that have pages
}

// read looks at the database in a snapshot of its own: one that lasts as long as
// a report of ten thousand nodes would hold up the cleaning of tables.
func (w *reporter) read(up string, f func(q request) error) error {
	return w.pages.AsOf(w.now).Read(w.ctx, func(r *store.Reading) error {
		return f(request{ctx: w.ctx, r: r, base: base{L: files{up, w.have}, Now: w.now, Zone: w.zone, Static: true, Version: w.o.Version}})
	})
}

func (w *reporter) all() error {
	var nodes []string
	var routes []int64
	var open, closed, shadow []store.PageAlert
	err := w.pages.Read(w.ctx, func(r *store.Reading) (err error) {
		w.now = r.Now
		if w.zone, err = r.Zone(w.ctx); err != nil {
			return err
		}
		list, err := r.Nodes(w.ctx)
		if err != nil {
			return err
		}
		for _, n := range list {
			if w.o.Node == "" || n.Name == w.o.Node {
				nodes = append(nodes, n.Name)
				w.have.nodes[n.Name] = true
			}
		}
		if len(nodes) == 0 && w.o.Node != "" {
			return fmt.Errorf("node %q: %w", w.o.Node, store.ErrNone)
		}
		specs, err := r.Specs(w.ctx, w.o.Node)
		if err != nil {
			return err
		}
		for _, s := range specs {
			if s.Table == routeTable {
				w.have.specs[s.ID] = true
				routes = append(routes, s.ID)
			}
		}
		if err := w.hopsOf(r, routes); err != nil {
			return err
		}
		if w.o.Node != "" {
			open, err = r.NodeAlerts(w.ctx, w.o.Node, closedPerPage)
			return err
		}
		if open, err = r.OpenAlerts(w.ctx); err != nil {
			return err
		}
		if closed, err = r.ClosedAlerts(w.ctx, 0, closedPerPage); err != nil {
			return err
		}
		shadow, err = r.ShadowAlerts(w.ctx, closedPerPage)
		return err
	})
	if err != nil {
		return err
	}
	for _, a := range slices.Concat(open, closed, shadow) {
		w.have.alerts[a.ID] = true
	}
	w.have.today = dayNear(w.now, 0, w.zone)
	for back := range gridDays {
		w.have.days[dayNear(w.now, -back, w.zone)] = true
	}
	if err := w.file("style.css", []byte(Style)); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := w.node(n); err != nil {
			return err
		}
	}
	for _, id := range routes {
		if err := w.page("../", fmt.Sprintf("routes/%d.html", id), "routes.html", func(q request) (any, error) { return q.routes(id, routesAsk{span: routeSpan}) }); err != nil {
			return err
		}
	}
	if err := w.grids(); err != nil {
		return err
	}
	if err := w.hops(); err != nil {
		return err
	}
	if err := w.topology(); err != nil {
		return err
	}
	ids := make([]int64, 0, len(w.have.alerts))
	for id := range w.have.alerts {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	for _, id := range ids {
		err := w.page("../", fmt.Sprintf("alert/%d.html", id), "alert.html", func(q request) (any, error) {
			v, err := q.alert(id)
			return v, errors.Join(err, w.charts(v.Charts))
		})
		if err != nil {
			return err
		}
	}
	return w.tops()
}

// tops writes the pages that lead to the others, last: what they name is there.
func (w *reporter) tops() error {
	err := w.page("", "alerts.html", "alerts.html", func(q request) (any, error) {
		v, err := q.alerts(0)
		if w.o.Node != "" {
			v.Open, v.Closed, v.Shadow = ofNode(v.Open, w.o.Node), ofNode(v.Closed, w.o.Node), nil
		}
		return v, err
	})
	if err != nil {
		return err
	}
	if err := w.page("", "daemons.html", "daemons.html", func(q request) (any, error) { return q.daemons() }); err != nil {
		return err
	}
	if err := w.page("", "mediums.html", "mediums.html", func(q request) (any, error) { return q.mediums() }); err != nil {
		return err
	}
	for page, last := 1, 1; page <= last; page++ {
		err := w.page("", overviewFile(page), "overview.html", func(q request) (any, error) {
			v, err := q.overview(page, "", "")
			last = v.Pages
			if w.o.Node != "" && err == nil {
				return w.onlyNode(q)
			}
			return v, err
		})
		if err != nil {
			return err
		}
		if w.o.Node != "" {
			break
		}
	}
	return nil
}

// onlyNode is the overview of a report of one node.
func (w *reporter) onlyNode(q request) (overviewView, error) {
	v := overviewView{base: q.titled("Overview", "overview"), Page: 1}
	n, err := q.r.Node(q.ctx, w.o.Node)
	if err != nil {
		return v, err
	}
	specs, err := q.r.Specs(q.ctx, w.o.Node)
	if err != nil {
		return v, err
	}
	alerts, err := q.r.NodeAlerts(q.ctx, w.o.Node, closedPerPage)
	if err != nil {
		return v, err
	}
	return v, v.fill(nodeRows([]store.PageNode{n}, specViews(specs, alerts, q.Now), alerts))
}

func ofNode(list []store.PageAlert, node string) []store.PageAlert {
	var kept []store.PageAlert
	for _, a := range list {
		if a.Node == node {
			kept = append(kept, a)
		}
	}
	return kept
}

// node writes one page for each range, and the charts as files.
func (w *reporter) node(name string) error {
	w.done.Nodes++
	for _, span := range spans {
		win, err := spanWindow(span, w.now)
		if err != nil {
			return err
		}
		err = w.page("../", nodeFile(name, span), "node.html", func(q request) (any, error) {
			v, err := q.node(name, win, 0)
			return v, errors.Join(err, w.charts(v.Charts))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// charts writes the charts of a page and their numbers, which the page links to.
func (w *reporter) charts(list []chartView) error {
	for _, c := range list {
		for kind := range chartTypes {
			var b bytes.Buffer
			if err := writeChart(&b, c.C, kind); err != nil {
				return err
			}
			if err := w.file(chartFile(c.Spec.ID, c.Window, kind), b.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// page makes one page and writes it. What vanished meanwhile is left out.
func (w *reporter) page(up, name, template string, make func(q request) (any, error)) error {
	var b bytes.Buffer
	err := w.read(up, func(q request) error {
		v, err := make(q)
		if err != nil {
			return err
		}
		return write(&b, template, v)
	})
	if isNone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	w.done.Pages++
	return w.file(name, b.Bytes())
}

// file writes under a temporary name beside the place and renames.
func (w *reporter) file(name string, content []byte) error {
	path := filepath.Join(w.o.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".sonde-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
