package test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// orders is the event channel of most tests.
const orders = "eventstore.orders"

// event returns an encoded event of an order.
func event(t testing.TB, aggregate, kind string, change ...func(*eventstorev1.Event)) []byte {
	t.Helper()
	ev := &eventstorev1.Event{
		EventType:     kind,
		AggregateId:   aggregate,
		AggregateType: "order",
		EventData:     []byte(`{"customer_id":"c1","total":12.5}`),
	}
	for _, f := range change {
		f(ev)
	}
	b, err := proto.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func withVersion(v uint64) func(*eventstorev1.Event) {
	return func(e *eventstorev1.Event) { e.EventVersion = v }
}

func withID(id string) func(*eventstorev1.Event) {
	return func(e *eventstorev1.Event) { e.EventId = id }
}

func withTags(tags ...string) func(*eventstorev1.Event) {
	return func(e *eventstorev1.Event) { e.Tags = tags }
}

func withData(data string) func(*eventstorev1.Event) {
	return func(e *eventstorev1.Event) { e.EventData = []byte(data) }
}

// publish publishes payloads and fails the test if the server refuses one.
func publish(t testing.TB, sc stan.Conn, channel string, payloads ...[]byte) {
	t.Helper()
	for i, p := range payloads {
		if err := sc.Publish(channel, p); err != nil {
			t.Fatalf("publish %d to %s: %v", i, channel, err)
		}
	}
}

// inbox collects the messages of a subscription.
type inbox chan *stan.Msg

func newInbox() inbox { return make(inbox, 1<<16) }

// next waits for the next message.
func (in inbox) next(t testing.TB) *stan.Msg {
	t.Helper()
	select {
	case m := <-in:
		return m
	case <-time.After(patience):
		t.Fatal("no message arrived")
		return nil
	}
}

// sequences returns the sequences of the next n messages.
func (in inbox) sequences(t testing.TB, n int) []uint64 {
	t.Helper()
	seqs := make([]uint64, n)
	for i := range seqs {
		seqs[i] = in.next(t).Sequence
	}
	return seqs
}

// none fails the test if a message has arrived. Call it after an event that an unwanted message would precede.
func (in inbox) none(t testing.TB) {
	t.Helper()
	select {
	case m := <-in:
		t.Fatalf("unexpected message %d, redelivered %v", m.Sequence, m.Redelivered)
	default:
	}
}

// subscribe subscribes with an inbox as handler. Without manual acknowledgements, a message in the inbox is acknowledged: the
// client's own, sent after its handler, could come after a close by the test.
func subscribe(t testing.TB, sc stan.Conn, channel string, opts ...stan.SubscriptionOption) (stan.Subscription, inbox) {
	t.Helper()
	in := newInbox()
	chosen := stan.DefaultSubscriptionOptions
	for _, option := range opts {
		if err := option(&chosen); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := sc.Subscribe(channel, func(m *stan.Msg) {
		if !chosen.ManualAcks {
			_ = m.Ack() // it fails once the connection is closed, as the client's own does
		}
		in <- m
	}, append(slices.Clone(opts), stan.SetManualAckMode())...)
	if err != nil {
		t.Fatalf("subscribe to %s: %v", channel, err)
	}
	return sub, in
}
