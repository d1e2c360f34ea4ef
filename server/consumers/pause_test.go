package consumers

import (
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// A consumer that was paused sends nothing more, not even what was read before.
func TestPauseWithMessagesRead(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.configure(stores.ConsumerName{Line: "c", Name: "q"}, `{"paused": true}`)
	f.publish("c", 1)
	g := f.join(f.request("me", "q", "")).group
	msgs, err := g.line.Lookup(t.Context(), []uint64{1})
	if err != nil {
		t.Fatal(err)
	}
	msg := msgs[1]
	if n := g.sendNew([]stores.Message{msg}, 0); n != 0 {
		t.Error("a new message was sent")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state.lastSent = 1
	g.state.hold(1, 0)
	if g.sendReady(1, keptMessage{Message: msg}, true) {
		t.Error("a message that waited was sent")
	}
}
