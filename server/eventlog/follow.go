package eventlog

import "github.com/nats-eventstore/nats-eventstore/stores"

// Follow makes the event channels of a list known, and wakes the readers of those that are known already: another server
// appends to them. Only a log that is not running follows one; its channels have no tail, so cursors read the database.
func (l *Log) Follow(changed []*stores.Channel) {
	for _, stored := range changed {
		ch := l.channels.get(stored.Name())
		switch {
		case ch != nil && ch.stored == stored:
			ch.wake()
		case l.o.Events.Of(stored.Name()) != nil:
			if ch != nil { // deleted, and created again
				ch.deleted.Store(true)
				ch.wake()
			}
			l.add(stored)
		}
	}
}
