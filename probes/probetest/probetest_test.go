package probetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/probes"
)

// good is a tool without a network that passes; each broken one differs in one thing.
func good(run func(ctx context.Context, address string) (measure.Result, error)) probes.Tool {
	known := []measure.Option{{Name: "count", Type: measure.IntOption, Default: 1, Min: 1, Max: 10, Meaning: "packets"}}
	return probes.Tool{
		Name: "good", Meaning: "nothing", Options: known, Table: "pingdata", Columns: []string{"sent", "rtts_us"},
		Metrics:   []measure.Metric{{Name: "sent", Column: "sent", Unit: "1", Meaning: "packets sent"}},
		TimeToRun: time.Minute, LeastTime: "count * 2",
		New: func(spec json.RawMessage, _ probes.Env) (probes.Probe, error) {
			if _, err := measure.ReadOptions(known, spec); err != nil {
				return nil, fmt.Errorf("%w: %w", probes.ErrSpec, err)
			}
			return runFunc(run), nil
		},
	}
}

type runFunc func(ctx context.Context, address string) (measure.Result, error)

func (f runFunc) Run(ctx context.Context, t measure.Target) (measure.Result, error) {
	return f(ctx, t.Address)
}

var (
	answering = netip.MustParseAddr("192.0.2.1")
	peer      = Peer{Answering: answering.String(), Options: `{}`, Silent: "192.0.2.2", SilentOptions: `{"count": 1}`, PatientOptions: `{"count": 10}`}
)

// well answers, is silent, and waits when patient: as the cancel question has a
// deadline and the silent one has none, it can tell by the context's end.
func well(ctx context.Context, address string) (measure.Result, error) {
	if ctx.Err() != nil {
		return measure.Result{}, ctx.Err()
	}
	us := int32(5)
	if address == answering.String() {
		return measure.Result{Address: answering, Row: []any{int64(1), []*int32{&us}}}, nil
	}
	wait := time.NewTimer(400 * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
		return measure.Result{Row: []any{int64(1), []*int32{nil}}}, nil
	case <-ctx.Done():
		return measure.Result{}, ctx.Err()
	}
}

func description(t *testing.T, tool probes.Tool, _ Peer) { describes(t, tool) }
func options(t *testing.T, tool probes.Tool, _ Peer)     { optionsAreDescribed(t, tool) }
func nonsense(t *testing.T, tool probes.Tool, _ Peer)    { nonsenseIsErrSpec(t, tool) }

// broken are tools that must not pass, and the words of the examiner.
var broken = map[string]struct {
	question func(*testing.T, probes.Tool, Peer) // that finds it out
	tool     func() probes.Tool
	words    string
}{
	"no such column": {fitsItsTable, func() probes.Tool { t := good(well); t.Columns = []string{"sent", "smell"}; return t }, "table pingdata has no column smell"},
	"no such table":  {fitsItsTable, func() probes.Tool { t := good(well); t.Table = "nodata"; return t }, "the migrations make no table nodata"},
	"takes a column of the platform": {fitsItsTable, func() probes.Tool { t := good(well); t.Columns = []string{"outcome", "rtts_us"}; return t },
		"column outcome is the platform's"},
	"value of the wrong type": {fitsItsTable, func() probes.Tool {
		return good(func(ctx context.Context, a string) (measure.Result, error) {
			res, err := well(ctx, a)
			if err == nil {
				res.Row[0] = "many"
			}
			return res, err
		})
	}, "the row does not fit the table"},
	"short row": {silenceIsData, func() probes.Tool {
		return good(func(ctx context.Context, a string) (measure.Result, error) {
			res, err := well(ctx, a)
			res.Row = res.Row[:min(1, len(res.Row))]
			return res, err
		})
	}, "1 values for 2 columns"},
	"swallows nonsense": {nonsense, func() probes.Tool {
		t := good(well)
		t.New = func(json.RawMessage, probes.Env) (probes.Probe, error) { return runFunc(well), nil }
		return t
	}, "want probes.ErrSpec"},
	"silence is an error": {silenceIsData, func() probes.Tool {
		return good(func(ctx context.Context, a string) (measure.Result, error) {
			res, err := well(ctx, a)
			if a != answering.String() {
				err = errors.New("no reply")
			}
			return res, err
		})
	}, "a silent peer gave the error no reply"},
	"deaf to cancel": {cancelEndsRun, func() probes.Tool {
		return good(func(ctx context.Context, a string) (measure.Result, error) {
			res, err := well(context.WithoutCancel(ctx), a)
			if ctx.Err() != nil {
				<-time.After(atOnce + 100*time.Millisecond)
			}
			return res, err
		})
	}, "after the cancel"},
	"stores what it could not learn": {cancelEndsRun, func() probes.Tool {
		return good(func(ctx context.Context, a string) (measure.Result, error) {
			res, _ := well(ctx, a)
			return res, nil
		})
	}, "a cancelled run gave no error"},
	"leaves a goroutine": {leavesNothingBehind, func() probes.Tool {
		return good(func(ctx context.Context, a string) (measure.Result, error) {
			go func() { <-make(chan struct{}) }()
			return well(ctx, a)
		})
	}, "goroutines before"},
	"option without meaning": {options, func() probes.Tool { t := good(well); t.Options[0].Meaning = ""; return t }, `option "count" has the meaning ""`},
	"default out of range":   {options, func() probes.Tool { t := good(well); t.Options[0].Default = 11; return t }, "its own default value is refused"},
	"metric of no column": {description, func() probes.Tool { t := good(well); t.Metrics[0].Column = "received"; return t },
		`metric sent is read from column "received"`},
	"needs more time than it gets": {description, func() probes.Tool { t := good(well); t.LeastTime = "count * 61"; return t }, "takes at least 1m1s"},
	"least time of no option":      {description, func() probes.Tool { t := good(well); t.LeastTime = "hops * 2"; return t }, `"hops" is no option`},
}

func TestGoodToolPasses(t *testing.T) { Examine(t, good(well), peer) }

// TestExaminee is the examination of the tools above, in a process of its own,
// because it fails.
func TestExaminee(t *testing.T) {
	if os.Getenv("PROBETEST_BROKEN") == "" {
		return
	}
	for name, b := range broken {
		p := peer
		p.Within = func(f func()) { f() }
		t.Run(name, func(t *testing.T) { b.question(t, b.tool(), p) })
	}
}

func TestBrokenToolsDoNotPass(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestExaminee$", "-test.v")
	cmd.Env = append(os.Environ(), "PROBETEST_BROKEN=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("all broken tools passed")
	}
	for name, b := range broken {
		test := "TestExaminee/" + strings.ReplaceAll(name, " ", "_")
		if !strings.Contains(string(out), "--- FAIL: "+test+" ") {
			t.Errorf("the tool that %q passed", name)
		}
		if !strings.Contains(string(out), b.words) {
			t.Errorf("nobody said %q of the tool %q", b.words, name)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
