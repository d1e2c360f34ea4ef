package main

import (
	"fmt"
	"time"
)

// progressEvery is the shortest time between two reports.
const progressEvery = 500 * time.Millisecond

// progress tells how far something long is, with its rate and the time that is left: on a terminal, or with --progress.
type progress struct {
	t        *tool
	what     string // such as "events"
	total    uint64 // 0 if it is not known
	terminal bool
	shown    bool // something is on the current line of the terminal
	began    time.Time
	last     time.Time
}

func (t *tool) newProgress(what string, total uint64) *progress {
	p := &progress{t: t, what: what, total: total, terminal: isTerminal(t.err), began: time.Now(), last: time.Now()}
	if !p.terminal && !t.progress {
		return nil
	}
	return p
}

// at reports that so much is done.
func (p *progress) at(done uint64) {
	if p == nil || time.Since(p.last) < progressEvery {
		return
	}
	p.last = time.Now()
	rate := float64(done) / time.Since(p.began).Seconds()
	line := fmt.Sprintf("%s %s, %s/s", number(done), p.what, number(uint64(rate)))
	if p.total > 0 && done <= p.total && rate > 0 {
		left := time.Duration(float64(p.total-done) / rate * float64(time.Second))
		line = fmt.Sprintf("%s of %s %s (%d %%), %s/s, %v left", number(done), number(p.total), p.what, 100*done/p.total, number(uint64(rate)), left.Round(time.Second))
	}
	if p.terminal {
		fmt.Fprint(p.t.err, "\r\x1b[K"+line)
		p.shown = true
		return
	}
	fmt.Fprintln(p.t.err, line)
}

// clear removes the line before something else is printed.
func (p *progress) clear() {
	if p != nil && p.shown {
		fmt.Fprint(p.t.err, "\r\x1b[K")
		p.shown = false
	}
}
