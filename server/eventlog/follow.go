package eventlog

import "github.com/nats-eventstore/nats-eventstore/stores"

// A log that is not running can follow what another server appends. It has no tails, so cursors read the database.

// Know makes channels of the store known, event channels or not. Call it before the store's position reaches their events.
func (l *Log) Know(channels []*stores.Channel) {
	for _, stored := range channels {
		ch := l.channels.get(stored.Name())
		if ch != nil && ch.stored == stored {
			continue
		}
		if ch != nil { // deleted, and created again
			ch.deleted.Store(true)
			ch.wake()
		}
		l.add(stored)
	}
}

// Appended wakes the readers of channels that another server has appended to, and those by position if the store's position
// was lower before.
func (l *Log) Appended(channels []*stores.Channel, before uint64) {
	for _, stored := range channels {
		if ch := l.channels.get(stored.Name()); ch != nil {
			ch.wake()
		}
	}
	if l.Position() > before {
		l.order.watchers.wake()
	}
}
