package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"sonde/config"
	"sonde/internal/measure"
	"sonde/internal/store"
)

// openStore connects to the configured database for one verb. It waits for no database that is away.
func openStore(ctx context.Context, from *config.Source) (*store.Store, func(), error) {
	c, err := from.Load()
	if err != nil {
		return nil, nil, err
	}
	pool, err := commandPool(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	return store.New(pool), pool.Close, nil
}

// alertID reads "12" or "a12", as messages have it.
func alertID(text string) (int64, bool) {
	id, err := strconv.ParseInt(strings.TrimPrefix(strings.Trim(text, "[]"), "a"), 10, 64)
	return id, err == nil && id > 0
}

// runAlert lists alerts, and writes down what people did about one.
func runAlert(ctx context.Context, args []string) error {
	fs := flags("alert")
	from := config.Flags(fs)
	node := fs.String("node", "", "list: only alerts of this node")
	all := fs.Bool("all", false, "list: closed alerts as well")
	most := fs.Int("most", 100, "list: so many at most")
	asJSON := fs.Bool("json", false, "print JSON")
	note := fs.String("note", "", "ack, comment: the text, as an argument would be")
	text := fs.String("text", "", "right, wrong, planned: what it was, as an argument would be")
	length := fs.String("for", "", "silence: how long, as an argument would be; 0s ends the silence")
	by := fs.String("by", "", "who says so (default: the user's name)")
	if err := parse(fs, args, 1, -1); err != nil {
		return err
	}
	what, rest := fs.Arg(0), slices.Clone(fs.Args()[1:])
	if _, isID := alertID(what); isID && len(rest) > 0 {
		what, rest[0] = rest[0], what // the number may come first
	}
	for _, given := range []string{*note, *text, *length} {
		if given != "" && what != "list" && len(rest) > 0 {
			rest = append(rest, given)
		}
	}
	least := map[string]int{"list": 0, "ack": 1, "silence": 2, "comment": 2, "right": 1, "wrong": 1, "planned": 1}
	n, known := least[what]
	if !known {
		return usageError("%q is none of list, ack, silence, comment, right, wrong, planned", what)
	}
	if len(rest) < n || what == "list" && len(rest) > 0 || what == "silence" && len(rest) > 2 {
		return usageError("sonde alert list · ack ID [NOTE] · silence ID LENGTH · comment ID TEXT · right|wrong|planned ID [TEXT]")
	}
	var id int64
	var silence time.Duration
	if what != "list" {
		var ok bool
		if id, ok = alertID(rest[0]); !ok {
			return usageError("%q is no alert: write its number, such as a12", rest[0])
		}
	}
	if what == "silence" {
		var err error
		if silence, err = measure.ParseDuration(rest[1]); err != nil {
			return usageError("%v", err)
		}
	}
	if *by == "" {
		*by = userName()
	}
	st, done, err := openStore(ctx, from)
	if err != nil {
		return err
	}
	defer done()
	switch what {
	case "ack":
		err = st.AckAlert(ctx, id, *by, strings.Join(rest[1:], " "))
	case "silence":
		err = st.SilenceAlert(ctx, id, *by, silence)
	case "comment":
		err = st.CommentAlert(ctx, id, *by, strings.Join(rest[1:], " "))
	case "right", "wrong", "planned":
		err = st.MarkAlert(ctx, id, *by, what, strings.Join(rest[1:], " "))
	default:
		list, err := st.ListAlerts(ctx, *node, *all, *most)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(os.Stdout, list)
		}
		printAlerts(os.Stdout, list)
		return nil
	}
	if err == nil && *asJSON {
		return printJSON(os.Stdout, map[string]any{"alert": id, "done": what, "by": *by})
	}
	return err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "somebody"
}

func printAlerts(out io.Writer, list []store.AlertRow) {
	if len(list) == 0 {
		fmt.Fprintln(out, "no alert")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ALERT\tSEVERITY\tABOUT\tSINCE\tSTATE\tWHAT")
	for _, a := range list {
		fmt.Fprintf(w, "a%d\t%s\t%s\t%s\t%s\t%s\n", a.ID, a.Severity, a.About, clock(a.BeganAt), alertState(a), a.Text)
	}
	_ = w.Flush()
}

func alertState(a store.AlertRow) string {
	state := []string{"open"}
	if a.ClosedAt != nil {
		state[0] = "closed"
	}
	for _, s := range []struct {
		is   bool
		word string
	}{{a.AckedBy != "", "acked by " + a.AckedBy}, {a.Planned, "planned"}, {a.Late, "late"}, {a.Flapping, "flapping"}, {a.Shadow, "in shadow"}, {a.PartOf != 0, fmt.Sprintf("part of a%d", a.PartOf)}} {
		if s.is {
			state = append(state, s.word)
		}
	}
	return strings.Join(state, ", ")
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
