package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sonde/analysis"
	"sonde/analysis/anomaly"
	"sonde/analysis/catalog"
	"sonde/internal/measure"
)

// detectFlags are what sonde detect was asked for.
type detectFlags struct {
	in, out, kind, interval string
	data, series            string
	method                  string
	options                 []string
}

// runDetect reads series from files and writes how a detector scores their rows:
// the detector of the analyst, row by row.
func runDetect(ctx context.Context, args []string) error {
	var f detectFlags
	fs := flags("detect")
	fs.StringVar(&f.in, "in", "", "a series: CSV with the columns timestamp and value; - for standard input")
	fs.StringVar(&f.out, "out", "", "where the scores go: a file, - for standard output; with --data a directory")
	fs.StringVar(&f.kind, "kind", "unknown", "what the series is: "+strings.Join(anomaly.Kinds, ", "))
	fs.StringVar(&f.interval, "interval", "", "how far apart its samples are: seconds, or 5m")
	fs.StringVar(&f.data, "data", "", "a directory of series")
	fs.StringVar(&f.series, "series", "", "which files in it: JSON, name to kind and interval_s")
	fs.StringVar(&f.method, "method", "anomaly", "the method of analysis")
	fs.StringArrayVarP(&f.options, "option", "o", nil, "name=value: an option of the method")
	if err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	if f.data != "" {
		return f.directory(ctx)
	}
	return f.one()
}

// known says of one series what its probe knows.
type known struct {
	Kind      string  `json:"kind"`
	IntervalS float64 `json:"interval_s"`
}

func (f *detectFlags) one() error {
	switch {
	case f.in == "":
		return usageError("say which series: --in FILE, or --data DIR --series FILE for many")
	case f.out == "":
		return usageError("say where the scores go: --out FILE, or --out - for standard output")
	case f.series != "":
		return usageError("--series goes with --data DIR")
	}
	step, err := readStep(f.interval)
	if err != nil {
		return err
	}
	in := io.Reader(os.Stdin)
	if f.in != "-" {
		file, err := os.Open(f.in)
		if err != nil {
			return fmt.Errorf("read the series: %w", err)
		}
		defer file.Close()
		in = file
	}
	return f.score(in, f.in, f.out, f.kind, step)
}

// directory scores all series that the file names, each into a file of the same name.
func (f *detectFlags) directory(ctx context.Context) error {
	switch {
	case f.in != "":
		return usageError("--in and --data are two ways to name series: give one")
	case f.series == "":
		return usageError("--data needs --series FILE: JSON that gives kind and interval_s for each file")
	case f.out == "" || f.out == "-":
		return usageError("--data needs --out DIR")
	}
	raw, err := os.ReadFile(f.series)
	if err != nil {
		return fmt.Errorf("read what is known of the series: %w", err)
	}
	var all map[string]known
	if err := json.Unmarshal(raw, &all); err != nil {
		return fmt.Errorf("%s: wanted {\"NAME.csv\": {\"kind\": \"rtt\", \"interval_s\": 240}, …}: %w", f.series, err)
	}
	var failed []error // one series that cannot be read costs none of the others
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if ctx.Err() != nil {
			failed = append(failed, errors.New("stopped"))
			break
		}
		if err := f.inDirectory(name, all[name]); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func (f *detectFlags) inDirectory(name string, of known) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%s: %q leads out of the directory", f.series, name)
	}
	if s := of.IntervalS; !(s >= 0.001 && s <= 366*86400) {
		return fmt.Errorf("%s: %q has interval_s %v: wanted the seconds between two samples", f.series, name, s)
	}
	in, err := os.Open(filepath.Join(f.data, name))
	if err != nil {
		return fmt.Errorf("read a series: %w", err)
	}
	defer in.Close()
	out := filepath.Join(f.out, name)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("write the scores: %w", err)
	}
	return f.score(in, name, out, of.Kind, time.Duration(of.IntervalS*float64(time.Second)))
}

func readStep(text string) (time.Duration, error) {
	if text == "" {
		return 0, usageError("say how far apart the samples are: --interval 300, or --interval 5m")
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if !(s >= 0.001 && s <= 366*86400) {
			return 0, usageError("--interval %s: wanted the seconds between two samples", text)
		}
		return time.Duration(s * float64(time.Second)), nil
	}
	d, err := measure.ParseDuration(text)
	if err != nil {
		return 0, usageError("--interval %s: %v", text, err)
	}
	if d < time.Millisecond {
		return 0, usageError("--interval %s: wanted a millisecond at least", text)
	}
	return d, nil
}

// detector builds the detector for one series.
func (f *detectFlags) detector(kind string, step time.Duration) (analysis.Detector, error) {
	methods := catalog.All()
	i := slices.IndexFunc(methods, func(m analysis.Method) bool { return m.Name == f.method })
	if i < 0 {
		var names []string
		for _, m := range methods {
			names = append(names, m.Name)
		}
		return nil, usageError("--method %s: there is none; known are %s", f.method, strings.Join(names, ", "))
	}
	m := methods[i]
	given := slices.Clone(f.options)
	for _, o := range m.Options {
		switch o.Name {
		case "kind":
			given = append(given, "kind="+kind)
		case "interval":
			given = append(given, "interval="+measure.FormatDuration(step))
		}
	}
	raw, err := specOf(m.Options, given)
	if err != nil {
		return nil, err
	}
	options, err := measure.ReadOptions(m.Options, raw)
	if err != nil {
		return nil, usageError("method %s: %v", m.Name, err)
	}
	return m.New(options, nil)
}

