package consume_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// handled counts how often each sequence was handled, and by whom.
type handled struct {
	mu    sync.Mutex
	count map[uint64]int
	by    map[string]int
	done  chan struct{} // closed once all were
	all   int
}

func newHandled(all int) *handled {
	return &handled{count: make(map[uint64]int), by: make(map[string]int), done: make(chan struct{}), all: all}
}

func (h *handled) add(who string, seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by[who]++
	if h.count[seq]++; h.count[seq] == 1 && len(h.count) == h.all {
		close(h.done)
	}
}

// TestCompetingConsumers: streams of gRPC and unmodified clients of stan.go share a durable queue group. Each event goes to one of
// them, and each of them gets some.
func TestCompetingConsumers(t *testing.T) {
	t.Parallel()
	const events = 3000
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		h := newHandled(events)
		for _, id := range []string{"nats-1", "nats-2"} {
			sc := s.connect(id)
			if _, err := sc.QueueSubscribe(orders, "workers", func(m *stan.Msg) {
				h.add(id, m.Sequence)
				if err := m.Ack(); err != nil {
					t.Error(err)
				}
			}, stan.DurableName("w"), stan.SetManualAckMode(), stan.MaxInflight(8), stan.DeliverAllAvailable()); err != nil {
				t.Fatal(err)
			}
		}
		var receiving sync.WaitGroup
		defer receiving.Wait()
		for _, id := range []string{"grpc-1", "grpc-2"} {
			m := s.join(&open{Channel: orders, ClientId: id, Group: "workers", Durable: "w", Credit: 8})
			receiving.Go(func() {
				for {
					d, err := m.next()
					if err != nil {
						return
					}
					h.add(id, d.GetEvent().GetSequence())
					m.ack(d.GetEvent().GetSequence())
				}
			})
			defer m.die()
		}
		s.fill(orders, events)
		<-h.done
		h.mu.Lock()
		defer h.mu.Unlock()
		for seq, n := range h.count {
			if n != 1 {
				t.Errorf("sequence %d was handled %d times", seq, n)
			}
		}
		if len(h.by) != 4 {
			t.Errorf("handled by %v, want 4 members", h.by)
		}
	})
}

// TestStreamDies: what a stream holds when it breaks off goes to another member, of either kind.
func TestStreamDies(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	s.fill(orders, 12)
	o := &open{Channel: orders, ClientId: "a", Group: "workers", Credit: 4}
	a := s.join(o)
	want(t, "the first member", a.take(4), []string{"1*1", "2*1", "3*1", "4*1"})
	b := s.join(&open{Channel: orders, ClientId: "b", Group: "workers", Credit: 4})
	want(t, "the second member", b.take(4), []string{"5*1", "6*1", "7*1", "8*1"})
	a.die()
	got := b.take(4) // beyond its credit
	slices.Sort(got)
	want(t, "what the first member left", got, []string{"1*2", "2*2", "3*2", "4*2"})

	received := make(chan *stan.Msg, 100)
	if _, err := s.connect("c").QueueSubscribe(orders, "workers", func(m *stan.Msg) { received <- m }, stan.MaxInflight(4)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if m := <-received; m.Sequence < 9 {
			t.Errorf("NATS Streaming got sequence %d first", m.Sequence)
		}
	}
	b.die()
	for range 8 {
		if m := <-received; !m.Redelivered || m.Sequence > 8 {
			t.Errorf("NATS Streaming got sequence %d, redelivered: %v", m.Sequence, m.Redelivered)
		}
	}
}

