package server

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go/pb"
)

// acks receives the acknowledgements of all subscribers. Their ack inboxes share a prefix, so that one NATS
// subscription serves them all: what a join, a leave or a barrier costs does not depend on how many there are.
type acks struct {
	conn   *nats.Conn
	prefix string

	mu      sync.RWMutex // guards what follows
	members map[string]*member
	subs    map[string]*nats.Subscription // by subject
}

func newAcks(conn *nats.Conn, clusterID string) *acks {
	return &acks{
		conn: conn,
		// Clients and servers may publish and subscribe to what begins with _INBOX; a cluster ID is one token.
		prefix:  "_INBOX." + clusterID + ".acks.",
		members: make(map[string]*member),
		subs:    make(map[string]*nats.Subscription),
	}
}

// newInbox returns an ack inbox that nobody can guess.
func (a *acks) newInbox() string { return a.prefix + nuid.Next() }

// listen begins to receive what is sent to the inboxes that newInbox returns.
func (a *acks) listen() error { return a.subscribe(a.prefix + "*") }

func (a *acks) subscribe(subject string) error {
	sub, err := a.conn.Subscribe(subject, a.received)
	if err == nil {
		err = unlimited(sub)
	}
	if err != nil {
		return fmt.Errorf("subscribe to ack inbox %q: %w", subject, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.subs[subject] = sub
	return nil
}

// add begins to handle the member's acks. An inbox that is not one of newInbox is that of a subscription which NATS
// Streaming, or an early release of this server, stored; it gets a subscription of its own.
func (a *acks) add(m *member) error {
	inbox := m.state.AckInbox
	a.mu.Lock()
	a.members[inbox] = m
	a.mu.Unlock()
	if strings.HasPrefix(inbox, a.prefix) {
		return nil
	}
	return a.subscribe(inbox)
}

// remove ends what add began.
func (a *acks) remove(m *member) {
	inbox := m.state.AckInbox
	a.mu.Lock()
	defer a.mu.Unlock()
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
	if ack.Unmarshal(msg.Data) == nil && ack.Subject == m.group.ch.name {
		m.group.ack(m, ack.Sequence)
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
