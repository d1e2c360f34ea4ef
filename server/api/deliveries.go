package api

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// keptBytes bounds the messages in memory that wait for one stream. Of those beyond it only the places wait; they are read again.
	keptBytes = responseBytes
	// stuckTime is how long a client may take nothing of a response until its group prefers other members.
	stuckTime = 2 * time.Second
)

// deliveries are what waits to be sent to a consumer, in order. Its group fills it without waiting: there is never more than the
// member's credit, and what is sent again, each message once.
type deliveries struct {
	client string
	line   consumers.Line
	ready  chan struct{} // one slot: something waits
	left   chan struct{} // closed once the member is no longer in its group
	// sending is when the response began that the client has not taken yet, in ns since 1970; 0: none.
	sending atomic.Int64

	mu      sync.Mutex // guards the fields below
	queue   []*delivery
	byPlace map[uint64]*delivery // those that were not acknowledged
	bytes   int                  // kept
	gone    bool
}

// delivery is a message that waits. One that was acknowledged meanwhile has no count.
type delivery struct {
	place   uint64
	count   uint32         // of deliveries
	message stores.Message // without Data: to be read again
}

var (
	_ consumers.Receiver = (*deliveries)(nil)
	_ consumers.Client   = (*deliveries)(nil)
)

func newDeliveries(client string, line consumers.Line) *deliveries {
	return &deliveries{client: client, line: line, ready: make(chan struct{}, 1), left: make(chan struct{}), byPlace: make(map[uint64]*delivery)}
}

// ID implements consumers.Client.
func (d *deliveries) ID() string { return d.client }

// Healthy implements consumers.Client: the client takes what it is sent.
func (d *deliveries) Healthy() bool {
	since := d.sending.Load()
	return since == 0 || time.Since(time.Unix(0, since)) < stuckTime
}

// Reachable implements consumers.Client: HTTP/2 tells when the connection is gone, and the member leaves then.
func (d *deliveries) Reachable() bool { return true }

// Receive implements consumers.Receiver.
func (d *deliveries) Receive(m stores.Message, count uint32) {
	place := d.line.Place(&m)
	d.mu.Lock()
	defer d.mu.Unlock()
	if waits := d.byPlace[place]; waits != nil {
		waits.count = count
		return
	}
	if d.gone {
		return
	}
	it := &delivery{place, count, m}
	if d.bytes+len(m.Data) > keptBytes && d.bytes > 0 {
		it.message.Data = nil
	}
	d.bytes += len(it.message.Data)
	d.queue, d.byPlace[place] = append(d.queue, it), it
	d.signal()
}

// Waits implements consumers.Receiver.
func (d *deliveries) Waits(place uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byPlace[place] != nil
}

// Left implements consumers.Receiver.
func (d *deliveries) Left() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.gone {
		d.gone = true
		d.queue, d.bytes = nil, 0
		clear(d.byPlace)
		close(d.left)
	}
}

func (d *deliveries) signal() {
	select {
	case d.ready <- struct{}{}:
	default:
	}
}

// forget takes out a message that was acknowledged or rejected.
func (d *deliveries) forget(place uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if it := d.byPlace[place]; it != nil {
		delete(d.byPlace, place)
		d.bytes -= len(it.message.Data)
		it.count, it.message = 0, stores.Message{}
		if len(d.queue) > 2*len(d.byPlace)+64 { // of a client that acknowledges without reading
			d.queue = slices.DeleteFunc(d.queue, func(it *delivery) bool { return it.count == 0 })
		}
	}
}

// take takes the next messages out: of a few bytes, or up to n of those that have to be read again.
func (d *deliveries) take(n int) (taken []delivery, toRead bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	bytes := 0
	for len(d.queue) > 0 {
		it := d.queue[0]
		if it.count > 0 {
			without := it.message.Data == nil
			if len(taken) > 0 && (without != toRead || without && len(taken) == n || bytes+len(it.message.Data) > responseBytes) {
				d.signal()
				break
			}
			toRead = without
			taken, bytes = append(taken, *it), bytes+len(it.message.Data)
			delete(d.byPlace, it.place)
		}
		d.queue[0] = nil
		d.queue = d.queue[1:]
	}
	d.bytes -= bytes
	return taken, toRead
}
