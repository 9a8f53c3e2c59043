package store

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is a pg_snapshot: transactions before Xmin are visible in it, those
// from Xmax on are not, nor are the ones in Open between the two.
type Snapshot struct {
	Xmin, Xmax uint64
	Open       []uint64
}

// ParseSnapshot reads PostgreSQL's text of it: "10:20:12,15".
func ParseSnapshot(text string) (Snapshot, error) {
	var s Snapshot
	wrong := fmt.Errorf("%q is no snapshot", text)
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, wrong
	}
	var err error
	if s.Xmin, err = strconv.ParseUint(parts[0], 10, 63); err != nil {
		return s, wrong
	}
	if s.Xmax, err = strconv.ParseUint(parts[1], 10, 63); err != nil || s.Xmax < s.Xmin || s.Xmin == 0 {
		return s, wrong
	}
	if parts[2] == "" {
		return s, nil
	}
	for f := range strings.SplitSeq(parts[2], ",") {
		x, err := strconv.ParseUint(f, 10, 63)
		if err != nil || x < s.Xmin || x >= s.Xmax || len(s.Open) > 0 && x <= s.Open[len(s.Open)-1] {
			return s, wrong
		}
		s.Open = append(s.Open, x)
	}
	return s, nil
}

func (s Snapshot) String() string {
	open := make([]string, len(s.Open))
	for i, x := range s.Open {
		open[i] = strconv.FormatUint(x, 10)
	}
	return fmt.Sprintf("%d:%d:%s", s.Xmin, s.Xmax, strings.Join(open, ","))
}

// Before is this snapshot as far as transactions before xid go: what a pass
// that stops at xid has read.
func (s Snapshot) Before(xid uint64) Snapshot {
	if xid >= s.Xmax {
		return s
	}
	out := Snapshot{Xmin: min(s.Xmin, xid), Xmax: xid}
	for _, x := range s.Open {
		if x < xid {
			out.Open = append(out.Open, x)
		}
	}
	return out
}

// Sees reports whether transaction xid is visible in the snapshot.
func (s Snapshot) Sees(xid uint64) bool {
	if xid < s.Xmin {
		return true
	}
	return xid < s.Xmax && !slices.Contains(s.Open, xid)
}
