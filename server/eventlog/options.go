package eventlog

import (
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Options say how a log treats its channels, and how much it may use of the machine.
type Options struct {
	Events   Events
	Versions []ChannelVersions // come before those of Events
	Copies   []CopyRoute       // of several routes of an event to one channel, the first counts
	Limits   Limits

	StoreTimeout   time.Duration // from when a submission was received until it is answered, whatever piles up
	MaxBatchMsgs   int           // bounds of one transaction
	MaxBatchBytes  int
	TailBytes      int64 // of committed messages kept in memory for readers, all channels together
	ReadAheadBytes int64 // of messages read from the database and not yet taken, all cursors together
	PublishMemory  int64 // of unanswered messages, all doors together
	Connections    int   // of the store for reads

	// MaxPayload returns the longest message in bytes that NATS carries now.
	MaxPayload func() int64
	// Added is told of each channel before anybody else can see it. nil: nobody is.
	Added func(*Channel)
	// Failed is told of each error that affects more than one message: stores.ErrFenced, stores.ErrUnavailable. nil: nobody is.
	Failed func(error)
}

// CopyRoute sends a copy of each event to a channel, in the event's own transaction.
type CopyRoute struct {
	From     []string // patterns of event channels; without any, all of them
	Types    []string // patterns of event types for MatchesType; without any, all
	Channel  string   // where the copies go; it is not an event channel
	DataOnly bool     // sends event_data alone, not the whole stored message
	// MatchesType reports whether an event type matches one of the patterns.
	MatchesType func(types []string, event string) bool
}

// hasFrom reports whether events of a channel are routed.
func (r *CopyRoute) hasFrom(channel string) bool {
	return len(r.From) == 0 || slices.ContainsFunc(r.From, func(p string) bool { return Matches(p, channel) })
}

// Metrics is what the log counts.
type Metrics interface {
	// Committed counts a batch and what became of its messages.
	Committed(took time.Duration, results []stores.Result)
	// Failed counts an error by the operation that met it: "publish" or "retention".
	Failed(operation string, err error)
	// Replayed counts messages that were read from the database since memory did not have them.
	Replayed(messages int)
}

// Users tells whether somebody uses a channel.
type Users interface {
	// Retire calls remove while nobody can join ch, unless ch has active members. If remove returns nil, it forgets the
	// groups of ch. It reports whether the channel was removed.
	Retire(ch *Channel, remove func() error) (retired bool, err error)
}

// Submission is one message, or a group that is stored as a whole or not at all, for one channel.
type Submission struct {
	Channel string // a valid name
	// From names the submitter: those of one channel keep their order, and submitters take turns.
	From     string
	Held     int       // bytes that the door acquired from Admission; the log releases them after the answer
	Received time.Time // it is answered by Received + StoreTimeout
	// Decode returns the messages, of which there is exactly one if Group is nil. It runs on a goroutine of the log, or
	// of Submit if Held is small. For one channel, one runs at a time, in order. An error refuses the submission.
	Decode func(ch *Channel) ([]Message, error)
	Group  *stores.Group // nil: one message that stands alone
	// Answer is called exactly once and must not block. There is one result for each message; a submission that was
	// refused gets one with Err.
	Answer func(results []stores.Result)
}

// Message is a message to be stored. Nothing in it is changed.
type Message struct {
	Reply   string
	Payload []byte
	Event   *proto.Event // nil: extracted from Payload if the channel is an event channel
}
