package stan

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats-streaming-server/spb"
)

// clients is the registry of connected clients, in memory and in the store.
type clients struct {
	rows *registrar

	mu       sync.RWMutex // guards what follows
	byID     map[string]*client
	byConn   map[string]*client
	checking map[string]struct{} // IDs whose current holder is being asked whether it lives
}

func newClients(rows *registrar) *clients {
	return &clients{
		rows:     rows,
		byID:     make(map[string]*client),
		byConn:   make(map[string]*client),
		checking: make(map[string]struct{}),
	}
}

// recover adds a client that the store has. Whether it is connected is not known.
func (r *clients) recover(info *spb.ClientInfo) {
	c := newClient(info)
	c.away.Store(true)
	r.add(c)
}

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

// register stores and adds a client. If its ID is taken, it changes nothing and returns the holder and false. Calls for one ID
// come one after the other.
func (r *clients) register(ctx context.Context, info *spb.ClientInfo, from origin) (*client, bool, error) {
	if holder := r.get(info.ID); holder != nil {
		return holder, false, nil
	}
	if err := r.rows.set(ctx, info.ID, info); err != nil {
		r.rows.queue(info.ID, nil) // it may be there nevertheless, or come later
		return nil, false, fmt.Errorf("register client %q: %w", info.ID, err)
	}
	c := newClient(info)
	c.origin = from
	r.add(c)
	return c, true, nil
}

// remove takes a client out of memory, and out of the store in a while: before anybody with the same ID comes there. It returns
// false if another one took its place, or it was removed before.
func (r *clients) remove(c *client) (unregistered <-chan error, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[c.info.ID] != c {
		return nil, false
	}
	delete(r.byID, c.info.ID)
	if r.byConn[string(c.info.ConnID)] == c {
		delete(r.byConn, string(c.info.ConnID))
	}
	return r.rows.queue(c.info.ID, nil), true
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
