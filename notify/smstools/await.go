package smstools

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sonde/notify"
)

// How often the folders are looked at. smsd itself looks every second or less often.
const look = 200 * time.Millisecond

// await waits until the message is in sent or failed. At the end of the time it
// is withdrawn; if smsd is sending it just then, grace is waited for, and what
// is not clear even then is unknown.
func (m *Medium) await(ctx context.Context, name string, end time.Time) (notify.Proof, error) {
	fail := func(sentinel error, format string, args ...any) (notify.Proof, error) {
		return notify.Proof{Reference: name}, fmt.Errorf("%w: %w", sentinel, fmt.Errorf(format, args...))
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	last := end.Add(m.grace)
	lost := 0
	for {
		found, err := m.spool.find(name)
		now := time.Now()
		switch {
		case err != nil:
			if now.After(last) {
				return fail(notify.ErrUnknown, "%w", err)
			}
		case found.place == sent:
			// While smsd copies the file here its headers may be incomplete.
			if !found.locked || now.After(end) {
				return sentProof(name, found.path), nil
			}
		case found.place == failed:
			if !found.locked || now.After(end) {
				return fail(notify.ErrFailed, "smsd gave up: %s", failReason(found.path))
			}
		case found.place == nowhere:
			// Never for long: smsd copies before it deletes. So somebody took it away, or smsd keeps
			// no sent files, or renames them. It is looked for a few more times, in case we looked in
			// the folders in an unlucky order.
			if lost++; lost > 5 {
				return fail(notify.ErrUnknown, "the message %s left the spool without a trace: smsd.conf must name the folders %s and %s and keep file names (keep_filename = yes)",
					name, m.spool.sent, m.spool.failed)
			}
		case now.After(end):
			gone, held, err := m.spool.withdraw(name)
			switch {
			case err != nil:
				return fail(notify.ErrUnknown, "smsd did not send it in time, and it could not be withdrawn: %w", err)
			case gone:
				// smsd may have been quicker by a hair, from checked to sent: then the file is there.
				if after, err := m.spool.find(name); err == nil && after.place == sent {
					return sentProof(name, after.path), nil
				}
				return fail(notify.ErrFailed, "smsd did not send it within %s (is it dead, or its modem?), so it was withdrawn", m.timeout)
			case held && m.spool.breakDeadLock(name):
				return fail(notify.ErrUnknown, "smsd died while sending it; withdrawn, so that it does not go out again")
			case held && now.After(last):
				return fail(notify.ErrUnknown, "smsd has been sending it for longer than %s", m.timeout+m.grace)
			}
		}
		select {
		case <-ctx.Done():
			// Not withdrawn: whoever comes next asks for it by its name.
			return fail(notify.ErrUnknown, "no answer of smsd yet: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func sentProof(name, path string) notify.Proof {
	h, err := readHeaders(path)
	text := "smsd sent it"
	if err == nil {
		if h["modem"] != "" {
			text += " by " + h["modem"]
		}
		if h["message_id"] != "" {
			text += ", message reference " + h["message_id"]
		}
		if h["sent"] != "" {
			text += ", at " + h["sent"]
		}
	}
	return notify.Proof{Reference: name, Text: text}
}

func failReason(path string) string {
	h, err := readHeaders(path)
	switch {
	case err != nil:
		return err.Error()
	case h["fail_reason"] != "":
		return h["fail_reason"]
	}
	return "it gave no reason; see smsd's log"
}

// readHeaders reads the headers of a message file up to the empty line; what
// smsd may have been told by others is read with care.
func readHeaders(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := map[string]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16*1024)
	for n := 0; lines.Scan() && n < 100; n++ {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			break
		}
		value = notify.FitGSM7(value) // no control characters, no novels
		h[strings.ToLower(strings.TrimSpace(name))] = value
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return h, nil
}
