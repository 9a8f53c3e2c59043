package smstools

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"sonde/internal/measure"
	"sonde/notify"
)

// Type is the medium as the catalogue lists it.
func Type() notify.Type {
	return notify.Type{
		Name:    "smstools",
		Meaning: "SMS by the spool directories of smstools (smsd) and its GSM modem",
		Options: options,
		Address: addressForm, AddressLike: "4915112345678",
		New: open,
	}
}

var options = []measure.Option{
	{Name: "spool", Type: measure.TextOption, Default: "/var/spool/sms", Meaning: "the spool directory, as an absolute path"},
	{Name: "outgoing", Type: measure.TextOption, Meaning: "smsd's outgoing folder; default: outgoing below spool"},
	{Name: "checked", Type: measure.TextOption, Meaning: "smsd's checked folder, or the folder of its queue; default: checked below spool"},
	{Name: "sent", Type: measure.TextOption, Meaning: "smsd's sent folder; default: sent below spool"},
	{Name: "failed", Type: measure.TextOption, Meaning: "smsd's failed folder; default: failed below spool"},
	{Name: "timeout", Type: measure.DurationOption, Default: "60s", Min: "1s", Max: "1h",
		Meaning: "how long smsd may take; after that the message is withdrawn (smsd alone needs 14 s to give up)"},
	{Name: "grace", Type: measure.DurationOption, Default: "30s", Min: "0s", Max: "10m",
		Meaning: "how much longer to wait for a message that smsd is sending when the time is out"},
	{Name: "flash", Type: measure.BoolOption, Default: false, Meaning: "show the message at once, over whatever the phone shows; most phones do not keep it"},
	{Name: "report", Type: measure.BoolOption, Default: false, Meaning: "ask the network for a delivery report, which smsd puts into its report folder"},
	{Name: "provider", Type: measure.TextOption, Meaning: "smsd's provider queue to use"},
	{Name: "validity", Type: measure.DurationOption, Min: "5m", Max: "63d",
		Meaning: "how long the network keeps trying to reach a phone that is off; default: as smsd.conf says"},
}

// Medium is one spool.
type Medium struct {
	spool   spool
	headers string
	timeout time.Duration
	grace   time.Duration
}

func open(raw json.RawMessage, _ notify.Env) (notify.Medium, error) {
	o, err := measure.ReadOptions(options, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", notify.ErrSpec, err)
	}
	m := &Medium{timeout: o.Duration("timeout"), grace: o.Duration("grace")}
	for name, dir := range map[string]*string{
		"outgoing": &m.spool.outgoing, "checked": &m.spool.checked, "sent": &m.spool.sent, "failed": &m.spool.failed,
	} {
		*dir = o.Text(name)
		if *dir == "" {
			*dir = filepath.Join(o.Text("spool"), name)
		}
		if !filepath.IsAbs(*dir) {
			return nil, fmt.Errorf("%w: the folder %s must be an absolute path, not %q", notify.ErrSpec, name, *dir)
		}
	}
	m.headers = "Alphabet: UTF-8\n"
	if o.Bool("flash") {
		m.headers += "Flash: yes\n"
	}
	if o.Bool("report") {
		m.headers += "Report: yes\n"
	}
	if p := o.Text("provider"); p != "" {
		if !providerName.MatchString(p) {
			return nil, fmt.Errorf("%w: option \"provider\" must be the name of a queue of smsd.conf, not %q", notify.ErrSpec, p)
		}
		m.headers += "Provider: " + p + "\n"
	}
	if v := o.Duration("validity"); v > 0 {
		m.headers += fmt.Sprintf("Validity: %d\n", validityPeriod(v))
	}
	return m, nil
}

var providerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,30}$`)

// validityPeriod is the TP-VP octet of 3GPP TS 23.040, 9.2.3.12.1: steps of 5
// minutes up to 12 hours, of half an hour up to a day, then days and weeks.
func validityPeriod(v time.Duration) int {
	switch {
	case v <= 12*time.Hour:
		return max(0, int(v/(5*time.Minute))-1)
	case v <= 24*time.Hour:
		return 143 + int((v-12*time.Hour)/(30*time.Minute))
	case v <= 30*24*time.Hour:
		return 166 + int(v/(24*time.Hour))
	default:
		return min(255, 192+int(v/(7*24*time.Hour)))
	}
}

var (
	numberClutter = strings.NewReplacer(" ", "", "-", "", "/", "", "(", "", ")", "", ".", "", "\u00a0", "")
	international = regexp.MustCompile(`^[1-9][0-9]{6,14}$`) // E.164: at most 15 digits
	shortNumber   = regexp.MustCompile(`^s[0-9]{2,8}$`)
)

// addressForm is what number takes, for the check of ladders: a wrong number is
// refused when it is written, not when somebody is to be woken.
const (
	clutter     = "[- /().\u00a0]*"
	addressForm = "^" + clutter + `([+]|0` + clutter + `0)?` + clutter + `([1-9](` + clutter + `[0-9]){6,14}|s(` + clutter + `[0-9]){2,8})` + clutter + `$`
)

// number gives an address as smsd wants it: digits with the country code and no
// plus sign, or "s" and the digits of a short number.
func number(address string) (string, error) {
	n := numberClutter.Replace(strings.TrimSpace(address))
	if rest, ok := strings.CutPrefix(n, "+"); ok {
		n = rest
	} else if rest, ok := strings.CutPrefix(n, "00"); ok {
		n = rest
	}
	switch {
	case international.MatchString(n), shortNumber.MatchString(n):
		return n, nil
	case strings.HasPrefix(n, "0"):
		return "", fmt.Errorf("the number %q has no country code: write it like 4915112345678", address)
	default:
		return "", fmt.Errorf("%q is no telephone number: write digits with the country code, like 4915112345678, or s and a short number", address)
	}
}

// Send writes the message file and waits until smsd has sent it or given up.
func (m *Medium) Send(ctx context.Context, msg notify.Message) (notify.Proof, error) {
	to, err := number(msg.To)
	if err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrFailed, err)
	}
	if err := checkName(msg.Name); err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrFailed, err)
	}
	text := msg.Short
	if text == "" {
		text = msg.Text
	}
	text = notify.FitGSM7(text)
	if text == "" {
		return notify.Proof{}, fmt.Errorf("%w: the message has no text", notify.ErrFailed)
	}
	if err := ctx.Err(); err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrFailed, err)
	}
	// No newline at the end: smsd would send it too, and make two segments of a full one.
	if err := m.spool.put(msg.Name, "To: "+to+"\n"+m.headers+"\n"+text); err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrFailed, err)
	}
	return m.await(ctx, msg.Name, time.Now().Add(m.timeout))
}

// Ask looks for the file of a delivery that an earlier process began, and waits
// for it as Send does, counted from when the file was written.
func (m *Medium) Ask(ctx context.Context, msg notify.Message) (notify.Proof, error) {
	if err := checkName(msg.Name); err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w: %w", notify.ErrFailed, notify.ErrNotBegun, err)
	}
	if err := m.spool.usable(); err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrUnknown, err)
	}
	found, err := m.spool.find(msg.Name)
	if err != nil {
		return notify.Proof{}, fmt.Errorf("%w: %w", notify.ErrUnknown, err)
	}
	if found.place == nowhere {
		// A file that was never renamed into place is no message yet.
		m.spool.dropUnfinished(msg.Name)
		return notify.Proof{}, fmt.Errorf("%w: %w: no file %s in the spool", notify.ErrFailed, notify.ErrNotBegun, msg.Name)
	}
	end := time.Now().Add(m.timeout)
	if byFile := found.written.Add(m.timeout); byFile.Before(end) {
		end = byFile
	}
	return m.await(ctx, msg.Name, end)
}
