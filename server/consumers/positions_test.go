package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// refusing is a database that does not take what is of some groups.
type refusing struct {
	refused map[uint64]bool
	err     error
	calls   int
	saved   []uint64 // groups, in order
}

func (r *refusing) Channel(string) *stores.Channel { return nil }

func (r *refusing) SaveConsumers(_ context.Context, c stores.ConsumerChanges) error {
	r.calls++
	for _, p := range c.Positions {
		if r.refused[p.Consumer] {
			return fmt.Errorf("consumer %d: %w", p.Consumer, r.err)
		}
	}
	for _, p := range c.Positions {
		r.saved = append(r.saved, p.Consumer)
	}
	return nil
}

// many returns groups that each were sent a message.
func many(p *positions, n int) []*Group {
	groups := make([]*Group, n)
	for i := range groups {
		g := &Group{ch: &eventlog.Channel{}, log: slog.New(slog.DiscardHandler), metrics: newSink(), written: p.add}
		m := active(&g.state, uint64(i+1), 10)
		g.state.sent(m, 1, 0)
		g.touch()
		groups[i] = g
	}
	return groups
}

// A group that the database refuses does not keep the positions of others from being written, is not tried all the time, and is
// told of once; a request of it gets the error at once.
func TestRefusedGroupIsAlone(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	db := &refusing{refused: map[uint64]bool{17: true}, err: errors.New("no")}
	p := newPositions(db, &Options{Interval: rarely, StoreTimeout: time.Minute}, newSink(), slog.New(slog.NewTextHandler(&log, nil)))
	groups := many(p, 40)
	p.write(t.Context(), time.Minute)
	slices.Sort(db.saved)
	if len(db.saved) != 39 || slices.Contains(db.saved, 17) {
		t.Errorf("saved %v", db.saved)
	}
	if db.calls > 14 {
		t.Errorf("%d transactions to find one group of 40", db.calls)
	}
	groups[0].ack(groups[0].state.members[0], 1)
	calls := db.calls
	p.write(t.Context(), time.Minute)
	if db.calls != calls+1 {
		t.Errorf("%d transactions for the change of another group", db.calls-calls)
	}
	result := make(chan error)
	go func() { result <- p.wait(t.Context(), groups[16]) }()
	<-p.wake
	p.write(t.Context(), time.Minute)
	if err := <-result; err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("a request of the group: %v", err)
	}
	if n := strings.Count(log.String(), "refuses"); n != 1 {
		t.Errorf("%d log lines:\n%s", n, log.String())
	}
	db.refused = nil
	go func() { result <- p.wait(t.Context(), groups[16]) }()
	<-p.wake
	p.write(t.Context(), time.Minute)
	if err := <-result; err != nil || !slices.Contains(db.saved, 17) {
		t.Errorf("when the database takes it: %v", err)
	}
}

// While the database is unavailable, requests wait until their own deadline, and what they changed is written later.
func TestUnavailableDatabase(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	db := &refusing{refused: map[uint64]bool{1: true}, err: stores.ErrUnavailable}
	p := newPositions(db, &Options{Interval: rarely, StoreTimeout: time.Minute}, newSink(), slog.New(slog.NewTextHandler(&log, nil)))
	g := many(p, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- p.wait(ctx, g) }()
	<-p.wake
	p.write(t.Context(), time.Minute)
	p.write(t.Context(), time.Minute)
	cancel()
	if err := <-result; !errors.Is(err, stores.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("a request whose time is over: %v", err)
	}
	db.refused = nil
	p.write(t.Context(), time.Minute)
	if !slices.Equal(db.saved, []uint64{1}) {
		t.Errorf("saved %v", db.saved)
	}
	p.write(t.Context(), time.Minute)
	if db.calls != 3 {
		t.Errorf("%d transactions, the last one for nothing", db.calls)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d log lines:\n%s", n, log.String())
	}

	// A server that has lost the lease does not have requests wait.
	db.refused, db.err = map[uint64]bool{1: true}, stores.ErrFenced
	g.ack(g.state.members[0], 1)
	go func() { result <- p.wait(t.Context(), g) }()
	<-p.wake
	p.write(t.Context(), time.Minute)
	if err := <-result; !errors.Is(err, stores.ErrFenced) {
		t.Errorf("fenced: %v", err)
	}
}

// After the end, a request is told whether its change was in the last write.
func TestWaitAfterTheEnd(t *testing.T) {
	t.Parallel()
	db := &refusing{refused: map[uint64]bool{2: true}, err: stores.ErrUnavailable}
	p := newPositions(db, &Options{Interval: rarely, StoreTimeout: time.Minute}, newSink(), slog.New(slog.DiscardHandler))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	good := many(p, 1)[0]
	p.run(ended)
	if err := p.wait(t.Context(), good); err != nil {
		t.Errorf("it was in the last write: %v", err)
	}
	bad := many(p, 2)[1]
	if err := p.wait(t.Context(), bad); !errors.Is(err, errStopped) {
		t.Errorf("nothing is written any more: %v", err)
	}
}

// BenchmarkFlush is the cost of a write when few of many unacknowledged messages were acknowledged: in memory, and with the
// text that is written.
func BenchmarkFlush(b *testing.B) {
	for _, held := range []int{1_000, 200_000} {
		b.Run(fmt.Sprint(held), func(b *testing.B) {
			b.ReportAllocs()
			db := &textSize{}
			p := newPositions(db, &Options{Interval: rarely, StoreTimeout: time.Minute}, newSink(), slog.New(slog.DiscardHandler))
			g := &Group{ch: &eventlog.Channel{}, log: slog.New(slog.DiscardHandler), metrics: newSink(), written: p.add}
			m := active(&g.state, 1, 1<<30)
			for seq := range uint64(held) {
				g.state.sent(m, seq+1, 0)
			}
			g.touch()
			p.write(b.Context(), time.Minute)
			first := db.parts
			db.parts, db.runs = 0, 0
			seq := uint64(0)
			for b.Loop() {
				for range 10 {
					seq = (seq+7919)%uint64(held) + 1
					g.ack(m, seq)
					g.state.sent(m, seq, 0)
				}
				p.write(b.Context(), time.Minute)
			}
			b.ReportMetric(float64(first), "parts/all")
			b.ReportMetric(float64(db.parts)/float64(b.N), "parts/op")
			b.ReportMetric(float64(db.runs)/float64(b.N), "runs/op")
		})
	}
}

// textSize counts what is written.
type textSize struct{ parts, runs int }

func (*textSize) Channel(string) *stores.Channel { return nil }

func (s *textSize) SaveConsumers(_ context.Context, c stores.ConsumerChanges) error {
	for _, p := range c.Positions {
		s.parts += len(p.Parts)
		for _, runs := range p.Parts {
			s.runs += len(runs)
		}
	}
	return nil
}
