package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// output collects a log.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

// take returns the lines since the last call.
func (o *output) take() (lines []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(o.buf.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	o.buf.Reset()
	return lines
}

// refusing calls f in a bubble of its own time, with metrics whose refusals are told until f returns.
func refusing(t *testing.T, f func(m *Metrics, log *output)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &output{}
		m := newMetrics(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		})))
		ctx, stop := context.WithCancel(t.Context())
		var telling sync.WaitGroup
		telling.Go(func() { m.refusals.run(ctx) })
		f(m, log)
		stop()
		telling.Wait()
	})
}

func expectLines(t *testing.T, what string, log *output, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := log.take(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: lines\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRefusalsAreToldOncePerInterval(t *testing.T) {
	t.Parallel()
	refusing(t, func(m *Metrics, log *output) {
		version := fmt.Errorf("append: %w", &stores.VersionError{})
		first := `level=WARN msg="Request refused" operation=connect reason=client_registered client=me channel="" error="stan: clientID already registered"`
		m.Refused("connect", "me", "", stan.ErrClientRegistered)
		expectLines(t, "the first", log, first)
		for range 41 {
			m.Refused("connect", "me", "", stan.ErrClientRegistered)
		}
		expectLines(t, "more at once", log)
		// Another client, reason or operation has a line of its own.
		m.Refused("connect", "you", "", stan.ErrClientRegistered)
		m.Refused("connect", "me", "", stan.ErrInvalidConnect)
		m.Refused("publish", "me", "c", version)
		if got := log.take(); len(got) != 3 || !strings.Contains(got[2], "operation=publish reason=wrong_version client=me channel=c ") {
			t.Errorf("others: %q", got)
		}
		time.Sleep(refusalInterval + refusalSweep)
		expectLines(t, "an interval later", log, first+" count=41")
		time.Sleep(refusalInterval + refusalSweep)
		expectLines(t, "a quiet interval", log)
		m.Refused("connect", "me", "", stan.ErrClientRegistered)
		expectLines(t, "again, after a pause", log, first)
		m.Refused("connect", "me", "", stan.ErrClientRegistered)
		expectLines(t, "once more", log)
	})
}

// The last refusals before a stop are told.
func TestRefusalsAreToldAtTheEnd(t *testing.T) {
	t.Parallel()
	var log *output
	refusing(t, func(m *Metrics, l *output) {
		log = l
		for range 3 {
			m.Refused("subscription", "me", "c", consumers.ErrTooManySubs)
		}
		log.take()
	})
	if got := log.take(); len(got) != 1 || !strings.HasSuffix(got[0], "count=2") {
		t.Errorf("lines %q", got)
	}
}

// Errors of an outage have a line of their own: what it refuses is counted.
func TestOutageIsNotARefusal(t *testing.T) {
	t.Parallel()
	refusing(t, func(m *Metrics, log *output) {
		for _, err := range []error{stores.ErrUnavailable, stores.ErrOutcomeUnknown, stores.ErrFenced} {
			m.Refused("publish", "me", "c", fmt.Errorf("append: %w", err))
		}
		expectLines(t, "an outage", log)
		for _, kind := range []string{kindUnavailable, kindOutcomeUnknown, kindFenced} {
			if got := m.errorCount(t, "publish", kind); got != 1 {
				t.Errorf("%v errors of kind %s", got, kind)
			}
		}
	})
}

// Clients that invent names fill neither the memory nor the log, however long the names.
func TestFloodOfRefusals(t *testing.T) {
	t.Parallel()
	refusing(t, func(m *Metrics, log *output) {
		const hours, perMinute = 3, 200
		bytes, lines, most := 0, 0, 0
		for i := range hours * 60 * perMinute {
			name := fmt.Sprintf("%d-%s", i, strings.Repeat("x", 3*refusalText))
			m.Refused("connect", name, name, fmt.Errorf("%w: %s", stan.ErrInvalidClientID, name))
			m.Refused("publish", name, name, stan.ErrInvalidPublish)
			time.Sleep(time.Minute / perMinute)
			m.refusals.mu.Lock()
			most = max(most, len(m.refusals.told))
			m.refusals.mu.Unlock()
		}
		if most > maxRefusals+2 {
			t.Errorf("%d refusals were remembered", most)
		}
		others := regexp.MustCompile(`msg="Requests of other clients refused" .* count=\d+$`)
		told := 0
		for _, line := range log.take() {
			lines++
			bytes += len(line)
			if others.MatchString(line) {
				told++
			}
		}
		// At the beginning and once an hour a line for each remembered client, and a line a minute for the others.
		if most := (hours+1)*(maxRefusals+1) + 2*hours*60; lines > most || bytes > most*5*refusalText {
			t.Errorf("%d lines with %d bytes, want at most %d", lines, bytes, most)
		}
		if told < hours*60 {
			t.Errorf("%d lines about other clients", told)
		}
		if got := m.errorCount(t, "publish", kindInvalidRequest); got != hours*60*perMinute {
			t.Errorf("%v refusals counted", got)
		}
	})
}

// A name is one value of its line, whatever it holds.
func TestRefusalOfHostileName(t *testing.T) {
	t.Parallel()
	refusing(t, func(m *Metrics, log *output) {
		m.Refused("publish", "a b=c\n\x1b", "c\nd", errors.New("e\nf"))
		expectLines(t, "hostile names", log,
			`level=WARN msg="Request refused" operation=publish reason=other client="a b=c\n\x1b" channel="c\nd" error="e\nf"`)
	})
}
