package api

import (
	"context"
	"net/netip"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// arrivingBytes bounds the memory held for the requests of one peer that have not arrived completely. One larger request
// is always admitted.
const arrivingBytes = 16 << 20

// arriving bounds what each peer's unfinished requests hold.
type arriving struct {
	mu    sync.Mutex // guards peers and the users in it
	peers map[netip.Prefix]*share
}

type share struct {
	*eventlog.Admission
	users int // that hold or wait
}

// acquire waits for room in the peer's share. Its error wraps that of ctx.
func (a *arriving) acquire(ctx context.Context, peer netip.Prefix, bytes int) (release func(), err error) {
	a.mu.Lock()
	s := a.peers[peer]
	if s == nil {
		s = &share{Admission: eventlog.NewAdmission(arrivingBytes)}
		a.peers[peer] = s
	}
	s.users++
	a.mu.Unlock()
	err = s.Acquire(ctx, bytes)
	if err != nil {
		bytes = 0
	}
	release = func() {
		s.Release(bytes)
		a.mu.Lock()
		defer a.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(a.peers, peer)
		}
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}
