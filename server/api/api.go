// Package api serves the event log by gRPC, gRPC-Web and HTTP with JSON: eventstore.v1.EventStore, and two services that
// clients of other event stores call. It sits beside the NATS Streaming protocol on the same calls of the log: append, read,
// subscribe. docs/api.md is its contract.
package api

import (
	"context"
	"errors"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Log is the event log of a server for as long as it is the active one. Errors that it returns are those of package stores,
// proto.InvalidError, and those below.
type Log interface {
	// Channel returns an event channel, ErrUnknownChannel if it does not exist, ErrNoEventChannel if it is another.
	Channel(name string) (Channel, error)
	// Open is Channel, but creates one that does not exist.
	Open(ctx context.Context, name string) (Channel, error)
	// Channels returns the event channels, by name.
	Channels() []Channel
	// Append stores events, all or none. An error of the context leaves open whether they are stored.
	Append(ctx context.Context, to Channel, events []Encoded, expect []stores.Expectation) ([]stores.Result, error)
	// EventsWithID and AggregatesWithID are those of stores.Store.
	EventsWithID(ctx context.Context, id string) ([]stores.FoundEvent, error)
	AggregatesWithID(ctx context.Context, id string) ([]stores.Aggregate, error)
	ReadAggregate(ctx context.Context, a stores.Aggregate, from uint64, backward bool, maxMsgs, maxBytes int) ([]stores.VersionedMessage, error)
	// Admission bounds the memory of requests.
	Admission() Admission
	// Done is closed when the server stops being the active one.
	Done() <-chan struct{}
}

// Admission bounds the memory of requests together with that of all other doors.
type Admission interface {
	// Acquire waits for room for some bytes; the error wraps that of ctx.
	Acquire(ctx context.Context, bytes int) error
	Release(bytes int)
}

// Encoded is an event on its way to the log.
type Encoded struct {
	Payload []byte // an eventstore.v1.Event
	Event   proto.Event
}

// Channel is an event channel.
type Channel interface {
	// Stored is the channel in the store, which knows its name and what it holds.
	Stored() *stores.Channel
	// Info is what the channel holds.
	Info() stores.ChannelInfo
	// Mapping is how its events are read from messages, nil if these are eventstore.v1.Event.
	Mapping() *proto.Mapping
	// Strict says that events must carry the next version of their aggregate, or none.
	Strict() bool
	// Lookup returns the messages with the sequences that are stored.
	Lookup(ctx context.Context, sequences []uint64) (map[uint64]stores.Message, error)
	// SequenceAt is that of stores.Store.
	SequenceAt(ctx context.Context, ns int64) (uint64, error)
	// Cursor reads on from a sequence.
	Cursor(from uint64) Cursor
}

// Cursor reads a channel onwards. One goroutine uses it, and closes it.
type Cursor interface {
	// ReadTo returns some messages up to a sequence, none if there are no more up to that.
	ReadTo(ctx context.Context, to uint64, max int) ([]stores.Message, error)
	// Position is the sequence of the next message, or of one that is gone.
	Position() uint64
	// Ready has a value when messages were committed since it was last received.
	Ready() <-chan struct{}
	Close()
}

// Errors of a Log.
var (
	// ErrUnknownChannel means that there is no such channel.
	ErrUnknownChannel = errors.New("unknown channel")
	// ErrNoEventChannel means that the configuration does not make the channel an event channel.
	ErrNoEventChannel = errors.New("not an event channel")
	// ErrInvalidChannel means that the name can not be that of a channel.
	ErrInvalidChannel = errors.New("not a valid channel name")
	// ErrChannelRefused means that the channel must not be created; the wrapped cause says why.
	ErrChannelRefused = errors.New("the channel can not be created")
	// ErrStandby means that the server is not the active one, or stopped being it.
	ErrStandby = errors.New("this server is not the active one")
)

// DefaultChannel stores the events of the two other services that name no channel.
const DefaultChannel = "eventstore.events"

// service answers the requests of all three services.
type service struct {
	log            func() Log // nil while the server is not the active one
	defaultChannel string
	maxMessage     int
}

// active returns the log, or ErrStandby.
func (s *service) active() (Log, error) {
	if log := s.log(); log != nil {
		return log, nil
	}
	return nil, ErrStandby
}
