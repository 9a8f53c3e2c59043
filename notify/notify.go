// Package notify says what a medium is: a way to reach people. Each medium is a
// package below this one; notify/catalog lists them, one line each.
//
// A medium proves what it did. Send returns when the medium's own proof is
// there (smstools moved the file to sent, the SMTP server accepted), or when it
// is sure that nothing will go out, or when neither can be known.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"sonde/internal/measure"
)

// Message is one message to one recipient's address on one medium.
type Message struct {
	DeliveryID int64  // deliveries.id
	Name       string // "sonde-4711-9f3c07d1e2ab": unique over all databases; a medium that can, names its message by it
	To         string // ladders.address
	Subject    string // one line
	Text       string // whole text
	Short      string // fits one GSM-7 segment, most important words first
}

// Proof is the medium's own word that the message left.
type Proof struct {
	Reference string // what the medium calls the message: a file name, a message id
	Text      string // its answer in words
}

// Somebody decides by these.
var (
	ErrSpec    = errors.New("wrong medium options")      // a person must mend the row
	ErrFailed  = errors.New("not sent")                  // surely not sent and never will be: climb on
	ErrUnknown = errors.New("not known whether it went") // may have gone out

	// ErrNotBegun comes from Ask only, together with ErrFailed: the medium knows
	// of no such message, so the first try was never made and can be made now.
	ErrNotBegun = errors.New("never begun")
)

// Medium sends messages one way.
type Medium interface {
	// Send sends m once and waits for the proof, obeying ctx. An error wraps
	// ErrFailed or ErrUnknown; anything else counts as ErrFailed.
	Send(ctx context.Context, m Message) (Proof, error)

	// Ask finds out what became of a delivery that an earlier process began
	// and did not finish. It waits for the proof as Send does. ErrFailed means
	// that nothing of it is on its way; ErrUnknown that the medium cannot tell.
	Ask(ctx context.Context, m Message) (Proof, error)
}

// Env is what a medium gets of the world around it.
type Env struct {
	Log *slog.Logger
}

// Type is all the platform needs to know about one type of medium.
type Type struct {
	Name    string // mediums.type
	Meaning string
	Options []measure.Option

	// Address is the regular expression that an address on this medium fits, in
	// what RE2 and PostgreSQL have in common; empty for any. AddressLike is one.
	Address, AddressLike string

	// New checks the options and builds the medium; it opens nothing.
	New func(options json.RawMessage, env Env) (Medium, error)
}
