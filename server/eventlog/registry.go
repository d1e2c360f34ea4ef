package eventlog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
)

// registry holds the channels by name.
type registry struct {
	max int // channels; 0: unlimited

	mu      sync.RWMutex // guards the maps
	byName  map[string]*Channel
	byLower map[string]string // names by their lower case
	damaged map[string]error  // reasons why names are out of service
}

func newRegistry(max int) *registry {
	return &registry{max: max, byName: make(map[string]*Channel), byLower: make(map[string]string), damaged: make(map[string]error)}
}

func (r *registry) get(name string) *Channel {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[name]
}

// find returns a channel, or nil if it can be created. The error says why it cannot.
func (r *registry) find(name string) (*Channel, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if ch := r.byName[name]; ch != nil {
		return ch, nil
	}
	if err := r.damaged[name]; err != nil {
		return nil, err
	}
	if other, ok := r.byLower[strings.ToLower(name)]; ok {
		return nil, Refusal(fmt.Sprintf("rejecting channel %q because channel %q alreay exists %s", name, other, refusal.OtherCase))
	}
	if r.max > 0 && len(r.byName) >= r.max {
		return nil, ErrTooManyChannels
	}
	return nil, nil
}

// hasRoom reports whether another channel can be created, beside some that are not registered yet.
func (r *registry) hasRoom(beside int) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.max <= 0 || len(r.byName)+beside < r.max
}

// all returns the channels, sorted by name.
func (r *registry) all() []*Channel {
	r.mu.RLock()
	all := make([]*Channel, 0, len(r.byName))
	for _, ch := range r.byName {
		all = append(all, ch)
	}
	r.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Channel) int { return cmp.Compare(a.name, b.name) })
	return all
}

func (r *registry) add(ch *Channel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[ch.name] = ch
	r.byLower[strings.ToLower(ch.name)] = ch.name
}

func (r *registry) remove(ch *Channel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, ch.name)
	delete(r.byLower, strings.ToLower(ch.name))
}

// markDamaged puts a name out of service.
func (r *registry) markDamaged(name string, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damaged[name] = fmt.Errorf("channel %q %s: %w", name, refusal.OutOfService, why)
}

// outOfService returns why a name is out of service, or nil.
func (r *registry) outOfService(name string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.damaged[name]
}
