package analyst

import (
	"cmp"
	"slices"

	"sonde/internal/store"
)

// inbox is what a pass has read. Runs lie one behind the other, and in the same memory
// in each pass: put with their specs, each would be another piece of memory to fetch.
type inbox struct {
	came   []store.Run // as it was read
	to     []*spec     // for whom each of them is
	places []place     // of them, in order
	runs   []store.Run // in order
	mail   []letter
}

type place struct {
	spec, due int64
	at        int
}

// letter is what is new of a spec, in order of due_at.
type letter struct {
	spec *spec
	runs []store.Run
}

func (in *inbox) put(sp *spec, r store.Run) {
	in.came, in.to = append(in.came, r), append(in.to, sp)
}

// sort gives a letter for each spec, by their numbers, until the inbox is emptied.
// What is due at one instant stays as it came.
func (in *inbox) sort() []letter {
	for i, r := range in.came {
		in.places = append(in.places, place{r.ToolspecID, r.DueAt.UnixMicro(), i})
	}
	slices.SortFunc(in.places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.spec, b.spec), cmp.Compare(a.due, b.due), cmp.Compare(a.at, b.at))
	})
	in.runs = slices.Grow(in.runs, len(in.came))
	for i, p := range in.places {
		in.runs = append(in.runs, in.came[p.at])
		if i == 0 || p.spec != in.places[i-1].spec {
			in.mail = append(in.mail, letter{spec: in.to[p.at], runs: in.runs[i:i]})
		}
		last := &in.mail[len(in.mail)-1]
		last.runs = last.runs[:len(last.runs)+1]
	}
	return in.mail
}

// empty forgets all that came. Memory is kept for so many runs, and given back when
// there were more: after an outage much comes at once.
func (in *inbox) empty(keep int) {
	if cap(in.came) > keep {
		*in = inbox{}
		return
	}
	clear(in.came) // what they point to is free
	clear(in.to)
	clear(in.runs)
	clear(in.mail)
	in.came, in.to, in.places, in.runs, in.mail = in.came[:0], in.to[:0], in.places[:0], in.runs[:0], in.mail[:0]
}
