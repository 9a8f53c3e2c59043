package notifier

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sonde/internal/store"
)

const (
	tooOld    = time.Hour      // older than this it is told in a digest
	daysWorth = 12 * time.Hour // a daily message later than this says nothing any more
)

// rest before a climb that failed altogether begins again.
func rest(rounds int) time.Duration {
	steps := []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute}
	if rounds <= len(steps) {
		return steps[max(rounds, 1)-1]
	}
	return 10 * time.Minute
}

// actions is what is to be done now.
type actions struct {
	finish []finish
	begin  []begin
	digest []digest
	wake   time.Time // when the plan changes by itself; zero if never
}

type finish struct {
	notice  int64
	why     string
	planned bool
}

// begin tries a step: for the first time, or again.
type begin struct {
	notice store.Notice
	step   store.Step
	again  *store.Delivery
}

// digest tells a recipient of many notices in one.
type digest struct {
	recipient string
	notices   []store.Notice // too old to be told one by one
	takesOver []store.Notice // older digests that did not get through
	told      []store.Notice // what those told of
}

// plan decides by what the database holds, and nothing else: the same outbox
// gives the same actions.
func plan(box store.Outbox) actions {
	var a actions
	old := map[string]*digest{}
	// Messages of one alert reach a person in their order: its end is not told
	// while its beginning is on the way, or just found not to be sent.
	earlier := map[int64][]string{}
	const all = ""
	for _, n := range box.Notices {
		if why, planned := notSent(n); why != "" {
			a.finish = append(a.finish, finish{n.ID, "not sent: " + why, planned})
			earlier[n.AlertID] = append(earlier[n.AlertID], all)
			continue
		}
		before := earlier[n.AlertID]
		if n.AlertID != 0 && slices.Contains(before, all) {
			continue // by the next plan
		}
		names, nobody := recipients(n, box.People)
		if nobody != "" {
			a.finish = append(a.finish, finish{n.ID, "not sent: " + nobody, false})
			continue
		}
		var said []string
		open := false
		for _, name := range names {
			c := climb(n, name, box)
			if n.AlertID != 0 && slices.Contains(before, name) && len(c.begin) > 0 {
				c.begin, c.open = nil, true
			}
			if c.open {
				open = true
				earlier[n.AlertID] = append(earlier[n.AlertID], name)
			} else {
				said = append(said, name+" "+c.said)
			}
			a.begin = append(a.begin, c.begin...)
			if c.tooOld {
				d := old[name]
				if d == nil {
					d = &digest{recipient: name}
					old[name] = d
				}
				if n.Kind == "digest" {
					d.takesOver = append(d.takesOver, n)
					for _, id := range n.Tells {
						d.told = append(d.told, box.Told[id])
					}
				} else {
					d.notices = append(d.notices, n)
				}
			}
			if !c.wake.IsZero() && (a.wake.IsZero() || c.wake.Before(a.wake)) {
				a.wake = c.wake
			}
		}
		if !open {
			a.finish = append(a.finish, finish{n.ID, strings.Join(said, "; "), false})
		}
	}
	for _, r := range box.Recipients {
		d := old[r.Name]
		if d == nil || d.openDigest(box) {
			continue
		}
		a.digest = append(a.digest, *d)
	}
	return a
}

// openDigest: while one digest is on its way to a recipient no other is begun.
func (d *digest) openDigest(box store.Outbox) bool {
	return slices.ContainsFunc(box.Notices, func(n store.Notice) bool {
		return n.Kind == "digest" && n.Recipient == d.recipient &&
			!slices.ContainsFunc(d.takesOver, func(o store.Notice) bool { return o.ID == n.ID })
	})
}

// notSent says why a notice is not to be sent to anybody; "" if it is.
func notSent(n store.Notice) (why string, planned bool) {
	switch n.Kind {
	case "raise", "remind", "flapping":
		switch {
		case n.Planned != "":
			return n.Planned, true
		case n.AckedBy != "":
			return "acknowledged by " + n.AckedBy, false
		case n.Silent:
			return "the alert is silenced", false
		}
	case "clear":
		if n.BeginningUnsent {
			return "nobody was told that it began", false
		}
	}
	return "", false
}

var severities = []string{"info", "warning", "critical"}

// recipients are those the policies choose, and who heard of the alert for what
// it hides, in order; or why there is none.
func recipients(n store.Notice, p store.People) (names []string, nobody string) {
	for _, r := range p.Recipients {
		if n.Recipient != "" && n.Recipient != r.Name || n.Recipient == "" && !chosen(n, r.Name, p.Policies) && !slices.Contains(n.Also, r.Name) {
			continue
		}
		names = append(names, r.Name)
	}
	switch {
	case len(p.Recipients) == 0:
		return nil, "there are no recipients; insert a medium and a ladder"
	case len(names) == 0 && n.Recipient != "":
		return nil, n.Recipient + " is no recipient any more, or not enabled"
	case len(names) == 0:
		return nil, "no policy chooses anybody for it"
	}
	return names, ""
}

