package traceroute

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sonde/internal/measure"
	"sonde/probes"
)

// Tool describes traceroute.
func Tool() probes.Tool {
	return probes.Tool{
		Name:      "traceroute",
		Meaning:   "the routers on the way to a target, and whether it is reached",
		Options:   options(),
		Table:     "routedata",
		Columns:   columns(),
		Metrics:   metrics(),
		TimeToRun: 30 * time.Second,
		AtOnce:    500,
		// All hops silent but for those that keep max_silent from ending it,
		// each asked twice. Hops begun together end together, so n hops
		// take at most (n + parallel - 1) / parallel rounds. One second is
		// for the name and the sending.
		LeastTime: "(max_ttl - first_ttl + parallel) * 2 * timeout / parallel + 1",
		Describe:  describe,
		Print:     printRow,
		Perf:      perf,
		Open: func(_ context.Context, env probes.Env) (probes.Engine, error) {
			e, err := open(env.Log)
			if err != nil {
				return nil, err
			}
			return e, nil
		},
		New: func(spec json.RawMessage, env probes.Env) (probes.Probe, error) {
			return newProbe(spec, env)
		},
		Lines: lines,
	}
}

func options() []measure.Option {
	return []measure.Option{
		{Name: "method", Type: measure.EnumOption, Default: "icmp", Values: methods,
			Meaning: "what is sent: echo requests, UDP to a port nobody listens on, or TCP SYN to the port of a service"},
		{Name: "first_ttl", Type: measure.IntOption, Default: 1, Min: 1, Max: 255,
			Meaning: "time to live (hop limit) to begin with; higher leaves out the first hops"},
		{Name: "max_ttl", Type: measure.IntOption, Default: 30, Min: 1, Max: 255,
			Meaning: "time to live (hop limit) to end with"},
		{Name: "probes", Type: measure.IntOption, Default: 3, Min: 1, Max: 10,
			Meaning: "packets per hop, each of a flow of its own; the first flow is the route"},
		{Name: "timeout", Type: measure.DurationOption, Default: "2s", Min: "10ms", Max: "1m",
			Meaning: "how long to wait for the answer to a packet"},
		{Name: "parallel", Type: measure.IntOption, Default: 6, Min: 1, Max: 64,
			Meaning: "hops asked at the same time"},
		{Name: "max_silent", Type: measure.IntOption, Default: 5, Min: 1, Max: 255,
			Meaning: "silent hops in a row that end the run"},
		{Name: "share", Type: measure.DurationOption, Default: "30s", Min: "0s", Max: "10m",
			Meaning: "how long a router that all targets have behind the same hop is not asked again by each run; 0s: every run asks every hop"},
		{Name: "size", Type: measure.IntOption, Default: leastSize, Min: leastSize, Max: 9000,
			Meaning: "bytes of a packet with its IP header; a SYN is smaller when this is not set"},
		{Name: "port", Type: measure.IntOption, Min: 1, Max: 65535,
			Meaning: "destination port; not set: 33434 for udp, 443 for tcp"},
		{Name: "paths", Type: measure.EnumOption, Default: "one", Values: []string{"one", "all"},
			Meaning: "all: look for every load-balanced path, with as many flows as that takes"},
		{Name: "confidence", Type: measure.FloatOption, Default: 0.95, Min: 0.5, Max: 0.999,
			Meaning: "of paths all: how sure to be that none was missed"},
		{Name: "mtu", Type: measure.BoolOption, Default: false,
			Meaning: "find the largest packet that reaches the target whole (path MTU)"},
		{Name: "source", Type: measure.AddressOption,
			Meaning: "address of this host to send from; not set: the kernel chooses"},
		{Name: "family", Type: measure.EnumOption, Default: "auto", Values: []string{"auto", "4", "6"},
			Meaning: "IPv4, IPv6, or what the name resolves to first"},
	}
}

func metrics() []measure.Metric {
	return []measure.Metric{
		{Name: "hop_count", Column: "hop_count", Unit: "1", Meaning: "hops asked until the route ended"},
		{Name: "rtt_ms", Column: "rtt_ms", Unit: "ms", Meaning: "median round-trip time to the target"},
		{Name: "reached", Column: "reached", Unit: "1", Meaning: "1 when the target answered, 0 when not"},
	}
}

// plan is one run as the options want it.
type plan struct {
	method           method
	firstTTL, maxTTL int
	probes           int
	timeout          time.Duration
	parallel         int
	maxSilent        int
	share            time.Duration
	size             int
	port             int
	source           netip.Addr // zero: the kernel chooses
	all              bool       // look for every path
	confidence       float64
	mtu              bool
}

type probe struct {
	plan   plan
	family string // auto, 4, 6
	engine *engine
}

func newProbe(spec json.RawMessage, env probes.Env) (*probe, error) {
	o, err := measure.ReadOptions(options(), spec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", probes.ErrSpec, err)
	}
	p := &probe{
		plan: plan{
			method:     methodOf(o),
			firstTTL:   o.Int("first_ttl"),
			maxTTL:     o.Int("max_ttl"),
			probes:     o.Int("probes"),
			timeout:    o.Duration("timeout"),
			parallel:   o.Int("parallel"),
			maxSilent:  o.Int("max_silent"),
			share:      o.Duration("share"),
			size:       o.Int("size"),
			port:       portOf(o),
			source:     o.Address("source").Unmap(),
			all:        o.Text("paths") == "all",
			confidence: o.Float("confidence"),
			mtu:        o.Bool("mtu"),
		},
		family: o.Text("family"),
	}
	if p.plan.firstTTL > p.plan.maxTTL {
		return nil, fmt.Errorf("%w: option \"first_ttl\" is %d and must not pass option \"max_ttl\", %d", probes.ErrSpec, p.plan.firstTTL, p.plan.maxTTL)
	}
	if p.family, err = probes.SourceFamily(p.plan.source, p.family); err != nil {
		return nil, err
	}
	if env.Engine != nil {
		e, ok := env.Engine.(*engine)
		if !ok {
			return nil, fmt.Errorf("%w: traceroute was given the engine of another tool, %T", probes.ErrLocal, env.Engine)
		}
		p.engine = e
	}
	return p, nil
}

func methodOf(o measure.Options) method { return method(slices.Index(methods, o.Text("method"))) }

func portOf(o measure.Options) int {
	switch port := o.Int("port"); {
	case port > 0:
		return port
	case methodOf(o) == tcp:
		return 443
	}
	return 33434
}

// Run makes one run. See doc.go for what is data and what is an error.
func (p *probe) Run(ctx context.Context, t measure.Target) (measure.Result, error) {
	e := p.engine
	if e == nil {
		var err error
		if e, err = open(t.Log); err != nil {
			return measure.Result{}, err
		}
		defer e.Close()
	}
	to, err := e.names.Resolve(ctx, t.Address, p.family)
	if err != nil {
		return measure.Result{}, err
	}
	if err := probes.OneHost(to); err != nil {
		return measure.Result{}, err
	}
	if err := e.ready(to, p.plan.method); err != nil {
		return measure.Result{}, err
	}
	r := newRun(e, p.plan, to)
	if source, err := sourceFor(ctx, to, p.plan.source); err == nil {
		r.source = source
	}
	if err := r.trace(ctx); err != nil {
		return measure.Result{}, fmt.Errorf("traceroute %s: %w", to, err)
	}
	t.Log.Debug("route found", "target", to, "hops", r.path.sure, "end", r.path.reason)
	// The column is an inet, which knows no zones.
	return measure.Result{Address: to.WithZone(""), Row: rowOf(p.plan, r.path)}, nil
}
