package offline

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores/former"
)

// tap follows one channel of the old server through a subscription. It takes the messages in order and finds out about each gap whether
// something was lost on the way.
type tap struct {
	f        *filling
	inflight int
	wake     chan struct{}        // told when messages wait
	room     func(size int) bool  // waits until so many bytes may wait; false at the end
	failed   func(error)          // told once if the server's messages do not continue what was copied
	level    chan struct{}        // closed when the channel has been copied to its end once
	levelled bool                 // that is so; owned by follow
	catching chan struct{}        // a slot of the channels that are being read from their beginning
	again    chan struct{}        // the subscription must be made again
	report   func(string, ...any) // tells the user

	mu      sync.Mutex // guards the fields below
	prove   *pb.MsgProto
	next    uint64 // sequence expected
	first   bool   // no message of this subscription has come
	number  int    // of the subscription
	waiting []*pb.MsgProto
	blocked bool // the server allows no further subscription
}

// tapPause is how long a tap waits after a subscription was refused.
const tapPause = 5 * time.Second

// run keeps a subscription until ctx ends.
func (t *tap) run(ctx context.Context, sc stan.Conn) {
	select {
	case t.catching <- struct{}{}:
	case <-ctx.Done():
		return
	}
	holds := true
	release := func() {
		if holds {
			<-t.catching
			holds = false
		}
	}
	defer release()
	level := t.level
	for ctx.Err() == nil {
		sub, err := t.subscribe(ctx, sc)
		if err != nil {
			t.refused(err)
			release()
			select {
			case <-ctx.Done():
			case <-time.After(tapPause):
			}
			continue
		}
		for kept := true; kept; {
			select {
			case <-level:
				release()
				level = nil
			case <-t.again:
				_ = sub.Close() // what it still delivers is ignored
				kept = false
			case <-ctx.Done():
				return // the subscription ends with the connection
			}
		}
	}
}

func (t *tap) subscribe(ctx context.Context, sc stan.Conn) (stan.Subscription, error) {
	t.mu.Lock()
	t.number++
	t.first = true
	number, from := t.number, t.next
	if t.prove != nil {
		from = t.prove.Sequence
	}
	t.mu.Unlock()
	sub, err := sc.Subscribe(t.f.c.Name(), func(m *stan.Msg) { t.take(&m.MsgProto, number) },
		stan.StartAtSequence(from), stan.MaxInflight(t.inflight), stan.AckWait(time.Minute))
	if err == nil {
		t.mu.Lock()
		t.blocked = false
		t.mu.Unlock()
	}
	return sub, err
}

func (t *tap) refused(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if strings.Contains(err.Error(), "too many subscriptions") && !t.blocked {
		t.blocked = true
		t.report("Channel %q: the old server allows no further subscription (max_subs). The channel is copied when that server has stopped, which takes longer.", t.f.c.Name())
	}
}

// take receives a message of a subscription.
func (t *tap) take(m *pb.MsgProto, number int) {
	if !t.room(sizeOf(m)) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.accept(m, number) {
		t.room(-sizeOf(m))
		return
	}
	t.waiting = append(t.waiting, m)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// sizeOf is what a message counts for in memory.
func sizeOf(m *pb.MsgProto) int { return len(m.Data) + 200 }

// accept reports whether a message is the next one. t.mu is held.
func (t *tap) accept(m *pb.MsgProto, number int) bool {
	switch {
	case number != t.number:
		return false
	case t.prove != nil && m.Sequence == t.prove.Sequence:
		if !same(m, t.prove) {
			t.failed(fmt.Errorf("message %d of channel %q on the old server is not the one that was copied: the server has lost its store, or it is another one. Copy into an empty database", m.Sequence, t.f.c.Name()))
		}
		t.prove, t.first = nil, false
		return false
	case m.Sequence < t.next: // sent again
		return false
	case m.Sequence > t.next && !t.first:
		// Limits may have discarded those between, or they were lost on the way. A new subscription begins with the first that exists.
		t.number++
		select {
		case t.again <- struct{}{}:
		default:
		}
		return false
	}
	t.prove, t.first = nil, false // a missing message proves nothing
	t.next = m.Sequence + 1
	return true
}

// batch returns messages that wait, and whether there are more.
func (t *tap) batch() (messages []*pb.MsgProto, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, size := 0, 0
	for n < len(t.waiting) && n < former.BatchMessages && size < former.BatchBytes {
		size += len(t.waiting[n].Data)
		n++
	}
	messages = t.waiting[:n:n]
	t.waiting = t.waiting[n:]
	if len(t.waiting) == 0 {
		t.waiting = nil
	}
	return messages, len(t.waiting) > 0
}

func (t *tap) isBlocked() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.blocked
}
