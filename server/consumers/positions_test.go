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

// refusing is a database that refuses the changes of some groups.
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

// many returns n groups, each of which was sent a message.
func many(p *positions, n int) []*Group {
	groups := make([]*Group, n)
	for i := range groups {
		g := &Group{line: &eventlog.Channel{}, log: slog.New(slog.DiscardHandler), metrics: newSink(), markDirty: p.add}
		m := active(&g.state, uint64(i+1), 10)
		g.state.sent(m, 1, 0)
		g.touch()
		groups[i] = g
	}
	return groups
}

// A refused group does not keep others from being written, is not retried all the time, and is logged once. A request
// that waits for it gets the error at once.
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
		t.Errorf("%d transactions to write another group, want 1", db.calls-calls)
	}
	result := make(chan error)
	go func() { result <- p.wait(t.Context(), groups[16]) }()
	<-p.wake
	p.write(t.Context(), time.Minute)
	if err := <-result; err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("a request for the refused group: %v", err)
	}
	if n := strings.Count(log.String(), "Database refused"); n != 1 {
		t.Errorf("%d log lines:\n%s", n, log.String())
	}
	db.refused = nil
	go func() { result <- p.wait(t.Context(), groups[16]) }()
	<-p.wake
	p.write(t.Context(), time.Minute)
	if err := <-result; err != nil || !slices.Contains(db.saved, 17) {
		t.Errorf("once the database accepts the group: %v", err)
	}
}

// During an outage, requests wait until their own deadline, and their changes are written later.
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
		t.Errorf("a request past its deadline: %v", err)
	}
	db.refused = nil
	p.write(t.Context(), time.Minute)
	if !slices.Equal(db.saved, []uint64{1}) {
		t.Errorf("saved %v", db.saved)
	}
	p.write(t.Context(), time.Minute)
	if db.calls != 3 {
		t.Errorf("%d transactions, want 3", db.calls)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d log lines:\n%s", n, log.String())
	}

	// After the lease is lost, requests do not wait.
	db.refused, db.err = map[uint64]bool{1: true}, stores.ErrFenced
	g.ack(g.state.members[0], 1)
	go func() { result <- p.wait(t.Context(), g) }()
	<-p.wake
	p.write(t.Context(), time.Minute)
	if err := <-result; !errors.Is(err, stores.ErrFenced) {
		t.Errorf("fenced: %v", err)
	}
}

// After the end, a request learns whether the last write contained its change.
func TestWaitAfterTheEnd(t *testing.T) {
	t.Parallel()
	db := &refusing{refused: map[uint64]bool{2: true}, err: stores.ErrUnavailable}
	p := newPositions(db, &Options{Interval: rarely, StoreTimeout: time.Minute}, newSink(), slog.New(slog.DiscardHandler))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	good := many(p, 1)[0]
	p.run(ended)
	if err := p.wait(t.Context(), good); err != nil {
		t.Errorf("a change in the last write: %v", err)
	}
	bad := many(p, 2)[1]
	if err := p.wait(t.Context(), bad); !errors.Is(err, ErrStopped) {
		t.Errorf("a change after the last write: %v", err)
	}
}

// BenchmarkFlush measures a write after a few of many unacknowledged messages were acknowledged, in memory and in
// written parts.
func BenchmarkFlush(b *testing.B) {
	for _, held := range []int{1_000, 200_000} {
		b.Run(fmt.Sprint(held), func(b *testing.B) {
			b.ReportAllocs()
			db := &textSize{}
			p := newPositions(db, &Options{Interval: rarely, StoreTimeout: time.Minute}, newSink(), slog.New(slog.DiscardHandler))
			g := &Group{line: &eventlog.Channel{}, log: slog.New(slog.DiscardHandler), metrics: newSink(), markDirty: p.add}
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

// textSize counts written parts and runs.
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
