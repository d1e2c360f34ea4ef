package server

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// A durable that is closed between the choice of the messages to be sent again and their being sent must not get them: its
// client was told that it is closed.
func TestResendAfterTheMemberLeft(t *testing.T) {
	t.Parallel()
	sent := 0
	ch := &channel{name: "c", log: slog.New(slog.DiscardHandler), metrics: newMetrics(), progress: &progress{dirty: make(map[*group]struct{})}, send: func(string, []byte) { sent++ }}
	g := newGroup(ch, groupKey{client: "c", durable: "d"}, true, 1)
	m := &member{group: g, client: newClient(&spb.ClientInfo{}), state: &spb.SubState{Inbox: "i", AckWaitInSecs: 1, MaxInFlight: 1}}
	stored := map[uint64]stores.Message{1: {Sequence: 1}}
	m.unacked.put(1, 0)
	g.members = []*member{m}

	chosen := g.takeDue()
	if len(chosen) != 1 {
		t.Fatalf("%d messages are due, want 1", len(chosen))
	}
	g.mu.Lock()
	g.removeMember(m)
	g.offline = m
	g.mu.Unlock()
	g.resend(chosen, stored, false)
	if sent != 0 {
		t.Errorf("sent %d messages to a subscription that ended", sent)
	}
	if !m.unacked.has(1) {
		t.Error("the message is not kept for who resumes the durable")
	}

	g.mu.Lock()
	g.members, g.offline = []*member{m}, nil
	g.mu.Unlock()
	g.resend(chosen, stored, false)
	if sent != 1 {
		t.Errorf("sent %d messages to an active subscription, want 1", sent)
	}
}
