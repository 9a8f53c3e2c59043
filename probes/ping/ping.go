package ping

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"sonde/internal/measure"
	"sonde/probes"
)

// 65,507 bytes of payload are the most that one IPv4 packet carries.
const (
	mostSize  = 65507
	mostCount = 10000
	usualTTL  = 64

	mostAddresses = 16 // of one name
)

// atOnce bounds the memory of a worker; the engine bears more.
const atOnce = 10000

// Tool describes ping.
func Tool() probes.Tool {
	return probes.Tool{
		Name:      "ping",
		Meaning:   "loss and round-trip time by ICMP echo",
		Options:   options(),
		Table:     "pingdata",
		Columns:   columns(),
		Metrics:   metrics(),
		TimeToRun: 30 * time.Second,
		LeastTime: "(count - 1) * interval + timeout",
		AtOnce:    atOnce,
		Describe:  describe,
		Print:     printRow,
		Perf:      perf,
		Open: func(ctx context.Context, env probes.Env) (probes.Engine, error) {
			return open(env.Log, usualPace)
		},
		New:   newProbe,
		Lines: lines,
	}
}

func options() []measure.Option {
	return []measure.Option{
		{Name: "count", Type: measure.IntOption, Default: 10, Min: 1, Max: mostCount,
			Meaning: "packets of one run"},
		{Name: "size", Type: measure.IntOption, Default: 56, Min: leastSize, Max: mostSize,
			Meaning: "payload of a packet in bytes; with the ICMP and IPv4 headers a packet is 28 bytes longer"},
		{Name: "interval", Type: measure.DurationOption, Default: "1s", Min: "10ms", Max: "1m",
			Meaning: "time from one packet to the next"},
		{Name: "timeout", Type: measure.DurationOption, Default: "2s", Min: "10ms", Max: "1m",
			Meaning: "how long to wait for replies after the last packet"},
		{Name: "ttl", Type: measure.IntOption, Default: 64, Min: 1, Max: 255,
			Meaning: "time to live (hop limit) of the packets"},
		{Name: "dscp", Type: measure.IntOption, Default: 0, Min: 0, Max: 63,
			Meaning: "differentiated services code point of the packets (RFC 2474): 46 is EF"},
		{Name: "source", Type: measure.AddressOption,
			Meaning: "address of this host to send from; not set: the kernel chooses"},
		{Name: "family", Type: measure.EnumOption, Default: "auto", Values: []string{"auto", "4", "6"},
			Meaning: "IPv4, IPv6, or what the name resolves to first"},
		{Name: "addresses", Type: measure.EnumOption, Default: "one", Values: []string{"one", "each"},
			Meaning: "of a name with several addresses measure one, or each of them with count packets"},
		{Name: "device", Type: measure.TextOption,
			Meaning: "interface or VRF to send through; not set: the kernel chooses"},
	}
}

func metrics() []measure.Metric {
	return []measure.Metric{
		{Name: "loss_pct", Column: "loss_pct", Unit: "%", Meaning: "packets without a reply"},
		{Name: "rtt_min_ms", Column: "rtt_min_ms", Unit: "ms", Meaning: "least round-trip time of a run"},
		{Name: "rtt_median_ms", Column: "rtt_median_ms", Unit: "ms", Meaning: "median round-trip time of a run"},
		{Name: "rtt_mean_ms", Column: "rtt_mean_ms", Unit: "ms", Meaning: "mean round-trip time of a run"},
		{Name: "rtt_max_ms", Column: "rtt_max_ms", Unit: "ms", Meaning: "greatest round-trip time of a run"},
		{Name: "ipdv_mean_ms", Column: "ipdv_mean_ms", Unit: "ms", Meaning: "mean difference between the round-trip times of successive answers (PingER's IPD)"},
		{Name: "rtt_stddev_ms", Column: "rtt_stddev_ms", Unit: "ms", Meaning: "standard deviation (n-1) of the round-trip times of a run"},
	}
}

// plan is one run as the engine is to make it.
type plan struct {
	to       netip.Addr
	source   netip.Addr // zero: the kernel chooses
	device   string     // empty: the kernel chooses
	count    int
	size     int
	interval time.Duration
	timeout  time.Duration
	ttl      int
	dscp     int
}

type probe struct {
	plan   plan
	family string // auto, 4, 6
	each   bool   // of a name's addresses
	engine *engine
}

func newProbe(spec json.RawMessage, env probes.Env) (probes.Probe, error) {
	o, err := measure.ReadOptions(options(), spec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", probes.ErrSpec, err)
	}
	p := &probe{
		plan: plan{
			source:   o.Address("source").Unmap(),
			device:   o.Text("device"),
			count:    o.Int("count"),
			size:     o.Int("size"),
			interval: o.Duration("interval"),
			timeout:  o.Duration("timeout"),
			ttl:      o.Int("ttl"),
			dscp:     o.Int("dscp"),
		},
		family: o.Text("family"),
		each:   o.Text("addresses") == "each",
	}
	if p.family, err = probes.SourceFamily(p.plan.source, p.family); err != nil {
		return nil, err
	}
	p.engine, _ = env.Engine.(*engine) // there is none yet when only the spec is checked
	return p, nil
}

// Run makes one run. See doc.go for what is data and what is an error.
func (p *probe) Run(ctx context.Context, t measure.Target) (measure.Result, error) {
	if p.engine == nil {
		return measure.Result{}, fmt.Errorf("%w: ping runs without its engine", probes.ErrLocal)
	}
	to, err := p.engine.names.ResolveAll(ctx, t.Address, p.family)
	if err != nil {
		return measure.Result{}, err
	}
	if !p.each {
		to = to[:1]
	} else if there := p.engine.reachable(to); len(there) > 0 {
		to = there
	}
	to = to[:min(len(to), mostAddresses)]
	plans := make([]plan, len(to))
	for i, a := range to {
		if err := probes.OneHost(a); err != nil {
			return measure.Result{}, err
		}
		plans[i] = p.plan
		plans[i].to = a
	}
	s, err := p.engine.measure(ctx, plans...)
	if err != nil {
		return measure.Result{}, fmt.Errorf("ping %s: %w", to[0], err)
	}
	// The column is an inet, which knows no zones.
	return measure.Result{Address: to[0].WithZone(""), Row: rowOf(plans, s)}, nil
}
