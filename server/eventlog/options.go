package eventlog

import (
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Options configure how a log treats its channels and which resources it may use.
type Options struct {
	Events   Events
	Versions []ChannelVersions // override those of Events
	Copies   []CopyRoute       // of several routes from an event to one channel, the first counts
	Limits   Limits
	Keys     *keys.Ring // of encrypted values; nil if nothing is encrypted

	StoreTimeout   time.Duration // from receipt to answer, whatever piles up
	MaxBatchMsgs   int           // MaxBatchMsgs and MaxBatchBytes bound a transaction
	MaxBatchBytes  int
	TailBytes      int64 // committed messages in memory for readers, over all channels
	ReadAheadBytes int64 // messages read ahead from the database, over all cursors
	PublishMemory  int64 // unanswered messages, over all doors
	Connections    int   // connections of the store for reads

	// MaxPayload returns the current max_payload of NATS, in bytes.
	MaxPayload func() int64
	// Added, if set, is called for each channel before anyone else can see it.
	Added func(*Channel)
	// Failed, if set, is called for each error that affects more than one message: stores.ErrFenced and
	// stores.ErrUnavailable.
	Failed func(error)
	// Stored, if set, is called after each commit.
	Stored func()
	// Committed, if set, is called after a commit that holds sampled traces, before anybody can read what it stored.
	Committed func([]Trace, Batch)
}

// CopyRoute copies events to a channel, each in the event's own transaction.
type CopyRoute struct {
	From    []string // patterns of event channels; empty: all
	Types   []string // patterns of event types for MatchesType; empty: all
	Channel string   // receives the copies; not an event channel
	// To, if set, returns the channel for an event of a channel instead.
	To       func(channel string, ev *proto.Event) string
	DataOnly bool // copies event_data without its envelope
	// MatchesType reports whether an event type matches one of the patterns.
	MatchesType func(types []string, event string) bool
}

// hasFrom reports whether the route takes events from a channel.
func (r *CopyRoute) hasFrom(channel string) bool {
	return len(r.From) == 0 || slices.ContainsFunc(r.From, func(p string) bool { return Matches(p, channel) })
}

// Metrics is what the log counts.
type Metrics interface {
	// Committed counts a batch and what was stored of it. Whoever answers a refused submission counts the refusal.
	Committed(took time.Duration, results []stores.Result)
	// Failed counts an error of an operation: "retention".
	Failed(operation string, err error)
	// Replayed counts messages read from the database because memory did not have them.
	Replayed(messages int)
}

// Users knows who uses a channel.
type Users interface {
	// Retire calls remove while no client can join ch, unless ch has active members. If remove returns nil, Retire
	// forgets the groups of ch. It reports whether the channel was removed.
	Retire(ch *Channel, remove func() error) (retired bool, err error)
}

// Submission is one message, or a group of messages that are stored together or not at all, for one channel.
type Submission struct {
	Channel string // a valid name
	// From names the submitter. Those of one channel keep their order, and submitters take turns.
	From     string
	Held     int       // bytes acquired from Admission; the log releases them after the answer
	Received time.Time // the answer comes by Received + StoreTimeout
	// Decode returns the messages, exactly one if Group is nil. It runs on a goroutine of the log or, if Held is small,
	// in Submit. For one channel, one Decode runs at a time, in order. An error refuses the submission.
	Decode func(ch *Channel) ([]Message, error)
	Group  *stores.Group // nil: a single message
	// By is who submits it, if that is to be recorded.
	By *stores.Appender
	// Answer is called exactly once and must not block. It gets one result per message; a refused submission gets a
	// single result with Err.
	Answer func(results []stores.Result)
	// Trace follows the submission; nil if it is not traced.
	Trace Trace
}

// Message is a message to store. The log does not modify it.
type Message struct {
	Reply   string
	Payload []byte
	Event   *proto.Event // nil: an event channel extracts it from Payload
	Channel string       // in place of the submission's; "" if none
	// DataTo is a channel that gets event_data, in addition to those of Options.Copies. It is not an event channel. "" if none.
	DataTo string
}
