package eventlog

import (
	"bytes"
	"testing"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// A message of a pattern is encoded with its position as sequence, whatever its first field is, and nothing else of it changes.
func TestPositioned(t *testing.T) {
	t.Parallel()
	for _, position := range []uint64{1, 127, 128, 1 << 60} {
		for _, sequence := range []uint64{0, 1, 127, 300, 1<<64 - 1} {
			msg := pb.MsgProto{Sequence: sequence, Subject: "eventstore.a", Data: []byte("payload"), Timestamp: 7}
			data, err := msg.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			stored := bytes.Clone(data)
			m := positioned(stores.Message{Sequence: sequence, Position: position, Data: data})
			var got pb.MsgProto
			if err := got.Unmarshal(m.Data); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(data, stored) {
				t.Error("the stored message was changed: others may have it")
			}
			msg.Sequence = position
			if want, err := msg.Marshal(); err != nil || !bytes.Equal(m.Data, want) {
				t.Errorf("sequence %d at position %d: %x, want %x", sequence, position, m.Data, want)
			}
		}
	}
}

// A pattern passes what does not match, so that a position after it is known although nothing was received.
func TestWildcardPasses(t *testing.T) {
	t.Parallel()
	f := setup{options: withEvents(t, Options{})}.open(t)
	f.publishEvents(t, 40)
	w, err := f.Wildcard("eventstore.none.*")
	if err != nil {
		t.Fatal(err)
	}
	c := w.Follow(1)
	defer c.Close()
	for c.Passed() < 40 {
		<-c.Ready()
		if msgs, err := c.Next(10); err != nil || len(msgs) > 0 {
			t.Fatal(msgs, err)
		}
	}
	if last, err := w.LastReceived(t.Context()); last != 0 || err != nil {
		t.Errorf("the last event of a pattern without events: %d, %v", last, err)
	}
	if at, err := w.Timestamp(t.Context(), 1); at != 0 || err != nil {
		t.Errorf("the first event of a pattern without events is of %d, %v", at, err)
	}
	if !w.Reaches() {
		t.Error("the pattern reaches no event channel")
	}
	if w, err = f.Wildcard("eventstore.*"); err != nil {
		t.Fatal(err)
	}
	found, err := w.Lookup(t.Context(), []uint64{3, 40, 41, 7})
	if err != nil || len(found) != 3 || found[40].Position != 40 {
		t.Errorf("found %v, %v", found, err)
	}
	if at, err := w.Timestamp(t.Context(), 40); at != found[40].Timestamp || err != nil {
		t.Errorf("the last event is of %d, %v, want %d", at, err, found[40].Timestamp)
	}
	if w, err = f.Wildcard("plain.*"); err != nil || w.Reaches() {
		t.Error("a pattern of plain channels reaches event channels", err)
	}
}
