package consumers

import (
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// ordered returns a group whose settings order it, with one member.
func ordered(text string) (*state, *Member, Settings) {
	n := &named{newID: func() uint64 { return 9 }}
	s := &state{queue: true, name: n}
	r, err := parseSettings([]byte(text))
	if err != nil {
		panic(err)
	}
	s.setRules(r.rules(), 0)
	return s, active(s, 1, 100), r
}

// A message at which a group stalled does not overtake one of its key when the group becomes ordered.
func TestStalledMessageInOrder(t *testing.T) {
	t.Parallel()
	s, m, r := ordered(`{"max_deliveries": 1, "on_limit": "stall"}`)
	s.sent(m, 1, 0)
	s.sent(m, 2, 0)
	s.limit(1, time.Second)
	order := OrderAggregate
	s.setRules(r.over(Settings{OrderBy: &order}).rules(), time.Second)
	for _, seq := range s.unknownKeys() {
		s.setKey(seq, "a", time.Second)
	}
	if ready := s.takeReady(time.Minute, 10); len(ready) > 0 {
		t.Errorf("%v can be sent, and a member holds message 2 of their key", ready)
	}
	s.forget(2, time.Second)
	if ready := s.takeReady(time.Minute, 10); len(ready) != 1 {
		t.Errorf("%v can be sent, want message 1", ready)
	}
}

// A message that was parked before the group had its order is sent in it when it is replayed.
func TestReplayAfterTheOrderChanged(t *testing.T) {
	t.Parallel()
	s, m, _ := ordered(`{"order_by": "aggregate"}`)
	s.lastSent = 2
	s.replay([]stores.ParkedMessage{{Seq: 2, Key: ""}}, 0)
	s.lanes.enter("a", 3)
	s.sent(m, 3, 0)
	f := facts{key: "a"}
	for _, seq := range s.takeReady(0, 10) {
		if !s.settle(seq, f, 0) {
			t.Errorf("message %d can be sent, and a member holds message 3 of its key", seq)
		}
	}
	s.forget(3, 0)
	ready := s.takeReady(0, 10)
	if len(ready) != 1 || s.settle(ready[0], f, 0) {
		t.Errorf("%v can be sent, want message 2", ready)
	}
}
