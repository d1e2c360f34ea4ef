package server

import (
	"sync"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
)

// rules are the settings of consumers in the configuration, as the last reload has them.
type rules struct {
	mu  sync.Mutex // guards all, and its order at consumers
	all []consumers.Rule
}

func (r *rules) current() []consumers.Rule {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

func (r *rules) set(all []consumers.Rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = all
}

func (r *rules) applyTo(c *consumers.Consumers) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.SetRules(r.all)
}
