package chaos

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
)

// place is a client. It is a member of its crowd's group while sub is set.
type place struct {
	id      string
	conn    stan.Conn // nil if not connected
	nats    *nats.Conn
	sub     stan.Subscription
	member  *member
	refused error // why the last attempt to join failed
}

// vanish drops the connection without a request, like a killed client.
func (p *place) vanish() {
	if p.nats != nil {
		p.nats.Close()
	}
	p.conn, p.nats, p.sub, p.member = nil, nil, nil, nil
}

// release acknowledges everything the member holds. From now on it acknowledges messages at once.
func (p *place) release() string { return fmt.Sprint(p.member.release() > 0) }

// member handles the messages of one subscription.
type member struct {
	reader *reader

	mu   sync.Mutex // guards the fields below
	hold bool
	held []*stan.Msg
}

func (m *member) receive(msg *stan.Msg) {
	m.reader.receive(msg)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hold {
		m.held = append(m.held, msg)
		return
	}
	m.reader.acknowledge(msg)
}

// release returns how many messages the member held.
func (m *member) release() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.held)
	for _, msg := range m.held {
		m.reader.acknowledge(msg)
	}
	m.hold, m.held = false, nil
	return n
}

func (m *member) holds() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.held)
}
