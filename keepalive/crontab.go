package keepalive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"

	"sonde/internal/proc"
)

const crontabFile = "crontab"

// cronTime bounds one program of the crontab.
const cronTime = time.Hour

// job is one line of the crontab.
type job struct {
	when  cron.Schedule
	words []string
}

// readJob reads five fields of time, a program and its arguments. robfig/cron
// knows also @every and TZ=, but a crontab that other people read should not.
func readJob(words []string) (job, error) {
	if len(words) > 0 && (strings.HasPrefix(words[0], "@") || strings.Contains(words[0], "=")) {
		return job{}, errors.New("neither @… nor NAME=… is known here: write five fields of time and a program")
	}
	if len(words) < 6 {
		return job{}, errors.New("write MINUTE HOUR DAY-OF-MONTH MONTH DAY-OF-WEEK PROGRAM ARGS…")
	}
	when, err := cron.ParseStandard(strings.Join(words[:5], " "))
	if err != nil {
		return job{}, err
	}
	if when.Next(time.Now()).IsZero() {
		return job{}, errors.New("such a time never comes")
	}
	return job{when: when, words: words[5:]}, nil
}

// runCrontab runs the programs of the crontab at their times. A program that
// still runs is not started a second time; what we were too late for is not made up for.
func (s *Supervisor) runCrontab(stopping context.Context) {
	var lines []line
	var table *cron.Cron
	var old []context.Context         // each ends when the last job of an earlier table did
	busy := map[string]*atomic.Bool{} // by line, so that a changed file does not forget what runs
	stop := func() {
		old = slices.DeleteFunc(old, func(ended context.Context) bool { return ended.Err() != nil })
		if table != nil {
			old = append(old, table.Stop())
		}
	}
	defer func() {
		stop()
		for _, ended := range old {
			<-ended.Done()
		}
	}()
	lay := func() {
		stop()
		table = cron.New()
		for _, l := range lines {
			j, err := readJob(l.words)
			if err != nil {
				s.wrongLine(crontabFile, l.n, err)
				continue
			}
			key := strings.Join(l.words, "\x00")
			if busy[key] == nil {
				busy[key] = &atomic.Bool{}
			}
			running := busy[key]
			table.Schedule(j.when, cron.FuncJob(func() {
				if stopping.Err() != nil {
					return
				}
				if !running.CompareAndSwap(false, true) {
					s.log.Warn("a program of the crontab still runs and is not started again", "line", l.n, "program", j.words[0])
					return
				}
				defer running.Store(false)
				s.runJob(stopping, l.n, j)
			}))
		}
		table.Start()
	}
	looked := time.Now()
	s.follow(stopping, crontabFile, func(read []line) {
		lines = read
		lay()
	}, func() {
		// robfig/cron waits by the monotonic clock for what it reckoned by the
		// other: a host without a battery clock, whose time comes by NTP after the
		// start, would run everything hours late.
		now := time.Now()
		if step := now.Round(0).Sub(looked.Round(0)) - now.Sub(looked); step.Abs() > time.Second {
			s.log.Info("the clock stepped; the crontab goes by the new time", "by", step.Round(time.Millisecond).String())
			lay()
		}
		looked = now
	})
}

func (s *Supervisor) runJob(ctx context.Context, n int, j job) {
	ctx, cancel := context.WithTimeout(ctx, cronTime)
	defer cancel()
	path := j.words[0]
	if path == "sonde" && s.o.Program != "" {
		path = s.o.Program
	}
	out, err := proc.Run(ctx, proc.Command{Path: path, Args: j.words[1:], Env: s.o.Env, Dir: s.o.State})
	if err != nil {
		s.log.Error("a program of the crontab failed", "line", n, "program", j.words[0], "error", err, "stderr", tail(out.Stderr))
	} else {
		s.log.Info("a program of the crontab ran", "line", n, "program", j.words[0], "took", out.Took.Round(time.Millisecond).String())
	}
	log, err := openLog(logFile(s.o.LogDir, "crontab"))
	if err != nil {
		s.log.Error("the log of the crontab cannot be written", "error", err)
		return
	}
	defer log.Close()
	fmt.Fprintf(log, "%s line %d %s code %d\n", time.Now().UTC().Format(time.RFC3339), n, j.words[0], out.Code)
	_, _ = io.Copy(log, strings.NewReader(string(out.Stdout)+string(out.Stderr)))
}

func tail(b []byte) string {
	const most = 300
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return strings.TrimSpace(string(b))
}