// TestSameDurable: a durable of a client is the same by gRPC and by NATS Streaming.
func TestSameDurable(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	s.fill(orders, 5)
	sc := s.connect("app")
	received := make(chan *stan.Msg, 100)
	subscribe := func() (stan.Subscription, error) {
		return sc.Subscribe(orders, func(m *stan.Msg) { received <- m }, stan.DurableName("d"), stan.SetManualAckMode(),
			stan.MaxInflight(2), stan.DeliverAllAvailable())
	}
	sub, err := subscribe()
	if err != nil {
		t.Fatal(err)
	}
	if m := <-received; m.Sequence != 1 || m.Ack() != nil {
		t.Errorf("received sequence %d", m.Sequence)
	}
	for range 2 {
		<-received
	}
	o := &open{Channel: orders, ClientId: "app", Durable: "d", Credit: 10}
	wantCode(t, "a durable that is active by NATS Streaming", s.begin(o).end(), connect.CodeAlreadyExists)
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	m := s.join(o)
	if got := m.opened; !got.GetResumed() || got.GetLastSent() != 3 || got.GetUnacknowledged() != 2 {
		t.Errorf("opened %v", got)
	}
	want(t, "the durable", m.take(4), []string{"2*2", "3*2", "4*1", "5*1"})
	wantCode(t, "a durable that is active", s.begin(o).end(), connect.CodeAlreadyExists)
	if _, err := subscribe(); err == nil {
		t.Error("NATS Streaming subscribed to an active durable")
	}
	m.ack(2, 3, 4)
	m.leave()
	if _, err := subscribe(); err != nil {
		t.Fatal(err)
	}
	if m := <-received; m.Sequence != 5 || !m.Redelivered {
		t.Errorf("received sequence %d, redelivered %v", m.Sequence, m.Redelivered)
	}
}

// TestReplaceDurable: with the option, whoever asks last has the durable.
func TestReplaceDurable(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-replace_durable")
	s.fill(orders, 2)
	o := &open{Channel: orders, ClientId: "app", Durable: "d", Credit: 1}
	a := s.join(o)
	want(t, "the first", a.take(1), []string{"1*1"})
	b := s.join(o)
	wantCode(t, "the first after the second came", a.end(), connect.CodeAborted)
	want(t, "the second", b.take(1), []string{"1*2"})
	received := make(chan uint64, 100)
	if _, err := s.connect("app").Subscribe(orders, func(m *stan.Msg) { received <- m.Sequence }, stan.DurableName("d"), stan.MaxInflight(1)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "the second after NATS Streaming came", b.end(), connect.CodeAborted)
	if got := <-received; got != 1 {
		t.Errorf("NATS Streaming got sequence %d", got)
	}
	c := s.join(o)
	if got := fmt.Sprint(c.opened.GetResumed()); got != "true" {
		t.Errorf("resumed: %v", got)
	}
}

// TestServerKilled: after kill -9 and a restart, a durable group goes on at its position, with what was not acknowledged. Nobody takes
// the streams from before for a client of NATS Streaming that has the same ID.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		s.fill(orders, 10)
		s.connect("a")
		durable := &open{Channel: orders, ClientId: "a", Durable: "d", Credit: 6}
		group := &open{Channel: orders, ClientId: "a", Group: "g", Durable: "d", Credit: 3}
		d, g := s.join(durable), s.join(group)
		want(t, "the durable", d.take(6), []string{"1*1", "2*1", "3*1", "4*1", "5*1", "6*1"})
		want(t, "the group", g.take(3), []string{"1*1", "2*1", "3*1"})
		h := s.join(&open{Channel: orders, ClientId: "b", Group: "g", Durable: "d", Credit: 2})
		want(t, "the group's other member", h.take(2), []string{"4*1", "5*1"})
		d.ack(1, 3)
		want(t, "the durable", d.take(2), []string{"7*1", "8*1"})
		s.join(&open{Channel: orders, ClientId: "c", Group: "other", Durable: "d", Credit: 1}) // stores what was before
		s.Kill()
		if err := d.end(); err == nil {
			t.Error("the stream of a killed server ended in order")
		}
		s.Restart()

		d, g = s.join(durable), s.join(group)
		if o := d.opened; !o.GetResumed() || o.GetUnacknowledged() > 8 {
			t.Errorf("the durable opened %v", o)
		}
		if o := g.opened; !o.GetResumed() {
			t.Errorf("the group opened %v", o)
		}
		wantSequences(t, "the durable", d, 2, 4, 5, 6, 7, 8)
		wantSequences(t, "the group", g, 1, 2, 3, 4, 5)
	})
}

// wantSequences takes messages, acknowledges them, and checks that those of sequences are among them.
func wantSequences(t *testing.T, what string, m *member, sequences ...uint64) {
	t.Helper()
	missing := slices.Clone(sequences)
	for len(missing) > 0 {
		d, err := m.next()
		if err != nil {
			t.Fatalf("%s: %v, and %v are missing", what, err, missing)
		}
		seq := d.GetEvent().GetSequence()
		missing = slices.DeleteFunc(missing, func(it uint64) bool { return it == seq })
		m.ack(seq)
	}
}
