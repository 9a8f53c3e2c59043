package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sonde/config"
	"sonde/internal/rib"
	"sonde/internal/store"
)

// runASN loads tables of AS, and tells what is known of addresses.
func runASN(ctx context.Context, args []string) error {
	fs := flags("asn")
	from := config.Flags(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args, 0, -1); err != nil {
		return err
	}
	what, rest := fs.Arg(0), []string{}
	if fs.NArg() > 0 {
		rest = fs.Args()[1:]
	}
	switch {
	case what != "" && what != "load" && what != "show":
		return usageError("%q is neither load nor show", what)
	case what != "" && len(rest) == 0:
		return usageError("sonde asn load FILE… (- is standard input) · show ADDRESS…")
	}
	var addresses []netip.Addr
	if what == "show" {
		for _, text := range rest {
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" {
				return usageError("%q is no IP address", text)
			}
			addresses = append(addresses, a.Unmap())
		}
	}
	var t rib.Tables
	var form string
	if what == "load" {
		// Read whole before the database is touched: a damaged file changes nothing.
		var err error
		if form, err = readTables(&t, rest); err != nil {
			return err
		}
	}
	st, done, err := openStore(ctx, from)
	if err != nil {
		return err
	}
	defer done()
	switch what {
	case "load":
		return loadTables(ctx, st, &t, filesLoaded(rest), form, *asJSON)
	case "show":
		known, err := st.KnownAddresses(ctx, addresses)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(os.Stdout, known)
		}
		return printAddresses(os.Stdout, known)
	}
	o, err := st.ASOverview(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(os.Stdout, o)
	}
	printASOverview(os.Stdout, o, time.Now())
	return nil
}

// readTables reads files of one kind and gives their forms.
func readTables(t *rib.Tables, files []string) (string, error) {
	var forms []string
	for _, name := range files {
		form, err := readTable(t, name)
		if err != nil {
			return "", fmt.Errorf("%s: %w; nothing is changed", name, err)
		}
		if !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	switch {
	case t.Prefixes.Empty() && len(t.Names) == 0:
		return "", fmt.Errorf("%s: there is no prefix and no name in it; nothing is changed", strings.Join(files, ", "))
	case !t.Prefixes.Empty() && len(t.Names) > 0:
		return "", fmt.Errorf("these are tables of prefixes and of names: load one kind at a time; nothing is changed")
	}
	return strings.Join(forms, ", "), nil
}

func readTable(t *rib.Tables, name string) (string, error) {
	if name == "-" {
		return t.Read(os.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return t.Read(f)
}

// filesLoaded names files without their folders.
func filesLoaded(files []string) string {
	var names []string
	for _, f := range files {
		if f == "-" {
			f = "standard input"
		}
		names = append(names, filepath.Base(f))
	}
	return strings.Join(names, ", ")
}

func loadTables(ctx context.Context, st *store.Store, t *rib.Tables, files, form string, asJSON bool) error {
	loaded := store.ASLoad{Kind: "names", Files: files, Form: form, Entries: int64(len(t.Names))}
	said := ""
	if len(t.Names) > 0 {
		var names []store.ASName
		for _, as := range slices.Sorted(maps.Keys(t.Names)) {
			names = append(names, store.ASName{AS: as, Name: t.Names[as].Name, Country: t.Names[as].Country})
		}
		if err := st.LoadASNames(ctx, files, form, names); err != nil {
			return err
		}
	} else {
		entries, known, err := st.LoadPrefixes(ctx, files, form, prefixes(t))
		if err != nil {
			return err
		}
		loaded.Kind, loaded.Entries = "prefixes", entries
		said = fmt.Sprintf("; they hold %d addresses of results", known)
	}
	if asJSON {
		return printJSON(os.Stdout, map[string]any{"kind": loaded.Kind, "files": loaded.Files, "form": loaded.Form, "entries": loaded.Entries})
	}
	fmt.Printf("loaded %d %s from %s (%s)%s\n", loaded.Entries, map[string]string{"names": "names of AS", "prefixes": "prefixes"}[loaded.Kind], files, form, said)
	return nil
}

func prefixes(t *rib.Tables) iter.Seq[store.ASPrefix] {
	return func(yield func(store.ASPrefix) bool) {
		for e := range t.Prefixes.All() {
			if !yield(store.ASPrefix(e)) {
				return
			}
		}
	}
}

func printASOverview(w io.Writer, o store.ASOverview, now time.Time) {
	for _, kind := range []string{"prefixes", "names"} {
		i := slices.IndexFunc(o.Loads, func(l store.ASLoad) bool { return l.Kind == kind })
		if i < 0 {
			fmt.Fprintf(w, "%-10s none is loaded: sonde asn load FILE\n", kind)
			continue
		}
		l := o.Loads[i]
		fmt.Fprintf(w, "%-10s %d from %s (%s), loaded %s ago by %s\n", kind, l.Entries, l.Files, l.Form, roughly(now.Sub(l.LoadedAt)), l.LoadedBy)
	}
	fmt.Fprintf(w, "%-10s %d of results, %d of them private or otherwise special and not looked up\n", "addresses", o.Addresses, o.Special)
	fmt.Fprintf(w, "%-10s of %d addresses by the table, of %d by DNS\n", "AS", o.ByTable, o.ByDNS)
	fmt.Fprintf(w, "%-10s of %d addresses, of %d of %d AS\n", "names", o.Named, o.NamedAS, o.Systems)
	if o.Waiting > 0 {
		fmt.Fprintf(w, "%-10s %d addresses, the first since %s\n", "waiting", o.Waiting, roughly(now.Sub(*o.WaitSince)))
	}
	if o.Failing > 0 {
		fmt.Fprintf(w, "%-10s %d addresses got no answer, such as: %s\n", "failing", o.Failing, onOneLine(o.Failure))
	}
}

func printAddresses(out io.Writer, known []store.KnownAddress) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ADDRESS\tAS\tAS NAME\tPREFIX\tBY\tNAME\tSTATE")
	for _, k := range known {
		as, by, prefix, name := "-", "-", "-", "-"
		if k.AS != nil {
			as, by = fmt.Sprintf("AS%d", *k.AS), k.Source
			for _, other := range k.Origins {
				if other != *k.AS {
					as += fmt.Sprintf(",%d", other)
				}
			}
		}
		if k.Prefix != nil {
			prefix = *k.Prefix
		}
		if k.Name != nil {
			name = *k.Name
		}
		asName := k.ASName
		if k.Country != "" {
			asName = strings.TrimSpace(asName + ", " + k.Country)
		}
		if asName == "" {
			asName = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Address, as, asName, prefix, by, name, stateOf(k))
	}
	return w.Flush()
}

// stateOf says why something is not known.
func stateOf(k store.KnownAddress) string {
	switch {
	case k.Special != "" && k.NameAt != nil:
		return k.Special
	case k.Special != "":
		return k.Special + ", not looked up"
	case !k.Met:
		return "no result has it"
	case k.Failure != "":
		return "no answer: " + onOneLine(k.Failure)
	case k.NextAt == nil && k.AS == nil && k.Name == nil:
		return "at rest: look-ups are turned off, or it is not measured any more"
	case k.ASAt == nil && k.NameAt == nil:
		return "not looked up yet"
	case k.AS == nil && k.ASAt != nil:
		return "nobody announces it"
	}
	return "known"
}