func chosen(n store.Notice, recipient string, policies []store.Policy) bool {
	if len(policies) == 0 || n.AlertID == 0 && n.Kind != "raise" {
		return true
	}
	return slices.ContainsFunc(policies, func(p store.Policy) bool {
		return p.Recipient == recipient && (p.Node == "" || p.Node == n.Node) &&
			(p.Label == "" || slices.Contains(n.Labels, p.Label)) &&
			slices.Index(severities, n.Severity) >= slices.Index(severities, p.Severity)
	})
}

// climbing is where one recipient stands with one notice.
type climbing struct {
	begin  []begin
	open   bool   // something is under way or still to do
	tooOld bool   // waits for a digest; open until that is written
	said   string // how it ended: "by sms"
	wake   time.Time
}

// climb finds the next steps of one recipient for one notice.
func climb(n store.Notice, recipient string, box store.Outbox) climbing {
	if slices.Contains(box.Digested[n.ID], recipient) {
		return climbing{said: "in a digest"}
	}
	ladder := usable(n, box.Ladders[recipient])
	var c climbing
	tried := map[int]store.Delivery{}
	begun := false
	var lastEnd time.Time
	round, doubts, trying := 1, 0, false
	for _, d := range box.Deliveries[n.ID] {
		if d.Recipient != recipient {
			continue
		}
		begun = true
		tried[d.Step] = d
		if d.State == "trying" {
			c.open = true // visible or not, on the ladder still or not: its end is awaited
		}
		if !d.Visible {
			continue
		}
		round = max(round, d.Tries)
		doubts += d.Doubts
		trying = trying || d.State == "trying"
		if d.EndedAt.After(lastEnd) {
			lastEnd = d.EndedAt
		}
		if d.State == "ok" {
			c.said = "by " + d.Medium
		}
	}
	age := box.Now.Sub(n.CreatedAt)
	late := age > tooOld
	if late && !begun && n.Kind != "daily" && n.Kind != "digest" && len(ladder) > 0 {
		return climbing{open: true, tooOld: true}
	}
	for _, s := range ladder {
		if _, done := tried[s.Step]; !s.Visible && !done {
			c.begin = append(c.begin, begin{notice: n, step: s})
			c.open = true
		}
	}
	switch {
	case c.said != "" || trying:
		if trying {
			c.open = true
		}
		return c
	case doubts >= 2:
		c.said = "perhaps (two attempts, neither proven)"
		return c
	case !slices.ContainsFunc(ladder, func(s store.Step) bool { return s.Visible }):
		if c.said = "not at all: no medium to use"; begun || len(ladder) > 0 {
			c.said = "by invisible mediums only"
		}
		return c
	}
	c.open = true
	var inDoubt *store.Step
	for i, s := range ladder {
		if !s.Visible {
			continue
		}
		d, done := tried[s.Step]
		if !done {
			c.begin = append(c.begin, begin{notice: n, step: s})
			return c
		}
		if d.Tries < round {
			c.begin = append(c.begin, begin{notice: n, step: s, again: &d})
			return c
		}
		if d.State == "unknown" && inDoubt == nil {
			inDoubt = &ladder[i]
		}
	}
	if inDoubt != nil {
		// Nothing else worked, and this one may have: one more.
		d := tried[inDoubt.Step]
		c.begin = append(c.begin, begin{notice: n, step: *inDoubt, again: &d})
		return c
	}
	if n.Kind == "daily" && age > daysWorth {
		c.open, c.said = false, "not at all: all mediums failed"
		return c
	}
	if late && n.Kind != "daily" {
		c.tooOld = true
		return c
	}
	if at := lastEnd.Add(rest(round)); at.After(box.Now) {
		c.wake = at
		return c
	}
	for _, s := range ladder {
		if d, done := tried[s.Step]; s.Visible && done {
			c.begin = append(c.begin, begin{notice: n, step: s, again: &d})
			break
		}
	}
	return c
}

// usable leaves out the medium that an alert is about: it is told by the others.
func usable(n store.Notice, ladder []store.Step) []store.Step {
	if n.Rule != store.MediumFails || n.Kind == "clear" {
		return ladder
	}
	return slices.DeleteFunc(slices.Clone(ladder), func(s store.Step) bool { return "medium "+s.Medium == n.AlertSubject })
}

// name is what a medium calls a delivery: the same for who asks later, another
// for each try, and for each database that shares a spool.
func name(d store.Delivery) string {
	return fmt.Sprintf("sonde-%d-%s-%d", d.ID, d.Token, d.Tries)
}
