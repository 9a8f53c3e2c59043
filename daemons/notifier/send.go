package notifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"sonde/internal/store"
	"sonde/notify"
)

// send gives a delivery to its medium and writes down its end.
func (n *Notifier) send(ctx context.Context, d store.Delivery, typ string, options json.RawMessage, m notify.Message) {
	defer n.land(d)
	medium, err := n.medium(typ, options)
	if err != nil {
		n.write(ctx, d, store.DeliveryEnd{State: "failed", Answer: err.Error()})
		return
	}
	proof, err := guard(ctx, func(ctx context.Context) (notify.Proof, error) { return medium.Send(ctx, m) })
	n.conclude(ctx, d, proof, err)
}

// ask finds out what became of a delivery that another began, and sends it if
// it was never begun.
func (n *Notifier) ask(ctx context.Context, d store.Delivery) {
	defer n.land(d)
	var m notify.Message
	var row store.Medium
	for {
		notice, zoneName, err := n.Store.DeliveryMessage(ctx, d)
		if err == nil {
			m = message(notice, d, zone(zoneName))
			row, err = n.Store.Medium(ctx, d.Medium)
		}
		if err == nil {
			break
		}
		if !store.IsAway(err) || ctx.Err() != nil {
			// The medium was renamed or deleted: there is nobody to ask.
			n.conclude(ctx, d, notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrUnknown, err))
			return
		}
		pause(ctx, retry, nil, nil)
	}
	medium, err := n.medium(row.Type, row.Options)
	if err != nil {
		n.conclude(ctx, d, notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrUnknown, err))
		return
	}
	proof, err := guard(ctx, func(ctx context.Context) (notify.Proof, error) { return medium.Ask(ctx, m) })
	if errors.Is(err, notify.ErrNotBegun) {
		proof, err = guard(ctx, func(ctx context.Context) (notify.Proof, error) { return medium.Send(ctx, m) })
	}
	n.conclude(ctx, d, proof, err)
}

func (n *Notifier) medium(typ string, options json.RawMessage) (notify.Medium, error) {
	t, known := n.Type(typ)
	if !known {
		return nil, fmt.Errorf("%w: this version has no type of medium %q", notify.ErrSpec, typ)
	}
	return t.New(options, notify.Env{Log: n.Log})
}

// guard calls a medium with a limit. One that panics may have sent before.
func guard(ctx context.Context, call func(context.Context) (notify.Proof, error)) (proof notify.Proof, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longest, errors.New("the medium does not come back"))
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the medium panicked: %v\n%s", notify.ErrUnknown, r, debug.Stack())
		}
	}()
	return call(ctx)
}

func (n *Notifier) conclude(ctx context.Context, d store.Delivery, proof notify.Proof, err error) {
	end := store.DeliveryEnd{State: "ok", Reference: proof.Reference, Answer: proof.Text}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		// We are stopping in the middle of it: the next notifier asks.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := n.Store.ReleaseDelivery(last, d, n.Name); err != nil {
			n.Log.Warn("a delivery was not released, its lease must run out", "delivery", d.ID, "error", err)
		}
		return
	case errors.Is(err, notify.ErrUnknown):
		end.State, end.Answer = "unknown", notify.FirstLine(err.Error())
	default:
		// The state says it already; what is left is the sentence of an alert.
		end.State, end.Answer = "failed", strings.TrimPrefix(notify.FirstLine(err.Error()), notify.ErrFailed.Error()+": ")
	}
	n.write(ctx, d, end)
}

// write stores the end of a delivery. What is sent is sent: it is tried until
// the database takes it. If we die before, the next notifier asks the medium.
func (n *Notifier) write(ctx context.Context, d store.Delivery, end store.DeliveryEnd) {
	log := n.Log.With("delivery", d.ID, "notice", d.NoticeID, "recipient", d.Recipient, "medium", d.Medium, "state", end.State)
	said := false
	for {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		ours, err := n.Store.EndDelivery(try, d, n.Name, end, mediumWords)
		cancel()
		switch {
		case err == nil && !ours:
			log.Warn("the delivery is another notifier's meanwhile; its word counts", "answer", end.Answer)
			return
		case err == nil && end.State == "ok":
			log.Info("sent", "answer", end.Answer)
			return
		case err == nil:
			log.Warn("not sent", "answer", end.Answer)
			return
		case ctx.Err() != nil:
			log.Warn("the end of a delivery was not stored; the next notifier asks for it", "error", err)
			return
		case !said:
			log.Warn("the end of a delivery is not stored yet", "error", err)
			said = true
		}
		pause(ctx, retry, nil, nil)
	}
}
