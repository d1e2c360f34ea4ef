package stan

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// acks receives the acknowledgements of all subscribers. Their ack inboxes share a prefix, so that one NATS subscription
// serves them all: what a join, a leave or a barrier costs does not depend on how many there are.
type acks struct {
	conn    *nats.Conn
	prefix  string
	deliver func(m *consumers.Member, sequence uint64)

	mu      sync.RWMutex // guards what follows
	members map[string]*consumers.Member
	subs    map[string]*nats.Subscription // by subject
}

func newAcks(conn *nats.Conn, clusterID string, deliver func(*consumers.Member, uint64)) *acks {
	return &acks{
		conn:    conn,
		prefix:  natsconn.OwnInboxes(clusterID) + "acks.",
		deliver: deliver,
		members: make(map[string]*consumers.Member),
		subs:    make(map[string]*nats.Subscription),
	}
}

// newInbox returns an ack inbox that no other subscription has, and that nobody can guess: whoever knows it can acknowledge.
func (a *acks) newInbox() string { return a.prefix + rand.Text() }

// listen begins to receive what is sent to the inboxes that newInbox returns.
func (a *acks) listen() error { return a.subscribe(a.prefix + "*") }

func (a *acks) subscribe(subject string) error {
	sub, err := a.conn.Subscribe(subject, a.received)
	if err != nil {
		return fmt.Errorf("subscribe to ack inbox %q: %w", subject, err)
	}
	a.mu.Lock()
	a.subs[subject] = sub // before anything else can fail, so that stop ends it
	a.mu.Unlock()
	if err := unlimited(sub); err != nil {
		return fmt.Errorf("subscribe to ack inbox %q: %w", subject, err)
	}
	return nil
}

// add begins to handle the member's acks. An inbox that is not one of newInbox is that of a subscription which NATS
// Streaming, or an early release of this server, stored; it gets a subscription of its own.
func (a *acks) add(m *consumers.Member) error {
	inbox := m.AckInbox()
	a.mu.Lock()
	a.members[inbox] = m
	a.mu.Unlock()
	if strings.HasPrefix(inbox, a.prefix) {
		return nil
	}
	return a.subscribe(inbox)
}

// remove ends what add began.
func (a *acks) remove(m *consumers.Member) {
	inbox := m.AckInbox()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.members[inbox] != m {
		return
	}
	delete(a.members, inbox)
	if sub := a.subs[inbox]; sub != nil {
		delete(a.subs, inbox)
		_ = sub.Unsubscribe() // an error: the connection is closed, and nothing is left to end
	}
}

func (a *acks) received(msg *nats.Msg) {
	a.mu.RLock()
	m := a.members[msg.Subject]
	a.mu.RUnlock()
	if m == nil {
		return
	}
	var ack pb.Ack
	if ack.Unmarshal(msg.Data) == nil && m.Line().Includes(ack.Subject) {
		a.deliver(m, ack.Sequence)
	}
}

// stop ends all subscriptions.
func (a *acks) stop() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, sub := range a.subs {
		errs = append(errs, sub.Unsubscribe())
	}
	clear(a.subs)
	return errors.Join(errs...)
}

// unlimited lifts the pending limits of a subscription: publishers and acks are bounded by their clients, and dropping them
// here would lose them without an error.
func unlimited(sub *nats.Subscription) error { return sub.SetPendingLimits(-1, -1) }
