package consumers

import (
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// keptBytes bounds the messages that a group keeps.
	keptBytes = 8 << 20
	// keptFor is how long a message is kept: a group whose keys are busy needs most of them sooner.
	keptFor = time.Second
)

// kept are messages behind others of their keys that were read a moment ago. When it is their turn, they need not be read again.
// Those that come later, or are too many, are read again.
type kept struct {
	msgs  map[uint64]keptMessage
	queue []keptAt // oldest first; some have left msgs
	bytes int
}

type keptMessage struct {
	stores.Message
	rules *rules // that were in force when the message was found to be wanted
}

type keptAt struct {
	seq uint64
	at  time.Duration
}

func (k *kept) add(seq uint64, m keptMessage, now time.Duration) {
	if k.msgs == nil {
		k.msgs = make(map[uint64]keptMessage)
	}
	k.take(seq)
	k.msgs[seq] = m
	k.bytes += len(m.Data)
	k.queue = append(k.queue, keptAt{seq, now})
	for k.bytes > keptBytes {
		k.drop()
	}
}

// take removes and returns a message.
func (k *kept) take(seq uint64) (keptMessage, bool) {
	m, ok := k.msgs[seq]
	if ok {
		delete(k.msgs, seq)
		k.bytes -= len(m.Data)
	}
	return m, ok
}

// drop removes the oldest message.
func (k *kept) drop() {
	k.take(k.queue[0].seq)
	if k.queue = k.queue[1:]; len(k.queue) == 0 {
		*k = kept{}
	}
}

// expire removes the messages that were kept long enough.
func (k *kept) expire(now time.Duration) {
	for len(k.queue) > 0 && now-k.queue[0].at >= keptFor {
		k.drop()
	}
}
