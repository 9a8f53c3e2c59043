// Package notifytest is the examination every medium sits: whatever it sends by,
// the notifier relies on the same few promises.
package notifytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sonde/internal/measure"
	"sonde/notify"
)

// Candidate is a medium with all that is needed to try it.
type Candidate struct {
	Type    notify.Type
	To      string          // an address that works
	Works   json.RawMessage // options with which a message to To goes out
	Broken  json.RawMessage // options that are right in form, but nothing can be sent with them
	Mute    json.RawMessage // options with which nobody answers: Send waits; nil if there is no such state
	BadTo   []string        // addresses that must be refused; nil if any text is an address
	Forgets bool            // Ask can tell nothing afterwards
}

var counter atomic.Int64

// Message gives a message with a name of its own.
func Message(to string) notify.Message {
	n := counter.Add(1)
	return notify.Message{
		DeliveryID: n,
		Name:       fmt.Sprintf("sonde-%d-%012x", n, time.Now().UnixNano()&0xffffffffffff),
		To:         to,
		Subject:    "DOWN cern: no answer",
		Short:      "DOWN cern: no answer to ping [a1]",
		Text:       "DOWN cern: no answer to ping\n\nfrom pi1, since 03:12 UTC",
	}
}

// Examine asks the questions.
func Examine(t *testing.T, c Candidate) {
	t.Helper()
	t.Run("the type describes itself", func(t *testing.T) { describesItself(t, c.Type) })
	t.Run("nonsense options are ErrSpec", func(t *testing.T) {
		for _, raw := range []string{`[]`, `null`, `"x"`, `{"no_such_option": 1}`, `{"no_such`, `{} {}`} {
			if _, err := c.Type.New(json.RawMessage(raw), env()); !errors.Is(err, notify.ErrSpec) {
				t.Errorf("options %s: %v, want ErrSpec", raw, err)
			}
		}
	})
	t.Run("a message goes out with a proof, and can be asked for", func(t *testing.T) {
		m := build(t, c.Type, c.Works)
		msg := Message(c.To)
		quiet(t, func() {
			proof, err := m.Send(within(t, time.Minute), msg)
			if err != nil || proof.Reference == "" || proof.Text == "" {
				t.Fatalf("Send gave %+v, %v", proof, err)
			}
		})
		proof, err := build(t, c.Type, c.Works).Ask(within(t, time.Minute), msg)
		switch {
		case c.Forgets:
			if !errors.Is(err, notify.ErrUnknown) {
				t.Errorf("Ask gave %+v, %v, want ErrUnknown", proof, err)
			}
		case err != nil || proof.Reference == "":
			t.Errorf("another process asked and got %+v, %v", proof, err)
		}
	})
	t.Run("what was never begun is said so", func(t *testing.T) {
		_, err := build(t, c.Type, c.Works).Ask(within(t, time.Minute), Message(c.To))
		if c.Forgets && !errors.Is(err, notify.ErrUnknown) {
			t.Errorf("%v, want ErrUnknown", err)
		}
		if !c.Forgets && !(errors.Is(err, notify.ErrFailed) && errors.Is(err, notify.ErrNotBegun)) {
			t.Errorf("%v, want ErrFailed and ErrNotBegun", err)
		}
	})
	t.Run("what cannot be sent is ErrFailed with a sentence", func(t *testing.T) {
		if c.Broken == nil {
			return
		}
		_, err := build(t, c.Type, c.Broken).Send(within(t, time.Minute), Message(c.To))
		if !errors.Is(err, notify.ErrFailed) || len(err.Error()) < 20 {
			t.Errorf("%v, want ErrFailed", err)
		}
	})
	t.Run("a wrong address is ErrFailed", func(t *testing.T) {
		for _, to := range c.BadTo {
			if _, err := build(t, c.Type, c.Works).Send(within(t, time.Minute), Message(to)); !errors.Is(err, notify.ErrFailed) {
				t.Errorf("to %q: %v, want ErrFailed", to, err)
			}
		}
	})
	t.Run("a cancelled context ends it at once", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := build(t, c.Type, c.Works).Send(ctx, Message(c.To))
		if !errors.Is(err, notify.ErrFailed) {
			t.Errorf("before it began: %v, want ErrFailed", err)
		}
		if c.Mute == nil {
			return
		}
		ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		quiet(t, func() {
			began := time.Now()
			_, err = build(t, c.Type, c.Mute).Send(ctx, Message(c.To))
			if !errors.Is(err, notify.ErrUnknown) && !errors.Is(err, notify.ErrFailed) {
				t.Errorf("while it waited: %v", err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %s to obey", took)
			}
		})
	})
}

func describesItself(t *testing.T, typ notify.Type) {
	if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(typ.Name) {
		t.Errorf("name %q", typ.Name)
	}
	if typ.Meaning == "" {
		t.Error("the type has no meaning")
	}
	for _, o := range typ.Options {
		if o.Meaning == "" || o.Name == "" {
			t.Errorf("option %q has no meaning", o.Name)
		}
		if strings.Contains(o.Name, "password") || strings.Contains(o.Name, "token") || strings.Contains(o.Name, "secret") {
			if !o.Secret {
				t.Errorf("option %q holds a secret and does not say so", o.Name)
			}
		}
		if o.Default != nil {
			b, err := json.Marshal(map[string]any{o.Name: o.Default})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := measure.ReadOptions([]measure.Option{o}, b); err != nil {
				t.Errorf("the default is wrong: %v", err)
			}
		}
	}
}

func env() notify.Env { return notify.Env{Log: slog.New(slog.DiscardHandler)} }

func build(t *testing.T, typ notify.Type, raw json.RawMessage) notify.Medium {
	t.Helper()
	m, err := typ.New(raw, env())
	if err != nil {
		t.Fatalf("options %s: %v", raw, err)
	}
	return m
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// quiet demands that do leaves no goroutine behind.
func quiet(t *testing.T, do func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	do()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Second); runtime.NumGoroutine() > before; <-tick.C {
		if time.Now().After(end) {
			t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
			return
		}
	}
}