// score writes one row for each row of the series. A file appears whole or not at
// all: scores of half a series would be taken for those of all.
func (f *detectFlags) score(in io.Reader, name, out, kind string, step time.Duration) (failed error) {
	d, err := f.detector(kind, step)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	file := os.Stdout
	if out != "-" {
		if read, isFile := in.(*os.File); isFile && same(read, out) {
			return usageError("%s: the scores would be written over the series: give another --out", name)
		}
		part := out
		if is, err := os.Stat(out); err != nil || is.Mode().IsRegular() { // a pipe or a device is written as it is
			part = out + ".part"
		}
		if file, err = os.Create(part); err != nil {
			return fmt.Errorf("write the scores: %w", err)
		}
		defer func() {
			switch {
			case part == out:
			case failed != nil:
				_ = os.Remove(part)
			default:
				if err := os.Rename(part, out); err != nil {
					failed = fmt.Errorf("write the scores: %w", err)
				}
			}
		}()
	}
	w := bufio.NewWriterSize(file, 1<<16)
	err = scoreRows(in, w, d)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	if flushed := w.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("write the scores: %w", flushed)
	}
	if out != "-" {
		if closed := file.Close(); err == nil && closed != nil {
			err = fmt.Errorf("write the scores: %w", closed)
		}
	}
	return err
}

// same reports whether path names the file that is read.
func same(read *os.File, path string) bool {
	a, err := read.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

func scoreRows(in io.Reader, w *bufio.Writer, d analysis.Detector) error {
	r := csv.NewReader(bufio.NewReaderSize(in, 1<<16))
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	scorer, _ := d.(analysis.Scorer)
	fmt.Fprintln(w, "timestamp,score")
	when, what := 0, 1 // the columns, without a header
	for first := true; ; first = false {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			if first {
				return errors.New("the file is empty: wanted the header timestamp,value and one row a sample")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if first && isHeader(row) {
			if when, what, err = columns(row); err != nil {
				line, _ := r.FieldPos(0)
				return fmt.Errorf("line %d: %w", line, err)
			}
			continue
		}
		line, _ := r.FieldPos(0) // blank lines are no rows
		if when >= len(row) {
			return fmt.Errorf("line %d: there is no column %d, the timestamp", line, when+1)
		}
		at, err := readInstant(row[when])
		if err != nil {
			if len(row) == 1 && strings.ContainsAny(row[0], ";\t ") {
				err = fmt.Errorf("%w; and a comma between the columns", err)
			}
			return fmt.Errorf("line %d: %w", line, err)
		}
		s := measure.Sample{RunKey: measure.RunKey{DueAt: at}, Outcome: measure.OK, Value: math.NaN()}
		if len(row) > what {
			if text := strings.TrimSpace(row[what]); text != "" {
				if s.Value, err = strconv.ParseFloat(text, 64); err != nil {
					line, _ := r.FieldPos(what)
					return fmt.Errorf("line %d: %q is no number; an empty field says that there is none", line, row[what])
				}
			}
		}
		bad := false
		for _, v := range d.Feed(s) {
			bad = bad || v.Kind == measure.Bad
		}
		score := 0.0
		switch {
		case scorer != nil:
			score = scorer.Score()
		case bad:
			score = 1
		}
		w.WriteString(row[when])
		w.WriteByte(',')
		w.WriteString(strconv.FormatFloat(score, 'f', 4, 64))
		w.WriteByte('\n')
	}
}

// isHeader reports whether the first row of a file names its columns: one is known,
// or all are words.
func isHeader(row []string) bool {
	words := 0
	for _, field := range row {
		switch field = columnName(field); {
		case field == "timestamp" || field == "value":
			return true
		case field != "" && field[0] >= '0' && field[0] <= '9':
			return false
		case field != "":
			words++
		}
	}
	return words > 0
}

// columns finds the two columns that are read, by name; others may stand anywhere.
func columns(header []string) (when, what int, err error) {
	when, what = -1, -1
	for i, field := range header {
		for name, at := range map[string]*int{"timestamp": &when, "value": &what} {
			if columnName(field) == name {
				if *at >= 0 {
					return 0, 0, fmt.Errorf("two columns are named %s", name)
				}
				*at = i
			}
		}
	}
	var missing []string
	if when < 0 {
		missing = append(missing, "timestamp")
	}
	if what < 0 {
		missing = append(missing, "value")
	}
	if len(missing) > 0 {
		err = fmt.Errorf("the header has no column %s: it is %.60q, wanted timestamp and value among others, with commas between", strings.Join(missing, " and no column "), strings.Join(header, ","))
	}
	return when, what, err
}

// columnName is a field of the header as it is compared; spreadsheets put a byte
// order mark before the first.
func columnName(field string) string {
	return strings.ToLower(strings.TrimSpace(strings.TrimPrefix(field, "\ufeff")))
}

// readInstant reads a time of a series: UTC, with or without a fraction, or seconds since 1970.
func readInstant(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{time.DateTime, time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	// What a person would write as a plain number or a year is none.
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 1e8 && s < 1e10 {
		return time.UnixMicro(int64(math.Round(s * 1e6))).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: wanted 2006-01-02 15:04:05, UTC, or seconds since 1970", text)
}
