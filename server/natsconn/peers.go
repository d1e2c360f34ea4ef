package natsconn

import (
	"fmt"
	"math"
	"strings"
	"sync"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// Peer is a connection of somebody else to the embedded NATS server.
type Peer struct {
	ID   uint64 // cid in /connz
	User string // user name or public nkey; empty if NATS does not know a user
}

// Peers finds out whose inbox a subject is. NATS does not tell who sent a message, but it knows who listens to the subject on
// which the sender awaits the answer.
//
// One look-up goes through all connections, so look-ups that are asked for at the same time share it.
type Peers struct {
	ns      *natsd.Server // nil: NATS is external, and knows more than it tells
	account string        // as /connz names it: empty for the global account

	mu      sync.Mutex // guards what follows
	waiting []*lookup
	looking bool
}

type lookup struct {
	subjects []string
	found    [][]Peer
	err      error
	done     chan struct{}
}

func newPeers(o Options, ns *natsd.Server) (*Peers, error) {
	p := &Peers{}
	if o.URL != "" {
		return p, nil
	}
	account, err := o.Login.account(o.Embedded)
	if err != nil {
		return nil, err
	}
	if p.ns = ns; account != nil {
		p.account = account.GetName()
	}
	return p, nil
}

// Listening returns, for each subject, the connections that listen to it as to an inbox of their own: to the subject itself, or
// to all that differ in the last token. Connections to other servers of a cluster are not among them, and those to an external
// NATS server are not known at all.
func (p *Peers) Listening(subjects ...string) ([][]Peer, error) {
	if p.ns == nil {
		return make([][]Peer, len(subjects)), nil
	}
	l := &lookup{subjects: subjects, done: make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, l)
	looking := p.looking
	p.looking = true
	p.mu.Unlock()
	if !looking {
		p.look()
	}
	<-l.done
	return l.found, l.err
}

// look serves look-ups until none waits.
func (p *Peers) look() {
	for {
		p.mu.Lock()
		batch := p.waiting
		p.waiting = nil
		p.looking = len(batch) > 0
		p.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		p.scan(batch)
	}
}

// scan goes through all connections once for a batch of look-ups.
func (p *Peers) scan(batch []*lookup) {
	// NATS has a data race where it selects the connections of an account.
	conns, err := p.ns.Connz(&natsd.ConnzOptions{Username: true, Subscriptions: true, Limit: math.MaxInt32})
	if err != nil {
		err = fmt.Errorf("look up NATS connections: %w", err)
	}
	wanted := make(map[string][]*[]Peer) // by what a connection subscribes to
	for _, l := range batch {
		l.found, l.err = make([][]Peer, len(l.subjects)), err
		for i, subject := range l.subjects {
			for _, pattern := range inboxPatterns(subject) {
				wanted[pattern] = append(wanted[pattern], &l.found[i])
			}
		}
	}
	if err == nil {
		for _, c := range conns.Conns {
			if c.Account != p.account {
				continue
			}
			for _, subscribed := range c.Subs {
				for _, found := range wanted[subscribed] {
					*found = append(*found, Peer{ID: c.Cid, User: c.AuthorizedUser})
				}
			}
		}
	}
	for _, l := range batch {
		close(l.done)
	}
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
