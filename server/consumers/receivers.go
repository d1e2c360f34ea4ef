package consumers

// Receivers returns the active members that have a Receiver, by client ID.
func (c *Consumers) Receivers() map[string][]*Member {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make(map[string][]*Member)
	for id, members := range c.clients {
		for m := range members {
			if m.receiver != nil {
				all[id] = append(all[id], m)
			}
		}
	}
	return all
}
