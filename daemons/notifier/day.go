package notifier

import (
	"context"
	"time"

	"sonde/internal/store"
)

const countingTime = 30 * time.Second

// theDay is the daily message a recipient is due now: its day and its instant.
func theDay(r store.Recipient, now time.Time) (at time.Time, due bool) {
	hour, err := time.Parse("15:04", r.DailyAt)
	if err != nil || !r.Daily {
		return at, false
	}
	local := now.In(zone(r.TimeZone))
	at = time.Date(local.Year(), local.Month(), local.Day(), hour.Hour(), hour.Minute(), 0, 0, local.Location())
	return at, !now.Before(at) && now.Sub(at) < daysWorth && r.CreatedAt.Before(at)
}

// tellTheDay writes the daily messages that are due. Counting takes a while, so
// it is done beside the passes; (recipient, day) is unique in the database.
func (n *Notifier) tellTheDay(ctx, hard context.Context, box store.Outbox) {
	type due struct {
		recipient string
		at        time.Time
		key       string
	}
	var all []due
	for _, r := range box.Recipients {
		at, is := theDay(r, box.Now)
		key := r.Name + " " + at.Format("2006-01-02")
		if !is || len(box.Ladders[r.Name]) == 0 || n.dayTaken(key) {
			continue
		}
		done, err := n.Store.DailyDone(ctx, r.Name, at)
		if err != nil {
			return // nothing is taken yet: the next pass tries again
		}
		if done {
			n.takeDay(key)
			continue
		}
		all = append(all, due{r.Name, at, key})
	}
	for _, d := range all {
		n.takeDay(d.key)
	}
	if len(all) == 0 {
		return
	}
	n.flights.Go(func() {
		days := map[int64]store.Day{}
		for _, d := range all {
			day, counted := days[d.at.Unix()]
			var err error
			if !counted {
				day, err = n.Store.CountDay(hard, d.at.Add(-24*time.Hour), d.at, countingTime)
			}
			if err == nil {
				days[d.at.Unix()] = day
				_, err = n.Store.AddNotice(hard, dailyNotice(d.recipient, day, d.at), d.at)
			}
			if err != nil {
				n.forgetDay(d.key) // the next pass tries again
				n.Log.Warn("the daily message is not written yet", "recipient", d.recipient, "error", err)
			}
		}
	})
}

func (n *Notifier) dayTaken(key string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.daily[key]
}

func (n *Notifier) takeDay(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.daily) > 10000 { // the days of years; the database knows better
		clear(n.daily)
	}
	n.daily[key] = true
}

func (n *Notifier) forgetDay(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.daily, key)
}
