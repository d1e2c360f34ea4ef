// Package api serves the event log over gRPC, gRPC-Web and HTTP with JSON. It offers eventstore.v1.EventStore and two
// services for clients of other event stores. Like the NATS Streaming protocol, it appends, reads and subscribes
// through the log. docs/reference/api.md is its contract.
package api

import (
	"context"
	"errors"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// Log is the event log of the server that leads, or a Follower. It returns the errors of package stores, proto.InvalidError and those
// below.
type Log interface {
	// Channel returns an event channel. It fails with ErrUnknownChannel if no such channel exists, and with
	// ErrNoEventChannel if the channel is not an event channel.
	Channel(name string) (Channel, error)
	// Open is like Channel, but creates a missing channel.
	Open(ctx context.Context, name string) (Channel, error)
	// Channels returns the event channels, sorted by name.
	Channels() []Channel
	// ClusterID names the event store.
	ClusterID() string
	// FillsStream reports whether a route publishes events to a stream of this name.
	FillsStream(name string) bool
	// HoldsEvents reports whether a channel that matches the pattern is or would be an event channel.
	HoldsEvents(pattern string) bool
	// EventCursor returns a cursor over the events that match a query, forward from a position; BackwardCursor one
	// backward, from a position or the last event. Events of channels that are not event channels are among them.
	EventCursor(q stores.Query, from uint64) (EventCursor, error)
	BackwardCursor(q stores.Query, from uint64) (EventReader, error)
	// Position is that of the last event.
	Position() uint64
	// PositionAt does what stores.Store documents.
	PositionAt(ctx context.Context, ns int64) (uint64, error)
	// Append stores all events or none. After a context error, the outcome is unknown.
	Append(ctx context.Context, by stores.Appender, events []Encoded, as *stores.Group) ([]stores.Result, error)
	// EventsWithID and AggregatesWithID do what stores.Store documents.
	EventsWithID(ctx context.Context, id string) ([]stores.FoundEvent, error)
	AggregatesWithID(ctx context.Context, id string) ([]stores.Aggregate, error)
	ReadAggregate(ctx context.Context, a stores.Aggregate, from uint64, backward bool, maxMsgs, maxBytes int) (messages []stores.Message, more bool, err error)
	// AppenderOf does what stores.Store documents.
	AppenderOf(ctx context.Context, ch *stores.Channel, sequence uint64) (*stores.Appender, error)
	// Head is the last head of the chain of hashes, or nil.
	Head(ctx context.Context) (*chain.Head, error)
	// Delivered is told that events of a channel were sent to a subscriber.
	Delivered(ctx context.Context, channel string, events []*eventstorev1.RecordedEvent, began time.Time)
	// Admission bounds the memory of requests.
	Admission() Admission
	// Administration controls the consumers and clients. It is nil on a standby.
	Administration() Administration
	// Consumers returns the durables and queue groups. It is nil unless the server leads.
	Consumers() Consumers
	// Done is closed when this server is no longer active.
	Done() <-chan struct{}
}

// Admission bounds the memory of requests, together with all other doors.
type Admission interface {
	// Acquire waits for room for the bytes. Its error wraps that of ctx.
	Acquire(ctx context.Context, bytes int) error
	Release(bytes int)
}

// Encoded is an event ready to be appended.
type Encoded struct {
	To      Channel
	Payload []byte // an eventstore.v1.Event
	Event   proto.Event
	DataTo  string // a channel that gets event_data in the same transaction; not an event channel. "" if none
}

// Channel is an event channel.
type Channel interface {
	// Stored is the channel in the store.
	Stored() *stores.Channel
	// Info describes the channel's contents.
	Info() stores.ChannelInfo
	// Mapping tells how to read events from messages. It is nil if messages are eventstore.v1.Event.
	Mapping() *proto.Mapping
	// Strict reports whether an event's version, if given, must be the next one of its aggregate.
	Strict() bool
	// Unseal returns messages of the channel with their encrypted values decrypted, as far as there are keys.
	Unseal(ctx context.Context, msgs []stores.Message) ([]stores.Message, error)
	// Lookup returns the stored messages among the sequences.
	Lookup(ctx context.Context, sequences []uint64) (map[uint64]stores.Message, error)
	// SequenceAt does what stores.Store documents.
	SequenceAt(ctx context.Context, ns int64) (uint64, error)
	// Cursor returns a cursor at a sequence.
	Cursor(from uint64) Cursor
}

// Cursor reads a channel forward. One goroutine uses and closes it.
type Cursor interface {
	// ReadTo returns the next messages up to a sequence, or none if nothing is left.
	ReadTo(ctx context.Context, to uint64, max int) ([]stores.Message, error)
	// Position is the sequence of the next message, which may be gone.
	Position() uint64
	// Ready receives a value after messages were committed.
	Ready() <-chan struct{}
	Close()
}

// EventReader reads the events that match a query, by position, in one direction. One goroutine uses it.
type EventReader interface {
	// ReadTo returns the next events up to a position. It may return none although there are more.
	ReadTo(ctx context.Context, to uint64, max int) ([]eventlog.Event, error)
	// Position is that of the next event to look at. Backward, it is 0 after the first event.
	Position() uint64
	// Plan says how the last events were found.
	Plan() string
}

// EventCursor is an EventReader that learns of new events. One goroutine closes it.
type EventCursor interface {
	EventReader
	// Ready receives a value after events were committed.
	Ready() <-chan struct{}
	Close()
}

// Errors of a Log.
var (
	// ErrUnknownChannel means that the channel does not exist.
	ErrUnknownChannel = errors.New("unknown channel")
	// ErrNoEventChannel means that the configuration does not declare the channel as an event channel.
	ErrNoEventChannel = errors.New("not an event channel")
	// ErrInvalidChannel means that the name is not a valid channel name.
	ErrInvalidChannel = errors.New("not a valid channel name")
	// ErrChannelRefused means that the channel cannot be created. The wrapped cause says why.
	ErrChannelRefused = errors.New("the channel cannot be created")
	// ErrDenied means that the caller lacks a right.
	ErrDenied = errors.New("permissions violation")
	// ErrStandby means that the server is not, or is no longer, the active one.
	ErrStandby = errors.New("this server does not serve clients now: ask another one, or try again")
)

// DefaultChannel stores the events of the two other services, unless they name another event channel.
const DefaultChannel = "eventstore.events"

// service answers the requests of all services.
type service struct {
	log            func() Log // returns nil while the server serves nobody
	defaultChannel string
	maxMessage     int
}
