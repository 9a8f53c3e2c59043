package keepalive

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"time"
)

const serversList = "servers.alive"

var serverName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,40}$`)

// keepServers keeps the programs of servers.alive running: in the foreground
// ("iperf3 iperf3 -s", not -D), as one that goes to the background looks ended.
// A line that changed or went stops its server.
func (s *Supervisor) keepServers(stopping, cancelled context.Context) {
	type server struct {
		words []string
		stop  context.CancelFunc
		done  chan struct{}
	}
	running := map[string]server{}
	var all sync.WaitGroup
	defer all.Wait()
	s.follow(stopping, serversList, func(lines []line) {
		wanted := map[string][]string{}
		for _, l := range lines {
			if err := rightServer(l.words, wanted); err != nil {
				s.wrongLine(serversList, l.n, err)
				continue
			}
			wanted[l.words[0]] = l.words[1:]
		}
		for name, r := range running {
			if !slices.Equal(r.words, wanted[name]) {
				r.stop()
				<-r.done
				delete(running, name)
			}
		}
		for name, words := range wanted {
			if _, ok := running[name]; ok {
				continue
			}
			c := s.child(Daemon{Name: "server-" + name, Path: words[0], Args: words[1:], Env: s.o.Env})
			c.t.stop = 5 * time.Second
			ctx, stop := context.WithCancel(stopping)
			done := make(chan struct{})
			running[name] = server{words: words, stop: stop, done: done}
			all.Go(func() {
				defer close(done)
				defer stop()
				c.run(ctx, cancelled)
			})
		}
	}, func() {})
}

func rightServer(words []string, before map[string][]string) error {
	switch {
	case len(words) < 2:
		return errors.New("write NAME PROGRAM ARGS…")
	case !serverName.MatchString(words[0]):
		return errors.New("a name has small letters, digits, - and _")
	case before[words[0]] != nil:
		return errors.New("this name stands further up")
	}
	_, err := exec.LookPath(words[1])
	return err
}
