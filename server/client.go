package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
)

// client is one registered client.
type client struct {
	info *spb.ClientInfo
	// failedBeats counts the heartbeats that failed in a row.
	failedBeats atomic.Int32

	mu      sync.Mutex // guards what follows
	members map[*member]struct{}
	closed  bool
	beat    func() // stops the heartbeat timer
}

func newClient(info *spb.ClientInfo) *client {
	return &client{info: info, members: make(map[*member]struct{})}
}

// add ties a member to the client's life; it reports false if the client is closed.
func (c *client) add(m *member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.members[m] = struct{}{}
	return true
}

func (c *client) remove(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.members, m)
}

// close marks the client closed, stops its heartbeats and returns its members.
func (c *client) close() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.beat != nil {
		c.beat()
	}
	members := make([]*member, 0, len(c.members))
	for m := range c.members {
		members = append(members, m)
	}
	return members
}

// clientStore is what the registry needs of the store.
type clientStore interface {
	PutClient(ctx context.Context, info *spb.ClientInfo) error
	DeleteClient(ctx context.Context, id string) error
}

// clients is the registry of connected clients, in memory and in the store.
type clients struct {
	store   clientStore
	timeout time.Duration // of one write, while the database is unavailable

	// life serialises registering and unregistering with their writes, so that the store
	// sees them in the order in which memory did.
	life sync.Mutex

	mu       sync.RWMutex // guards what follows
	byID     map[string]*client
	byConn   map[string]*client
	checking map[string]struct{} // IDs whose current holder is being asked whether it lives
}

func newClients(store clientStore, timeout time.Duration) *clients {
	return &clients{
		store:    store,
		timeout:  timeout,
		byID:     make(map[string]*client),
		byConn:   make(map[string]*client),
		checking: make(map[string]struct{}),
	}
}

// recover adds a client that is in the store already.
func (r *clients) recover(info *spb.ClientInfo) *client {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := newClient(info)
	r.byID[info.ID] = c
	if len(info.ConnID) > 0 {
		r.byConn[string(info.ConnID)] = c
	}
	return c
}

// register stores and adds a client. If its ID is taken, it changes nothing and returns the holder
// and false.
func (r *clients) register(ctx context.Context, info *spb.ClientInfo) (*client, bool, error) {
	r.life.Lock()
	defer r.life.Unlock()
	if holder := r.get(info.ID); holder != nil {
		return holder, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if err := r.store.PutClient(ctx, info); err != nil {
		return nil, false, fmt.Errorf("register client %q: %w", info.ID, err)
	}
	return r.recover(info), true, nil
}

// unregister removes the client, unless another one took its place. It reports whether
// it was registered; an error is the store's, and the client is gone from memory all the same.
func (r *clients) unregister(ctx context.Context, c *client) (bool, error) {
	r.life.Lock()
	defer r.life.Unlock()
	r.mu.Lock()
	if r.byID[c.info.ID] != c {
		r.mu.Unlock()
		return false, nil
	}
	delete(r.byID, c.info.ID)
	if len(c.info.ConnID) > 0 {
		delete(r.byConn, string(c.info.ConnID))
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if err := r.store.DeleteClient(ctx, c.info.ID); err != nil {
		return true, fmt.Errorf("unregister client %q: %w", c.info.ID, err)
	}
	return true, nil
}

func (r *clients) get(id string) *client {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// byConnection returns the client with the connection ID, which no two connections share.
func (r *clients) byConnection(connID []byte) *client {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byConn[string(connID)]
}

// publisher returns the client that a publish request identifies: by its connection ID, or,
// for clients of protocol 0, which have none, by its client ID.
func (r *clients) publisher(id string, connID []byte) *client {
	if len(connID) > 0 {
		return r.byConnection(connID)
	}
	return r.get(id)
}

func (r *clients) all() []*client {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*client, 0, len(r.byID))
	for _, c := range r.byID {
		all = append(all, c)
	}
	return all
}

// beginCheck reserves the right to ask the ID's holder whether it lives; it reports false while
// another check runs.
func (r *clients) beginCheck(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.checking[id]; ok {
		return false
	}
	r.checking[id] = struct{}{}
	return true
}

func (r *clients) endCheck(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.checking, id)
}
