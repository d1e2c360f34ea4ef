package consumers

// liveLag is how many messages a group may be behind to be about to send the next ones.
const liveLag = 1024

// afterSend is what waits for a message to be sent.
type afterSend struct {
	seq  uint64
	call func()
}

// AfterSending calls f once m's group has sent the message with that sequence, which is committed, or cannot send it now. It calls
// it at once if the group is far behind. Whoever subscribes to what it publishes sees its message before the answer to its publish.
func (m *Member) AfterSending(seq uint64, f func()) {
	if !m.group.waitToSend(seq, f) {
		f()
	}
}

// waitToSend notes what waits for a message. It reports false if nothing has to wait.
func (g *Group) waitToSend(seq uint64, f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.finished || seq <= g.state.lastSent || seq > g.state.lastSent+liveLag || g.state.window() == 0 {
		return false
	}
	g.afterSend = append(g.afterSend, afterSend{seq, f})
	return true
}

// sentSome makes the calls whose messages were sent, and all calls if the group cannot send more now.
func (g *Group) sentSome(stuck bool) {
	g.mu.Lock()
	var calls []func()
	left := g.afterSend[:0]
	stuck = stuck || g.state.window() == 0
	for _, it := range g.afterSend {
		if stuck || it.seq <= g.state.lastSent {
			calls = append(calls, it.call)
		} else {
			left = append(left, it)
		}
	}
	clear(g.afterSend[len(left):])
	g.afterSend = left
	g.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

// finish makes all calls, and those to come at once: the group sends nothing any more.
func (g *Group) finish() {
	g.mu.Lock()
	g.finished = true
	g.mu.Unlock()
	g.sentSome(true)
}
