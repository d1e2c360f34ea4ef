package consumers

import (
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// A group keeps the messages that it read last, up to a bound, and none for long.
func TestKept(t *testing.T) {
	t.Parallel()
	var k kept
	add := func(seq uint64, bytes int, at time.Duration) {
		k.add(seq, keptMessage{Message: stores.Message{Sequence: seq, Data: make([]byte, bytes)}}, at)
	}
	expect := func(when string, want ...uint64) {
		t.Helper()
		bytes := 0
		for _, seq := range want {
			m, ok := k.msgs[seq]
			if !ok || m.Sequence != seq {
				t.Errorf("%s: message %d is not kept", when, seq)
			}
			bytes += len(m.Data)
		}
		if len(k.msgs) != len(want) || k.bytes != bytes {
			t.Errorf("%s: %d messages of %d bytes are kept, want %v of %d", when, len(k.msgs), k.bytes, want, bytes)
		}
	}
	add(1, keptBytes/4, 0)
	add(2, keptBytes/4, 0)
	add(3, keptBytes/2, keptFor/2)
	expect("full", 1, 2, 3)
	if m, ok := k.take(2); !ok || m.Sequence != 2 {
		t.Errorf("message 2 is not kept: %v", m)
	}
	if _, ok := k.take(2); ok {
		t.Error("message 2 is kept twice")
	}
	expect("taken", 1, 3)
	add(4, keptBytes/2, keptFor/2)
	expect("over the bound", 3, 4)
	add(4, keptBytes/4, keptFor) // the position was set, and it was read again
	expect("again", 3, 4)
	k.expire(keptFor)
	expect("not long enough", 3, 4)
	k.expire(keptFor + keptFor/2)
	expect("long enough")
	add(5, keptBytes+1, 2*keptFor)
	expect("more than the bound")
	add(6, 1, 2*keptFor)
	expect("after all", 6)
}
