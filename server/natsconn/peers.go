package natsconn

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Peer is a connection of somebody else to the embedded NATS server.
type Peer struct {
	ID   uint64 // cid in /connz
	User string // user name or public nkey; empty if NATS has not checked one
	Host string // address of the client, without a port
}

// Peers finds out whose inbox a subject is. NATS does not tell who sent a message, but it knows who listens to the subject on
// which the sender awaits the answer.
//
// One look-up goes through all connections, so look-ups that are asked for at the same time share it.
type Peers struct {
	ns  *natsd.Server // nil: NATS is external, and knows more than it tells
	own *nats.Conn    // one of this server's own connections, which are in the account of its clients

	operators bool // NATS trusts operators

	scanning sync.Mutex // held by a look-up for all that wait

	mu      sync.Mutex // guards waiting
	waiting []*lookup
}

type lookup struct {
	subjects []string

	// scanning guards what follows.
	found [][]Peer
	err   error
	done  bool
}

// Listening returns, for each subject, the connections that listen to it as to an inbox of their own: to the subject itself, or
// to all that differ in the last token. Connections to other servers of a cluster are not among them, and those to an external
// NATS server are not known at all.
func (p *Peers) Listening(subjects ...string) ([][]Peer, error) {
	if p.ns == nil {
		return make([][]Peer, len(subjects)), nil
	}
	l := &lookup{subjects: subjects}
	p.mu.Lock()
	p.waiting = append(p.waiting, l)
	p.mu.Unlock()
	p.scanning.Lock()
	defer p.scanning.Unlock()
	if !l.done {
		p.mu.Lock()
		batch := p.waiting
		p.waiting = nil
		p.mu.Unlock()
		p.scan(batch)
	}
	return l.found, l.err
}

// scan goes through all connections once for a batch of look-ups.
func (p *Peers) scan(batch []*lookup) {
	conns, err := p.connections()
	wanted := make(map[string][]*[]Peer) // by what a connection subscribes to
	for _, l := range batch {
		l.found, l.err, l.done = make([][]Peer, len(l.subjects)), err, true
		for i, subject := range l.subjects {
			for _, pattern := range inboxPatterns(subject) {
				wanted[pattern] = append(wanted[pattern], &l.found[i])
			}
		}
	}
	for _, c := range conns {
		for _, subscribed := range c.Subs {
			for _, found := range wanted[subscribed] {
				*found = append(*found, Peer{ID: c.Cid, User: p.user(c), Host: c.IP})
			}
		}
	}
}

// connections returns those in the account of the server's own.
func (p *Peers) connections() ([]*natsd.ConnInfo, error) {
	// NATS has a data race where it selects the connections of an account.
	all, err := p.ns.Connz(&natsd.ConnzOptions{Username: true, Subscriptions: true, Limit: math.MaxInt32})
	if err != nil {
		return nil, fmt.Errorf("look up NATS connections: %w", err)
	}
	id, err := p.own.GetClientID()
	if err != nil {
		return nil, fmt.Errorf("look up NATS connections: %w", err)
	}
	i := slices.IndexFunc(all.Conns, func(c *natsd.ConnInfo) bool { return c.Cid == id })
	if i < 0 {
		return nil, errors.New("look up NATS connections: the server's own is down") // nobody may pass for unknown
	}
	account := all.Conns[i].Account
	return slices.DeleteFunc(all.Conns, func(c *natsd.ConnInfo) bool { return c.Account != account }), nil
}

// inboxPatterns returns the subscriptions by which a client listens to an inbox. Whoever listens to a prefix of one token, such
// as _INBOX.>, listens to everybody's.
func inboxPatterns(subject string) []string {
	patterns := []string{subject}
	if i := strings.LastIndexByte(subject, '.'); i >= 0 && strings.Contains(subject[:i], ".") {
		patterns = append(patterns, subject[:i]+".*", subject[:i]+".>")
	}
	return patterns
}
