package traceroute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
		// All hops silent but for those that keep max_silent from ending it,
		// each asked twice. Hops begun together end together, so n hops
		// take at most (n + parallel - 1) / parallel rounds. One second is
		// for the name and the sending.
		LeastTime: "(max_ttl - first_ttl + parallel) * 2 * timeout / parallel + 1",
		Describe:  describe,
		Print:     printRow,
		Perf:      perf,
		Open: func(context.Context, probes.Env) (probes.Engine, error) {
			e, err := open()
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
		{Name: "method", Type: measure.EnumOption, Default: "icmp", Values: []string{"icmp", "udp"},
			Meaning: "what is sent: echo requests, or UDP to a port nobody listens on"},
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
		{Name: "size", Type: measure.IntOption, Default: leastSize, Min: leastSize, Max: 9000,
			Meaning: "bytes of a packet with its IP header"},
		{Name: "port", Type: measure.IntOption, Default: 33434, Min: 1, Max: 65535,
			Meaning: "destination port of method udp"},
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
	udp              bool
	firstTTL, maxTTL int
	probes           int
	timeout          time.Duration
	parallel         int
	maxSilent        int
	size             int
	port             int
	source           netip.Addr // zero: the kernel chooses
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
			udp:       o.Text("method") == "udp",
			firstTTL:  o.Int("first_ttl"),
			maxTTL:    o.Int("max_ttl"),
			probes:    o.Int("probes"),
			timeout:   o.Duration("timeout"),
			parallel:  o.Int("parallel"),
			maxSilent: o.Int("max_silent"),
			size:      o.Int("size"),
			port:      o.Int("port"),
			source:    o.Address("source").Unmap(),
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

// Run makes one run. See doc.go for what is data and what is an error.
func (p *probe) Run(ctx context.Context, t measure.Target) (measure.Result, error) {
	e := p.engine
	if e == nil {
		var err error
		if e, err = open(); err != nil {
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
	if err := e.family(to).err; err != nil {
		return measure.Result{}, err
	}
	r := &run{engine: e, path: newPath(p.plan, to), plan: p.plan, to: to,
		heard: make(chan heard, 2*p.plan.probes*(p.plan.maxTTL-p.plan.firstTTL+1))}
	if err := r.trace(ctx); err != nil {
		return measure.Result{}, fmt.Errorf("traceroute %s: %w", to, err)
	}
	t.Log.Debug("route found", "target", to, "hops", len(r.path.hops), "end", r.path.reason)
	// The column is an inet, which knows no zones.
	return measure.Result{Address: to.WithZone(""), Row: rowOf(p.plan, r.path)}, nil
}

// run is one route under way.
type run struct {
	engine *engine
	path   *path
	plan   plan
	to     netip.Addr
	source netip.Addr // once the kernel told it
	heard  chan heard
	out    []*probeSent // packets in order of sending and so of giving up, from the first one not done
}

// trace asks and listens until the path has ended.
func (r *run) trace(ctx context.Context) error {
	defer func() {
		for _, s := range r.out {
			r.engine.forget(s)
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		questions, ended := r.path.judge()
		if ended {
			return nil
		}
		for _, q := range append(questions, r.path.ask()...) {
			if err := r.send(ctx, q); err != nil {
				return err
			}
		}
		if len(r.out) == 0 {
			continue // the kernel refused them all, and they are known
		}
		timer.Reset(time.Until(r.out[0].at.Add(r.plan.timeout)))
		select {
		case h := <-r.heard:
			r.take(h)
		case <-timer.C:
			r.giveUp()
		case <-r.engine.Down():
			return fmt.Errorf("%w: the sockets were closed", probes.ErrLocal)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send makes and sends one packet. What the kernel refuses is known at once.
func (r *run) send(ctx context.Context, q question) error {
	if !r.source.IsValid() {
		source, err := sourceFor(ctx, r.to, r.plan.source)
		if err != nil {
			return r.refused(ctx, q, err)
		}
		r.source = source
	}
	f := flowOf(r.to, r.plan.udp, r.plan.port, q.slot)
	s := &probeSent{hop: q.hop, slot: q.slot, heard: r.heard}
	r.engine.expect(s, r.to, f)
	err := r.engine.write(packet{from: r.source, to: r.to, ttl: r.plan.firstTTL + q.hop,
		size: r.plan.size, flow: f, seq: s.name.seq, mark: r.engine.mark})
	if err != nil {
		r.engine.forget(s)
		return r.refused(ctx, q, err)
	}
	r.out = append(r.out, s)
	return nil
}

// refused notes the errno of a packet that our kernel would not send. Trouble
// that has nothing to do with the target is an error.
func (r *run) refused(ctx context.Context, q question, err error) error {
	var errno syscall.Errno
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, net.ErrClosed):
		return fmt.Errorf("%w: the sockets were closed", probes.ErrLocal)
	case !errors.As(err, &errno), errno == unix.EMFILE, errno == unix.ENFILE, errno == unix.ENOMEM, errno == unix.EBADF:
		return fmt.Errorf("%w: %w", probes.ErrLocal, err)
	case errno == unix.EADDRNOTAVAIL && r.plan.source.IsValid():
		return fmt.Errorf("%w: source %s is not an address of this host: %w", probes.ErrLocal, r.plan.source, err)
	}
	r.noteRefusal(q, unix.ErrnoName(errno))
	return nil
}

func (r *run) noteRefusal(q question, errno string) {
	r.path.errnos[errno]++
	r.path.learn(q, slot{kind: refused})
}

// take brings an answer to its place on the path.
func (r *run) take(h heard) {
	h.done = true
	q := question{h.hop, h.slot}
	if h.from == r.source && h.from != r.path.to && h.answer.kind == unreachable {
		r.noteRefusal(q, refusal(h.answer))
	} else {
		s := slot{kind: h.answer.kind, from: h.from, rtt: h.rtt, code: mark(h.answer), ttl: h.ttl, labels: h.answer.labels}
		if h.answer.portUnreachable() && r.plan.udp && h.from == r.path.to {
			s.kind, s.code = reply, ""
		}
		r.path.learn(q, s)
	}
	r.dropDone()
}

// giveUp makes those packets silent whose time is over.
func (r *run) giveUp() {
	for _, s := range r.out {
		if time.Since(s.at) < r.plan.timeout {
			break
		}
		// Answered at the last moment means: the answer lies in the channel.
		if r.engine.forget(s) {
			s.done = true
			r.path.learn(question{s.hop, s.slot}, slot{kind: silence})
		}
	}
	r.dropDone()
}

// dropDone takes from the front of the line what no longer needs watching.
func (r *run) dropDone() {
	for len(r.out) > 0 && r.out[0].done {
		r.out = r.out[1:]
	}
}
