package api

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// bySequence is a line whose places are sequences.
type bySequence struct{ consumers.Line }

func (bySequence) Place(m *stores.Message) uint64 { return m.Sequence }

// all takes everything that waits, as "sequence*deliveries", with an r for those to read again.
func (d *deliveries) all(n int) []string {
	var all []string
	for {
		taken, toRead := d.take(n)
		if len(taken) == 0 {
			return all
		}
		for _, it := range taken {
			text := fmt.Sprint(it.place, "*", it.count)
			if toRead {
				text += "r"
			}
			all = append(all, text)
		}
	}
}

// However much a slow client is owed, little of it is in memory. A message that is sent again while it waits is there once; one that
// was acknowledged is not there any more.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	d := newDeliveries("a", bySequence{})
	message := func(seq uint64) stores.Message {
		return stores.Message{Sequence: seq, Data: make([]byte, keptBytes/3)}
	}
	for seq := range uint64(1000) {
		d.Receive(message(seq+1), 1)
	}
	if d.bytes > keptBytes {
		t.Errorf("%d bytes are kept, want at most %d", d.bytes, keptBytes)
	}
	d.Receive(message(2), 2)
	d.Receive(message(999), 3)
	for seq := uint64(3); seq < 998; seq++ {
		d.forget(seq)
	}
	if len(d.queue) > 200 {
		t.Errorf("%d messages are in the queue, most of which were acknowledged", len(d.queue))
	}
	if got, want := d.all(2), []string{"1*1", "2*2", "998*1r", "999*3r", "1000*1r"}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	if d.bytes != 0 || len(d.byPlace) != 0 || len(d.queue) != 0 {
		t.Errorf("%d bytes, %d places and %d messages are left", d.bytes, len(d.byPlace), len(d.queue))
	}
	d.Receive(message(7), 4)
	d.Left()
	d.Left()
	d.Receive(message(8), 1)
	if got := d.all(2); got != nil {
		t.Errorf("took %v after the end", got)
	}
}
