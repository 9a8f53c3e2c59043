package plan

import (
	"time"
)

// Calendar holds many specs and gives what is due, in order of time. It is a
// heap by next instant: what is not due costs nothing. It is not safe for use
// by several goroutines.
type Calendar struct {
	heap  []entry
	place map[int64]int // spec → index in heap
}

type entry struct {
	next int64 // microseconds
	spec Spec
}

// NewCalendar gives an empty calendar.
func NewCalendar() *Calendar { return &Calendar{place: map[int64]int{}} }

// Len is the number of specs that will run some day.
func (c *Calendar) Len() int { return len(c.heap) }

// Put adds a spec, or replaces the one of that ID. Instants up to and with
// after count as planned: for a spec read at start that is the high-water mark,
// for a new one it is Since, because the mark already lies a few seconds ahead
// of the soon run. The error says why the spec has no instants; it is not in
// the calendar then.
func (c *Calendar) Put(s Spec, after time.Time) error {
	if err := Check(s); err != nil {
		c.Remove(s.ID)
		return err
	}
	at, ok := next(&s, after.UnixMicro())
	if !ok {
		c.Remove(s.ID)
		return nil
	}
	i, known := c.place[s.ID]
	if !known {
		i = len(c.heap)
		c.heap = append(c.heap, entry{})
	}
	c.heap[i] = entry{at, s}
	c.place[s.ID] = i
	c.fix(i)
	return nil
}

// Remove takes a spec out; one that is not there is no matter.
func (c *Calendar) Remove(id int64) {
	i, known := c.place[id]
	if !known {
		return
	}
	last := len(c.heap) - 1
	c.swap(i, last)
	c.heap[last] = entry{}
	c.heap = c.heap[:last]
	delete(c.place, id)
	if i < last {
		c.fix(i)
	}
}

// Get gives the spec of that ID.
func (c *Calendar) Get(id int64) (Spec, bool) {
	i, known := c.place[id]
	if !known {
		return Spec{}, false
	}
	return c.heap[i].spec, true
}

// Next is the earliest instant that is not planned yet.
func (c *Calendar) Next() (time.Time, bool) {
	if len(c.heap) == 0 {
		return time.Time{}, false
	}
	return instant(c.heap[0].next), true
}

// Through gives every instant up to and with to that was not planned yet, and
// counts it as planned. Instants come in ascending order; due must not change
// the calendar.
func (c *Calendar) Through(to time.Time, due func(id int64, at time.Time)) {
	last := to.UnixMicro()
	for len(c.heap) > 0 && c.heap[0].next <= last {
		e := &c.heap[0]
		due(e.spec.ID, instant(e.next))
		at, ok := next(&e.spec, e.next)
		if !ok {
			c.Remove(e.spec.ID)
			continue
		}
		e.next = at
		c.down(0)
	}
}

// Jump counts everything up to and with at as planned and nothing after it:
// over a sleep, whose instants Count tells, or back when the clock was.
func (c *Calendar) Jump(at time.Time) {
	after := at.UnixMicro()
	kept := c.heap[:0]
	for _, e := range c.heap {
		var ok bool
		if e.next, ok = next(&e.spec, after); ok {
			kept = append(kept, e)
		} else {
			delete(c.place, e.spec.ID)
		}
	}
	clear(c.heap[len(kept):])
	c.heap = kept
	for i := range c.heap {
		c.place[c.heap[i].spec.ID] = i
	}
	for i := len(c.heap)/2 - 1; i >= 0; i-- {
		c.down(i)
	}
}

// All calls each with every spec, in no order; each must not change the calendar.
func (c *Calendar) All(each func(s Spec)) {
	for i := range c.heap {
		each(c.heap[i].spec)
	}
}

// The heap is written out because container/heap would box an entry at each
// push, and because equal instants must come in the order of ids.
func (c *Calendar) less(i, j int) bool {
	a, b := &c.heap[i], &c.heap[j]
	return a.next < b.next || a.next == b.next && a.spec.ID < b.spec.ID
}

func (c *Calendar) swap(i, j int) {
	c.heap[i], c.heap[j] = c.heap[j], c.heap[i]
	c.place[c.heap[i].spec.ID] = i
	c.place[c.heap[j].spec.ID] = j
}

func (c *Calendar) fix(i int) {
	if !c.down(i) {
		c.up(i)
	}
}

func (c *Calendar) up(i int) {
	for i > 0 && c.less(i, (i-1)/2) {
		c.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (c *Calendar) down(i int) bool {
	from := i
	for {
		child := 2*i + 1
		if child >= len(c.heap) {
			break
		}
		if child+1 < len(c.heap) && c.less(child+1, child) {
			child++
		}
		if !c.less(child, i) {
			break
		}
		c.swap(i, child)
		i = child
	}
	return i > from
}
