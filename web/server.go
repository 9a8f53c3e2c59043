package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sonde/internal/store"
	"sonde/web/chart"
	"sonde/web/topology"
)

// Site serves the pages.
type Site struct {
	// Names under which the pages may be asked for, beside addresses and localhost.
	Names []string

	pages   *store.Pages
	log     *slog.Logger
	version string
	places  chan struct{} // how many pages are made at once
}

// New makes the site; it connects to nothing.
func New(pages *store.Pages, version string, log *slog.Logger) *Site {
	return &Site{pages: pages, log: log, version: version, places: make(chan struct{}, 4)}
}

// pageTime is how long one page may take, waiting for its turn included.
const pageTime = 25 * time.Second

// badRequest is a question that cannot be answered as it was put.
type badRequest struct{ sentence string }

func (b badRequest) Error() string { return b.sentence }

func isNone(err error) bool { return errors.Is(err, store.ErrNone) }

// policy lets a page load its own style sheet and nothing else; a picture that
// stands alone carries its sheet inside, which is known by its sum.
var policy = func() string {
	sheets := "'self'"
	for _, style := range []string{chart.Style, topology.Style} {
		sum := sha256.Sum256([]byte(style))
		sheets += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; style-src " + sheets + "; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// Handler answers GET and HEAD.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, make func(q request, r *http.Request) (string, any, error)) {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) { s.page(w, r, make) })
	}
	page("/{$}", overviewPage)
	page("/node/{name}", func(q request, r *http.Request) (string, any, error) { return nodePage(q, r, r.PathValue("name")) })
	page("/node", func(q request, r *http.Request) (string, any, error) { return nodePage(q, r, r.FormValue("name")) })
	page("/routes", gridPage)
	page("/routes/{spec}", routesPage)
	page("/hop/{address}", hopPage)
	page("/topology", topologyPage)
	page("/alerts", alertsPage)
	page("/alert/{id}", alertPage)
	page("/daemons", func(q request, r *http.Request) (string, any, error) {
		v, err := q.daemons()
		return "daemons.html", v, err
	})
	page("/mediums", func(q request, r *http.Request) (string, any, error) {
		v, err := q.mediums()
		return "mediums.html", v, err
	})
	mux.HandleFunc("GET /chart/{file}", s.file(chartAnswer))
	mux.HandleFunc("GET /hopchart/{file}", s.file(hopChartAnswer))
	for kind := range chartTypes {
		mux.HandleFunc("GET /topology."+kind, s.file(func(q request, r *http.Request, b *bytes.Buffer) (string, error) {
			return kind, topologyNumbers(q, r, b, kind)
		}))
	}
	for _, kind := range []string{"csv", "json"} {
		mux.HandleFunc("GET /routes."+kind, s.file(func(q request, r *http.Request, b *bytes.Buffer) (string, error) {
			return kind, gridNumbers(q, r, b, kind)
		}))
	}
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=300")
		fmt.Fprint(w, Style)
	})
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "healthy")
	})
	mux.HandleFunc("GET /-/ready", s.ready)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s.problem(w, http.StatusNotFound, "There is no such page.")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			s.problem(w, http.StatusMethodNotAllowed, "These pages can only be read: GET or HEAD, not "+short(20, r.Method)+".")
			return
		}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.log.Error("a page broke", "path", r.URL.Path, "panic", p)
				s.problem(w, http.StatusInternalServerError, "This page broke; the log of sonde web says how.")
			}
		}()
		mux.ServeHTTP(w, r)
	})
}

// read takes a place and runs f on one snapshot.
func (s *Site) read(ctx context.Context, f func(q request) error) error {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a place: %w", ctx.Err())
	}
	return s.pages.Read(ctx, func(r *store.Reading) error {
		zone, err := r.Zone(ctx)
		if err != nil {
			return err
		}
		return f(request{ctx: ctx, r: r, base: base{L: live{}, Now: r.Now, Zone: zone, Version: s.version}})
	})
}

// page makes a whole page before a byte of it is sent, so that nobody gets half of one.
func (s *Site) page(w http.ResponseWriter, r *http.Request, make func(request, *http.Request) (string, any, error)) {
	var b bytes.Buffer
	err := s.read(r.Context(), func(q request) error {
		name, view, err := make(q, r)
		if err != nil {
			return err
		}
		return write(&b, name, view)
	})
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	s.send(w, b.Bytes())
}

// file answers with a chart or numbers; make says of which kind they are.
func (s *Site) file(make func(q request, r *http.Request, b *bytes.Buffer) (kind string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		var kind string
		err := s.read(r.Context(), func(q request) (err error) {
			kind, err = make(q, r, &b)
			return err
		})
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", chartTypes[kind])
		s.send(w, b.Bytes())
	}
}

func (s *Site) send(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	if _, err := w.Write(b); err != nil {
		s.log.Debug("a page was not taken", "error", err)
	}
}

// refuse says why there is no page.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var bad badRequest
	switch {
	case errors.As(err, &bad):
		s.problem(w, http.StatusBadRequest, sentence(bad.sentence))
	case isNone(err):
		s.problem(w, http.StatusNotFound, "There is no "+strings.TrimSuffix(err.Error(), ": "+store.ErrNone.Error())+".")
	case r.Context().Err() != nil: // nobody waits for it any longer
		s.problem(w, http.StatusServiceUnavailable, "The reader went away.")
	case store.NotMigrated(err):
		s.log.Error("the database is not of this version", "path", r.URL.Path, "error", err)
		s.problem(w, http.StatusServiceUnavailable, "The database is not of this version of Sonde: run sonde migrate.")
	case store.TookTooLong(err), errors.Is(err, context.DeadlineExceeded) && s.answers():
		s.log.Warn("a page took too long", "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "30")
		s.problem(w, http.StatusServiceUnavailable, "The database took too long for this page. Choose a shorter range, or try again.")
	case store.IsAway(err), errors.Is(err, context.DeadlineExceeded):
		s.log.Warn("the database is away", "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "5")
		s.problem(w, http.StatusServiceUnavailable, "The database cannot be reached. Measuring goes on: what is measured meanwhile is kept and shown when the database is back.")
	default:
		s.log.Error("a page failed", "path", r.URL.Path, "error", err)
		s.problem(w, http.StatusInternalServerError, "This page could not be made; the log of sonde web says why.")
	}
}

func (s *Site) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.pages.Ready(ctx) == nil
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

type problemView struct {
	base
	Status int
	Text   string
}

func (s *Site) problem(w http.ResponseWriter, status int, text string) {
	var b bytes.Buffer
	now := time.Now().UTC()
	v := problemView{base{L: live{}, Title: http.StatusText(status), Now: now, Zone: time.UTC, Version: s.version}, status, text}
	if status == http.StatusServiceUnavailable {
		v.Refresh = 15
	}
	if err := write(&b, "problem.html", v); err != nil {
		s.log.Error("the page of problems broke", "error", err)
		http.Error(w, text, status)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Del("Content-Length")
	w.WriteHeader(status)
	s.send(w, b.Bytes())
}

// ready says whether pages can be made now.
func (s *Site) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := s.pages.Ready(ctx); err != nil {
		s.log.Debug("not ready", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "waiting for the database")
		return
	}
	fmt.Fprintln(w, "ready")
}
