package analyst

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sonde/internal/alert"
	"sonde/internal/judge"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// owed is a verdict whose alert could not be raised, or one that came behind it.
// It is saved with the episode, which is still as it was before, and folded by a
// later pass: nothing is lost, nothing comes twice, and no other rule waits.
type owed struct {
	Verdict measure.Verdict `json:"verdict"`
	Late    bool            `json:"late,omitempty"`
}

// owedMost of a series are kept: the first, for what began then, and the newest.
const owedMost = 50

// errOwed says that an alert could not be raised, and that the pass goes on.
var errOwed = errors.New("the alert is raised by a later pass")

func owe(list []owed, v measure.Verdict, late bool) []owed {
	if _, err := json.Marshal(v.Evidence); err != nil {
		v.Evidence = map[string]any{"unreadable": err.Error()} // it must not stand in the way for ever
	}
	if len(list) == owedMost {
		list = slices.Delete(list, 1, 2)
	}
	return append(list, owed{v, late})
}

// open writes an alert within a savepoint. What goes wrong is logged when it is new.
func (p *pass) open(row store.Alert) (id int64, err error) {
	write := func() (err error) {
		if err := p.closeFirst(row); err != nil {
			return err
		}
		id, err = p.j.OpenAlert(p.ctx, row)
		return err
	}
	failed, err := p.try(func() error {
		if p.locked { // a pass has not the time to wait for each
			return p.j.Hurry(p.ctx, write)
		}
		return write()
	})
	if err != nil {
		return 0, fmt.Errorf("alert of rule %q: %w", row.Rule, err)
	}
	if failed == nil {
		p.closedFirst(row)
		return id, nil
	}
	p.locked = p.locked || store.IsLockTimeout(failed)
	if _, known := p.unraised[row.Rule]; !known {
		said := failed.Error()
		p.unraised[row.Rule] = said
		if p.session.unraised[row.Rule] != said {
			p.Log.Error("an alert cannot be raised; it is kept for the next pass", "rule", row.Rule, "node", row.Node, "subject", row.Subject, "error", failed)
		}
	}
	return 0, errOwed
}

// doing says what a pass does, and what the last one could not.
func (s *session) doing() string {
	rules := slices.Sorted(maps.Keys(s.unraised))
	switch len(rules) {
	case 0:
		return "judging"
	case 1:
		return fmt.Sprintf("judging; alerts of rule %q cannot be raised: %s", rules[0], s.unraised[rules[0]])
	}
	return fmt.Sprintf("judging; alerts of %d rules cannot be raised, of %q: %s", len(rules), rules[0], s.unraised[rules[0]])
}

// overBy is why nobody hears of a verdict that is paid: it is over by what is owed behind it.
func overBy(behind []owed) string {
	if slices.ContainsFunc(behind, func(o owed) bool { return o.Verdict.Kind == measure.Good }) {
		return "it was over before it could be raised"
	}
	return ""
}

// pay folds what passes before owe.
func (p *pass) pay() error {
	for _, sp := range p.restlessSpecs() {
		for _, w := range sp.watches {
			list := w.owed
			w.owed = nil
			for i, o := range list {
				if err := p.fold(sp, w, o.Verdict, o.Late, overBy(list[i+1:])); err != nil {
					return err
				}
				if len(w.owed) > 0 { // again
					w.owed = append(w.owed, list[i+1:]...)
					break
				}
			}
			sp.dirty = sp.dirty || len(list) > len(w.owed)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.platform.Episodes)) {
		st := p.platform.Episodes[key]
		list := st.Owed
		if len(list) == 0 {
			continue
		}
		st.Owed = nil
		row, mute, policy := store.Alert{Monhost: st.Monhost}, "", alert.Usual()
		row.Rule, row.Subject, _ = strings.Cut(key, "/")
		if st.Mesh {
			at := slices.IndexFunc(p.config.Rules, func(r store.Rule) bool { return r.Name == row.Rule })
			if at < 0 { // it has no alert to end, and nothing says who may hear of it
				delete(p.platform.Episodes, key)
				p.session.platform.dirty = true
				continue
			}
			r := &p.config.Rules[at]
			mute, policy, row.Shadow = muteOf(r), judge.Policy(r), r.Shadow
		}
		for i, o := range list {
			if err := p.standingVerdict(row, cmp.Or(mute, overBy(list[i+1:])), policy, &o.Verdict); err != nil {
				return err
			}
			if st = p.platform.Episodes[key]; st != nil && len(st.Owed) > 0 {
				st.Owed = append(st.Owed, list[i+1:]...)
				break
			}
		}
	}
	return nil
}

// muteOf is why nobody hears of a rule's alerts, "" when people do.
func muteOf(r *store.Rule) string {
	if r.Shadow {
		return fmt.Sprintf("rule %q is in shadow: recorded only", r.Name)
	}
	return ""
}
