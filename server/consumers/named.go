package consumers

import (
	"encoding/json"
	"maps"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// named is what is known of a durable or a queue group by its name, whether or not it has subscriptions.
type named struct {
	name  stores.ConsumerName
	newID func() uint64

	mu         sync.Mutex // guards what follows; locked last
	id         uint64     // in the store; 0: nothing is stored
	stored     Settings   // set at run time
	parked     int        // messages
	parkedKeys map[string]int
}

// nameOf returns the name of a keyed group.
func nameOf(l Line, key Key) stores.ConsumerName {
	if key.Queue != "" {
		return stores.ConsumerName{Line: l.Name(), Name: key.Queue}
	}
	return stores.ConsumerName{Line: l.Name(), Client: key.Client, Name: key.Durable}
}

// keyed returns the key of the group with a name.
func keyed(name stores.ConsumerName) Key {
	if name.Client == "" {
		return Key{Queue: name.Name}
	}
	return Key{Client: name.Client, Durable: name.Name}
}

// row returns the row to store, and gives a new one an ID.
func (n *named) row() stores.NamedConsumer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rowWith(n.stored)
}

// rowWith returns the row with other settings. The caller holds n.mu.
func (n *named) rowWith(s Settings) stores.NamedConsumer {
	if n.id == 0 {
		n.id = n.newID()
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // texts, numbers and lists
	}
	return stores.NamedConsumer{ID: n.id, ConsumerName: n.name, Settings: text}
}

// count counts parked messages of a key, which may be empty. With the first one, the name is there to stay.
func (n *named) count(key string, more int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.id == 0 {
		n.id = n.newID()
	}
	n.parked += more
	if key == "" {
		return
	}
	if n.parkedKeys == nil {
		n.parkedKeys = make(map[string]int)
	}
	if n.parkedKeys[key] += more; n.parkedKeys[key] <= 0 {
		delete(n.parkedKeys, key)
	}
}

// recount counts the parked messages anew, all of which are stored.
func (n *named) recount(all []stores.ParkedMessage) {
	n.mu.Lock()
	n.parked, n.parkedKeys = 0, nil
	n.mu.Unlock()
	for _, p := range all {
		n.count(p.Key, 1)
	}
}

// parks reports whether messages of a key are parked.
func (n *named) parks(key string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.parkedKeys[key] > 0
}

func (n *named) settings() Settings {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stored
}

func (n *named) parkedCount() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.parked
}

// isStored reports whether the store holds anything of the consumer by its name.
func (n *named) isStored() bool { return n.storedID() != 0 }

// storedID returns the ID in the store, or 0.
func (n *named) storedID() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.id
}

// forget makes it that of a consumer of which nothing is stored.
func (n *named) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.id, n.stored, n.parked, n.parkedKeys = 0, Settings{}, 0, nil
}

// namedOf returns the entry of a name and creates a missing one. The caller holds c.mu for writing.
func (c *Consumers) namedOf(name stores.ConsumerName) *named {
	n := c.names[name]
	if n == nil {
		n = &named{name: name, newID: c.store.NewSubscriptionID}
		c.names[name] = n
	}
	return n
}

// forgetName forgets a consumer that was dropped. The caller holds c.mu for writing.
func (c *Consumers) forgetName(n *named) {
	n.forget()
	if c.names[n.name] == n {
		delete(c.names, n.name)
	}
}

// recoverNames restores what is stored by name. Settings that cannot be read do not apply: the log says so.
func (c *Consumers) recoverNames(all []stores.NamedState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range all {
		n := c.namedOf(s.ConsumerName)
		n.id, n.parked, n.parkedKeys = s.ID, s.Parked, maps.Clone(s.ParkedKeys)
		var err error
		if n.stored, err = parseSettings(s.Settings); err != nil {
			n.stored = Settings{Paused: new(bool)}
			*n.stored.Paused = true
			c.log.Error("A consumer is paused: its stored settings cannot be read; configure it again", "channel", s.Line, "client", s.Client, "name", s.Name, "error", err)
		}
	}
}

// effective returns a consumer's settings: those of the matching rules, a later one over an earlier one, then those of run time.
// The caller holds c.mu.
func (c *Consumers) effective(name stores.ConsumerName, stored Settings) Settings {
	var s Settings
	for i := range c.rules {
		if c.rules[i].matches(name) {
			s = s.over(c.rules[i].Settings)
		}
	}
	return s.over(stored)
}

// SetRules replaces the settings of the configuration.
func (c *Consumers) SetRules(all []Rule) {
	c.mu.Lock()
	c.rules = all
	var groups []*Group
	for _, own := range c.lines {
		for _, g := range own.keyed {
			groups = append(groups, g)
		}
	}
	for _, g := range groups {
		g.apply(c.effective(g.named.name, g.named.settings()))
	}
	c.mu.Unlock()
}
