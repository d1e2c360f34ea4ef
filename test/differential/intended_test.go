package differential

import (
	"sync"
	"testing"
)

// intended lists the reviewed differences. Each one must occur; one that does not is a mistake in this list.
var intended = []struct {
	scenario     string
	theirs, ours string
	reason       string
}{
	{
		"publish", "publish lie: ok", `publish lie: "stan: invalid publish request: channel differs from the NATS subject"`,
		"NATS permissions on _STAN.pub.<cluster>.<channel> must hold for the channel in the message.",
	},
	{
		"unparsable", "publish what might be a control message: no answer", `publish what might be a control message: "stan: invalid publish request"`,
		"Almost any bytes parse as a control message, so only one that names its server counts. Other publishers get an answer.",
	},
	{
		"replaced client", "close of the replaced: ok", `close of the replaced: "stan: permissions violation: the request does not come from client \"a\""`,
		"A client that was replaced must not close its successor, nor may any other.",
	},
	{
		"replaced client", `subscribe of the successor: "stan: unknown clientID"`, "subscribe of the successor: ok",
		"As a result, the successor stays connected.",
	},
	{
		"foreign inbox", "subscribe intruder: ok",
		`subscribe intruder: "stan: invalid subscription request: inbox \"<inbox>\" is not an inbox: use _INBOX.<id>, or add the prefix to inbox_prefixes of the server"`,
		"The server must not send to inboxes of its own.",
	},
	{
		"compound name", "resumed: 1 2", "resumed: 1r2 2r2",
		"A durable group stays durable even if the last member to leave joined by the compound name only.",
	},
	{
		"ack by another member", "after the ack 0: ", "after the ack 0: 3",
		"An ack from another member frees the holder at once, not at the next event of the group.",
	},
	{
		"resume with another ack wait", "a second: 1r1 3 3r1", "a second: 1r1 3 1r2",
		"A new AckWait of a resumed durable also applies to unacknowledged messages, from when they were sent.",
	},
}

// usage records which of the intended differences occurred.
type usage struct {
	mu   sync.Mutex // guards seen
	seen [64]bool
}

func (u *usage) intended(scenario, theirs, ours string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, it := range intended {
		if it.scenario == scenario && it.theirs == theirs && it.ours == ours {
			u.seen[i] = true
			return true
		}
	}
	return false
}

func (u *usage) check(t *testing.T) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, it := range intended {
		if !u.seen[i] {
			t.Errorf("intended difference did not occur: %s: %s / %s", it.scenario, it.theirs, it.ours)
		}
	}
}
