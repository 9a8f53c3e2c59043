package ping

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"time"

	"sonde/probes"
)

// lines measures many targets at once, a packet to each of them, then the next
// to each, and writes "address k rtt_ns" for each reply. When ctx ends it sends
// no more and waits for what is under way. Flat out it is the kernel that takes
// the time, in the goroutine that sends, so that each processor gets an engine
// with its share of the targets.
func lines(ctx context.Context, job probes.Lines) error {
	made, err := newProbe(job.Spec, probes.Env{Log: job.Log})
	if err != nil {
		return err
	}
	p := made.(*probe)
	var engines []*engine
	defer func() {
		for _, e := range engines {
			e.Close()
		}
	}()
	more := func() error {
		e, err := open(job.Log, 0) // the runs themselves keep the rate
		if err == nil {
			engines = append(engines, e)
		}
		return err
	}
	if err := more(); err != nil {
		return err
	}
	wrong := 0
	to := make([]netip.Addr, 0, len(job.Targets))
	for _, target := range job.Targets {
		a, err := engines[0].names.Resolve(ctx, target, p.family)
		if err == nil {
			err = probes.OneHost(a)
		}
		if err == nil {
			_, err = indexOf(a.Zone())
		}
		if err == nil && len(engines[0].reachable([]netip.Addr{a})) == 0 {
			err = errors.Join(engines[0].err4, engines[0].err6)
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			job.Log.Error("not measured", "target", target, "error", err)
			wrong++
			continue
		}
		to = append(to, a)
	}
	shares := 1
	if job.Rate == 0 {
		shares = max(1, min(runtime.GOMAXPROCS(0), len(to)/least))
	}
	out := newLineWriter(job.Out)
	var waiting sync.WaitGroup
	runs := make([]run, len(to))
	rtts := make([]time.Duration, p.plan.count*len(to))
	for i := range shares {
		if i > 0 {
			if err := more(); err != nil {
				return errors.Join(err, out.close())
			}
		}
		e := engines[i]
		from, until := i*len(to)/shares, (i+1)*len(to)/shares
		if err := e.share(runs[from:until], rtts[from*p.plan.count:], to[from:until], p.plan, job.Rate, out.reply, waiting.Done); err != nil {
			return errors.Join(err, out.close())
		}
	}
	waiting.Add(len(runs))
	for i, e := range engines {
		list := make([]*run, 0, len(runs)/shares+1)
		for j := i * len(to) / shares; j < (i+1)*len(to)/shares; j++ {
			list = append(list, &runs[j])
		}
		defer context.AfterFunc(ctx, e.finish)()
		e.add(list...)
	}
	waiting.Wait()
	err = out.close()
	for i := range runs {
		if runs[i].err != nil {
			return errors.Join(err, runs[i].err)
		}
	}
	if err == nil && wrong > 0 {
		err = fmt.Errorf("%d of %d targets were not measured", wrong, len(job.Targets))
	}
	return err
}

// least is how many targets are worth an engine of their own.
const least = 1000

// share prepares runs that send a packet to each target in turn.
func (e *engine) share(runs []run, rtts []time.Duration, to []netip.Addr, plan plan, rate float64, each func(*run, int, time.Duration), ended func()) error {
	apart := time.Nanosecond // flat out, and still in order
	if rate > 0 {
		apart = max(time.Duration(float64(time.Second)/rate), 1)
	}
	plan.interval = apart * time.Duration(len(to))
	courses := map[bool]*course{}
	for i, a := range to {
		c := courses[a.Is4()]
		if c == nil {
			var err error
			if c, err = e.newCourse(plan, a.Is4()); err != nil {
				return err
			}
			c.each, c.ended = each, func(*run) { ended() }
			courses[a.Is4()] = c
		}
		scope, err := indexOf(a.Zone())
		if err != nil {
			return err
		}
		runs[i] = run{course: c, to: a, scope: uint32(scope), due: int64(apart) * int64(i), sample: sample{rtts: rtts[i*plan.count : (i+1)*plan.count : (i+1)*plan.count], latest: -1}}
	}
	return nil
}

// lineWriter takes lines from the engine's loop, which must not wait for who reads them.
type lineWriter struct {
	mu     sync.Mutex
	text   []byte
	closed bool
	some   *sync.Cond
	ended  chan error

	closing chan struct{}
}

// gathered is how often lines are written.
const gathered = 20 * time.Millisecond

func newLineWriter(w io.Writer) *lineWriter {
	l := &lineWriter{ended: make(chan error, 1), closing: make(chan struct{})}
	l.some = sync.NewCond(&l.mu)
	go func() { l.ended <- l.run(w) }()
	return l
}

func (l *lineWriter) run(w io.Writer) error {
	var spare []byte
	tick := time.NewTicker(gathered)
	defer tick.Stop()
	for {
		l.mu.Lock()
		for len(l.text) == 0 && !l.closed {
			l.some.Wait()
		}
		text, closed := l.text, l.closed
		l.text = spare[:0]
		l.mu.Unlock()
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("write the replies: %w", err)
		}
		if closed {
			return nil
		}
		spare = text
		select {
		case <-tick.C:
		case <-l.closing:
		}
	}
}

func (l *lineWriter) reply(r *run, k int, rtt time.Duration) {
	l.mu.Lock()
	first := len(l.text) == 0
	l.text = r.to.AppendTo(l.text)
	l.text = append(l.text, ' ')
	l.text = strconv.AppendInt(l.text, int64(k), 10)
	l.text = append(l.text, ' ')
	l.text = strconv.AppendInt(l.text, int64(rtt), 10)
	l.text = append(l.text, '\n')
	l.mu.Unlock()
	if first {
		l.some.Signal()
	}
}

// close writes what is left.
func (l *lineWriter) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.closing)
	l.some.Signal()
	return <-l.ended
}
