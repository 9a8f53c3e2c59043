package analyst_test

import (
	"context"
	"strings"
	"testing"
	"time"
)

// A pass that fails again and again is tried again and again, which is progress
// to the supervisor. It must not look like health.
func TestAPassThatFailsIsSaidAndCountsAsLag(t *testing.T) {
	b := setUp(t, 1)
	said := make(chan string, 100)
	b.says = func(doing string, _ time.Duration) {
		if strings.HasPrefix(doing, "the pass fails: ") {
			select {
			case said <- doing:
			default:
			}
		}
	}
	// No person can write this row; another program might.
	b.exec(`ALTER TABLE maintenance DISABLE TRIGGER check_row`)
	b.exec(`INSERT INTO maintenance (until_at) VALUES ('infinity')`)
	ctx, cancel := context.WithCancel(t.Context())
	a, done := b.analyst(), make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	<-said
	if got := <-said; !strings.Contains(got, "maintenance") {
		t.Errorf("it says %q", got)
	}
	if a.Lag() <= 0 {
		t.Errorf("it lags by %v", a.Lag())
	}
	b.exec(`UPDATE maintenance SET until_at = now() - interval '1 s', from_at = now() - interval '1 h'`)
	b.runs(1, 0, "..LLLL")
	b.await("n1 no answer", alerts)
	if a.Lag() != 0 {
		t.Errorf("well again it lags by %v", a.Lag())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
