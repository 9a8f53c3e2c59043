package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Reporter is told of progress and when to expect more.
type Reporter interface {
	Report(doing string, next time.Duration)
}

const (
	selfCheckEvery = 5 * time.Second
	selfCheckTime  = 10 * time.Second
	promise        = 30 * time.Second
	finishTime     = 10 * time.Second // for pages under way at the end
)

// Serve answers on ln until stopping ends; pages under way are finished, or
// dropped when cancelled ends. Progress is proven by fetching /-/ready through
// the listener as any reader would: a server that lives and answers nobody is
// found out. That the database is away is no fault of the server.
func (s *Site) Serve(stopping, cancelled context.Context, ln net.Listener, progress Reporter) error {
	server := &http.Server{
		Handler:           s.onlyUs(ln.Addr(), s.Handler()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return cancelled },
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	client := selfClient(ln.Addr())
	defer client.CloseIdleConnections()
	for {
		doing, err := selfCheck(cancelled, client)
		if err == nil {
			progress.Report(doing, promise)
		} else if stopping.Err() == nil {
			s.log.Warn("our own page did not answer", "error", err)
		}
		select {
		case err := <-failed:
			return fmt.Errorf("serve pages: %w", err)
		case <-stopping.Done():
			progress.Report("stopping", finishTime+5*time.Second)
			return s.shutdown(cancelled, server, failed)
		case <-time.After(selfCheckEvery):
		}
	}
}

func (s *Site) shutdown(cancelled context.Context, server *http.Server, failed <-chan error) error {
	ctx, cancel := context.WithTimeout(cancelled, finishTime)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		s.log.Warn("pages under way were dropped", "error", err)
		err = server.Close()
	}
	if end := <-failed; !errors.Is(end, http.ErrServerClosed) {
		return errors.Join(err, end)
	}
	return err
}

// selfClient connects to the listener itself, whatever proxy others use.
func selfClient(addr net.Addr) *http.Client {
	return &http.Client{
		Timeout: selfCheckTime,
		Transport: &http.Transport{
			Proxy:             nil,
			DisableKeepAlives: true, // each check is a new connection: the listener is what is proven
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, addr.Network(), reachable(addr))
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// reachable is the address by which this host reaches a listener of its own.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	host := "127.0.0.1"
	if tcp.IP.To4() == nil {
		host = "localhost" // "::" may take both families or one only
	}
	return net.JoinHostPort(host, fmt.Sprint(tcp.Port))
}

func selfCheck(ctx context.Context, client *http.Client) (doing string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/-/ready", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return "serving pages", nil
	case http.StatusServiceUnavailable:
		return "serving pages, waiting for the database", nil
	}
	return "", fmt.Errorf("our own /-/ready says %s", resp.Status)
}
