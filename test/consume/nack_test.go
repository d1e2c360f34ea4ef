package consume_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/types/known/durationpb"
	_ "modernc.org/sqlite" // the driver of parked

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const (
	park = eventstorev1.ConsumeRequest_Nack_ACTION_PARK
	skip = eventstorev1.ConsumeRequest_Nack_ACTION_SKIP
)

// parked returns the parked messages in a SQLite database, as "sequence*deliveries reason".
func parked(t *testing.T, source string) []string {
	t.Helper()
	return rows(t, "sqlite", source, "SELECT seq || '*' || deliveries || ' ' || reason FROM Parked ORDER BY seq")
}

// TestNack: a rejected event is sent again at once or later, skipped or parked. All of it is stored when the member leaves.
func TestNack(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	s := start(t, "sqlite", source)
	s.fill(orders, 5)
	o := &open{Channel: orders, ClientId: "a", Durable: "d", Credit: 4}
	m := s.join(o)
	m.take(4)
	m.nack(&nack{Sequences: []uint64{1}})
	want(t, "sent again", m.take(1), []string{"1*2"})
	m.nack(&nack{Sequences: []uint64{2}, Delay: durationpb.New(1)})
	want(t, "sent again after a moment", m.take(1), []string{"2*2"})
	m.nack(&nack{Sequences: []uint64{3, 1}, Action: skip})
	want(t, "the next one", m.take(1), []string{"5*1"})
	m.nack(&nack{Sequences: []uint64{4}, Action: park, Reason: "no such customer"})
	m.nack(&nack{Sequences: []uint64{2}, Action: park})
	m.nack(&nack{Sequences: []uint64{99}, Action: park}) // was never sent
	m.nack(&nack{Sequences: []uint64{5}, Delay: seconds(3600)})
	m.leave()
	want(t, "parked", parked(t, source), []string{"2*2 rejected", "4*1 no such customer"})
	m = s.join(o)
	if got := m.opened; got.GetLastSent() != 5 || got.GetUnacknowledged() != 1 {
		t.Errorf("opened %v, want the delayed event alone", got)
	}
}

// TestPoison: of many events one fails whoever gets it, and is parked after three deliveries. All others are handled.
func TestPoison(t *testing.T) {
	t.Parallel()
	const events, poison = 3000, 1234
	source := databases.SQLite(t)
	s := start(t, "sqlite", source)
	h := newHandled(events)
	if _, err := s.connect("nats").QueueSubscribe(orders, "workers", func(m *stan.Msg) {
		if m.Sequence == poison { // it fails: after AckWait, somebody else gets it
			return
		}
		h.add("nats", m.Sequence)
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}, stan.DurableName("w"), stan.SetManualAckMode(), stan.MaxInflight(8), stan.AckWait(time.Second), stan.DeliverAllAvailable()); err != nil {
		t.Fatal(err)
	}
	m := s.join(&open{Channel: orders, ClientId: "grpc", Group: "workers", Durable: "w", Credit: 8})
	s.fill(orders, events)
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for {
			d, err := m.next()
			if err != nil {
				return
			}
			seq, reject := d.GetEvent().GetSequence(), &nack{Reason: "poison"}
			if seq != poison {
				m.ack(seq)
				h.add("grpc", seq)
				continue
			}
			reject.Sequences = []uint64{seq}
			if d.GetDeliveries() < 3 {
				m.nack(reject)
				continue
			}
			reject.Action = park
			m.nack(reject)
			h.add("grpc", seq)
		}
	})
	<-h.done
	if err := m.CloseRequest(); err != nil {
		t.Error(err)
	}
	receiving.Wait()
	if got := parked(t, source); len(got) != 1 || !strings.HasPrefix(got[0], fmt.Sprint(poison, "*")) || !strings.HasSuffix(got[0], " poison") {
		t.Errorf("parked: %v", got)
	}
}

// TestCredit: without credit nothing comes, not even what was rejected, until there is some again. Others go on.
func TestCredit(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	s.fill(orders, 10)
	a := s.join(&open{Channel: orders, ClientId: "a", Group: "g", Credit: 2})
	want(t, "with credit for 2", a.take(2), []string{"1*1", "2*1"})
	a.credit(0)
	a.ack(1)
	a.nack(&nack{Sequences: []uint64{2}})
	b := s.join(&open{Channel: orders, ClientId: "b", Group: "g", Credit: 9})
	got := b.take(9)
	slices.Sort(got)
	want(t, "another member", got, []string{"10*1", "2*2", "3*1", "4*1", "5*1", "6*1", "7*1", "8*1", "9*1"})
	a.credit(1)
	if _, err := s.client().Append(t.Context(), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{{EventType: "Added", AggregateId: "last"}}}); err != nil {
		t.Fatal(err)
	}
	want(t, "with credit again", a.take(1), []string{"11*1"})
}

// TestSlowReader: a member that does not read for a while gets everything, in order, once it does.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const events, size = 300, 40 << 10
	s := start(t, "sqlite", databases.SQLite(t))
	data := make([]byte, size)
	for i := range data {
		data[i] = 'x'
	}
	data[0], data[size-1] = '"', '"'
	c := s.client()
	m := s.join(&open{Channel: orders, ClientId: "a", Durable: "d", Credit: events})
	for i := range events {
		if _, err := c.Append(t.Context(), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{
			{EventType: "Added", AggregateId: fmt.Sprint(i), EventData: data},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	for seq := range events {
		d, err := m.next()
		if err != nil {
			t.Fatal(err)
		}
		if got := d.GetEvent(); got.GetSequence() != uint64(seq+1) || len(got.GetEvent().GetEventData()) != size {
			t.Fatalf("got sequence %d with %d bytes, want %d", got.GetSequence(), len(got.GetEvent().GetEventData()), seq+1)
		}
		m.ack(d.GetEvent().GetSequence())
	}
	m.leave()
}
