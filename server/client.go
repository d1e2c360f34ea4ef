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
	// origin is where its connect request came from. It is not known after a restart.
	origin origin
	// failedBeats counts the heartbeats that failed in a row.
	failedBeats atomic.Int32
	// beatNow asks for a heartbeat before it is time. It has one slot and carries no data.
	beatNow chan struct{}

	mu      sync.Mutex // guards what follows
	members map[*member]struct{}
	closed  bool
	beat    func() // stops the heartbeat timer
}

func newClient(info *spb.ClientInfo) *client {
	return &client{info: info, beatNow: make(chan struct{}, 1), members: make(map[*member]struct{})}
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
	formers  formers
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
func (r *clients) recover(info *spb.ClientInfo) { r.add(newClient(info)) }

func (r *clients) add(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info := c.info
	r.byID[info.ID] = c
	// Clients choose their connection IDs at random: one that is taken is a bug or an attack, and stays its holder's.
	if _, taken := r.byConn[string(info.ConnID)]; len(info.ConnID) > 0 && !taken {
		r.byConn[string(info.ConnID)] = c
	}
}

// register stores and adds a client. If its ID is taken, it changes nothing and returns the holder
// and false.
func (r *clients) register(ctx context.Context, info *spb.ClientInfo, from origin) (*client, bool, error) {
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
	c := newClient(info)
	c.origin = from
	r.add(c)
	return c, true, nil
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
	if r.byConn[string(c.info.ConnID)] == c {
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

// addressed returns the client that a request with that reply subject means by the ID, or nil: a former holder of the
// ID has no say in its successor.
func (r *clients) addressed(id, reply string) *client {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c := r.byID[id]
	if from := originOf(reply); c != nil && from != c.origin && r.formers.has(id, from) {
		return nil
	}
	return c
}

// lapsed notes that the client lost its ID and may not know.
func (r *clients) lapsed(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.formers.add(c.info.ID, c.origin)
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
