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

// Sizes of a run. A payload of 24 bytes is what go-ping needs for its time
// stamp and its mark; 65,507 is the largest that one IPv4 packet carries.
const (
	leastSize = 24
	mostSize  = 65507
	mostCount = 10000
)

// rawAtOnce is how many runs may share raw sockets: with 200 at once, more
// than a third of the replies were lost on the way from the kernel to us.
// Datagram sockets hear only their own replies, and the limit there is the
// work of the process.
const (
	rawAtOnce      = 32
	datagramAtOnce = 256
)

// Tool describes ping. It asks the kernel which kind of socket this process
// may have, because the number of runs at once depends on it.
func Tool() probes.Tool {
	atOnce := rawAtOnce
	if kind, err := socketKind(); err == nil && kind == datagram {
		atOnce = datagramAtOnce
	}
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
		New: func(spec json.RawMessage, env probes.Env) (probes.Probe, error) {
			return newProbe(spec, atOnce)
		},
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
		{Name: "source", Type: measure.AddressOption,
			Meaning: "address of this host to send from; not set: the kernel chooses"},
		{Name: "family", Type: measure.EnumOption, Default: "auto", Values: []string{"auto", "4", "6"},
			Meaning: "IPv4, IPv6, or what the name resolves to first"},
	}
}

func metrics() []measure.Metric {
	return []measure.Metric{
		{Name: "loss_pct", Column: "loss_pct", Unit: "%", Meaning: "packets without a reply"},
		{Name: "rtt_min_ms", Column: "rtt_min_ms", Unit: "ms", Meaning: "least round-trip time of a run"},
		{Name: "rtt_median_ms", Column: "rtt_median_ms", Unit: "ms", Meaning: "median round-trip time of a run"},
		{Name: "rtt_mean_ms", Column: "rtt_mean_ms", Unit: "ms", Meaning: "mean round-trip time of a run"},
		{Name: "rtt_max_ms", Column: "rtt_max_ms", Unit: "ms", Meaning: "greatest round-trip time of a run"},
		{Name: "rtt_stddev_ms", Column: "rtt_stddev_ms", Unit: "ms", Meaning: "standard deviation (n-1) of the round-trip times of a run"},
	}
}

// plan is one run as the wire is to make it.
type plan struct {
	to       netip.Addr
	source   netip.Addr // zero: the kernel chooses
	count    int
	size     int
	interval time.Duration
	timeout  time.Duration
	ttl      int
}

type probe struct {
	plan   plan
	family string // auto, 4, 6
	atOnce int
}

func newProbe(spec json.RawMessage, atOnce int) (probes.Probe, error) {
	o, err := measure.ReadOptions(options(), spec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", probes.ErrSpec, err)
	}
	p := &probe{
		plan: plan{
			source:   o.Address("source").Unmap(),
			count:    o.Int("count"),
			size:     o.Int("size"),
			interval: o.Duration("interval"),
			timeout:  o.Duration("timeout"),
			ttl:      o.Int("ttl"),
		},
		family: o.Text("family"),
		atOnce: atOnce,
	}
	if p.family, err = probes.SourceFamily(p.plan.source, p.family); err != nil {
		return nil, err
	}
	return p, nil
}

// Run makes one run. See doc.go for what is data and what is an error.
func (p *probe) Run(ctx context.Context, t measure.Target) (measure.Result, error) {
	to, err := probes.Resolve(ctx, t.Address, p.family)
	if err != nil {
		return measure.Result{}, err
	}
	kind, err := socketKind()
	if err != nil {
		return measure.Result{}, err
	}
	if kind == raw && p.atOnce > rawAtOnce {
		// Somebody took the permission away while we ran. Going on with so
		// many raw sockets would count our own trouble as the target's loss.
		return measure.Result{}, fmt.Errorf("%w: %s; restart the worker to go on with fewer runs at once", probes.ErrLocal, howToAllow)
	}
	plan := p.plan
	plan.to = to
	s, err := send(ctx, plan, kind, t.Log)
	if err != nil {
		return measure.Result{}, fmt.Errorf("ping %s: %w", to, err)
	}
	// The column is an inet, which knows no zones.
	return measure.Result{Address: to.WithZone(""), Row: rowOf(plan, s)}, nil
}
