package measure

import (
	"log/slog"
	"net/netip"
	"time"
)

// Outcome says how a run ended. Every run ends exactly once; silence from the
// target is OK (with full loss), Fail means the probe learnt nothing, Missed
// means nobody has shown a result.
type Outcome string

// The three ends of a run, as they stand in the column outcome.
const (
	OK     Outcome = "ok"
	Fail   Outcome = "fail"
	Missed Outcome = "missed"
)

// StillRunning begins the reason of a run that was missed because the one
// before it had not ended: data come, only not so often.
const StillRunning = "still running"

// Overload begins the reason of a run that was missed because its monitoring
// host had too much to do.
const Overload = "overload"

// Target is what one run of a probe measures.
type Target struct {
	Node    string // nodes.name, for words only
	Address string // host name or IP literal, as nodes.address has it

	// Log is the run's own logger: its last lines are kept in the row of a
	// run that failed. Never nil.
	Log *slog.Logger
}

// Result is what one run learnt.
type Result struct {
	Address netip.Addr // the address that was really used; zero if none
	Row     []any      // values in the order of the tool's Columns
}

// RunKey names one run of one spec: the primary key of every data table.
type RunKey struct {
	ToolspecID int64
	DueAt      time.Time // microseconds, as PostgreSQL keeps them
}

// Claim is a worker's lease on one run, with all that is needed to make it.
type Claim struct {
	RunKey
	Attempt   int
	Tool      string
	Node      string
	Address   string
	Options   []byte        // jsonb of the spec as it was when claimed
	TimeToRun time.Duration // the deadline of the probe
	StartBy   time.Time     // later than this the run may not start
	LeaseTo   time.Time     // later than this the end is not ours to write
}
