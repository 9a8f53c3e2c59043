package ping

// agenda is a heap of what runs do next, in order of time. Runs that ended
// meanwhile are recognised by their number.
type agenda []entry

type entry struct {
	at       int64
	slot, no uint32
}

func (a *agenda) push(x entry) {
	*a = append(*a, x)
	h := *a
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 4
		if h[up].at <= x.at {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

// pop takes the first out. Four children to a node: half the cache misses of two.
func (a *agenda) pop() entry {
	h := *a
	first, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*a = h
	if len(h) == 0 {
		return first
	}
	i := 0
	for {
		least := 4*i + 1
		if least >= len(h) {
			break
		}
		for c := least + 1; c < min(4*i+5, len(h)); c++ {
			if h[c].at < h[least].at {
				least = c
			}
		}
		if h[least].at >= last.at {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return first
}
