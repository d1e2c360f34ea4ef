package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

const (
	eventBytes         = 512 // of the encoded event, where no other size is said
	leastEventBytes    = 200
	eventsPerAggregate = 10
)

// events counts all events of this run; an aggregate's are neighbours.
var events atomic.Int64

// A template makes events of one size: it changes the two identifiers in the encoded event, because the publisher must
// not be what is measured.
type template struct {
	event     *eventstorev1.Event
	encoded   []byte
	id        int // where event_id begins in encoded
	aggregate int // where aggregate_id's number begins
}

const (
	noID        = "00000000-0000-0000-0000-000000000000"
	noAggregate = "order-000000000000"
)

var templates sync.Map // of *template by size

// templateOf makes one, or returns that which was made.
func templateOf(size int) *template {
	if t, ok := templates.Load(size); ok {
		return t.(*template)
	}
	t := newTemplate(size, "x")
	templates.Store(size, t)
	return t
}

// newTemplate makes events of a size, filled by repeating a text.
func newTemplate(size int, filling string) *template {
	e := &eventstorev1.Event{EventId: noID, EventType: "OrderCreated", AggregateId: noAggregate, AggregateType: "Order"}
	for pad := max(0, size-300); proto.Size(e) != size; pad += size - proto.Size(e) {
		e.EventData = fmt.Appendf(nil, `{"customer":"C-1001","total":129.90,"currency":"EUR","note":"%s"}`, strings.Repeat(filling, pad/len(filling)+1)[:pad])
	}
	encoded, err := proto.Marshal(e)
	if err != nil {
		panic(err) // it has no required field and only valid text
	}
	return &template{e, encoded, bytes.Index(encoded, []byte(noID)), bytes.Index(encoded, []byte(noAggregate)) + len("order-")}
}

// next writes the next event into buffer, which may be nil, and returns it. Its identifier is a random UUID, as most
// applications have it: neighbours in time are none in the index.
func (t *template) next(buffer []byte) []byte {
	return t.make(buffer, events.Add(1)/eventsPerAggregate)
}

// make writes the next event of an aggregate, which is a number.
func (t *template) make(buffer []byte, n int64) []byte {
	b := append(buffer[:0], t.encoded...)
	u := uuid.New()
	id := b[t.id:]
	hex.Encode(id, u[:4])
	hex.Encode(id[9:], u[4:6])
	hex.Encode(id[14:], u[6:8])
	hex.Encode(id[19:], u[8:10])
	hex.Encode(id[24:], u[10:16])
	for i := t.aggregate + 11; n > 0; i, n = i-1, n/10 {
		b[i] = '0' + byte(n%10)
	}
	return b
}

// ids are the identifiers in an event that next made.
func (t *template) ids(encoded []byte) (event, aggregate string) {
	return string(encoded[t.id : t.id+len(noID)]), string(encoded[t.aggregate-len("order-") : t.aggregate+12])
}

func init() { uuid.EnableRandPool() }
