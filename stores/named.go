package stores

import "encoding/json"

// ConsumerName names a durable or a queue group. The name outlives the group: who subscribes again with it finds the settings and
// the parked messages of before.
type ConsumerName struct {
	Line   string // a channel, or a pattern of channels
	Client string // of a plain durable; empty for a queue group
	Name   string // of the durable or of the queue group, "durable:queue" if that is durable
}

// NamedConsumer is what is known of a durable or a queue group by its name, whether or not it has subscriptions.
type NamedConsumer struct {
	ID uint64 // from NewSubscriptionID
	ConsumerName
	Settings json.RawMessage // those that were set at run time, a JSON object; a damaged row may have anything
}

// NamedState is a named consumer as it was last saved.
type NamedState struct {
	NamedConsumer
	Parked     int            // messages
	ParkedKeys map[string]int // messages by ordering key, of those that have one
}

// ParkedMessage is a message that was taken from its consumer.
type ParkedMessage struct {
	Consumer    uint64 // ID of the named consumer
	Seq         uint64 // in the channel; the position if the consumer is of a pattern
	Deliveries  uint32
	First, Last int64  // time of the first and last delivery, in ns since 1970; 0: never delivered
	Key         string // ordering key; empty if the consumer is not ordered, or the message has none
	Reason      string
}

// ParkedKey names a parked message.
type ParkedKey struct{ Consumer, Seq uint64 }

// RedeliveredRun says that consecutive sequences were sent the same number of times.
type RedeliveredRun struct {
	First, Last uint64
	Count       uint32 // redeliveries
	Since       int64  // time of the first delivery, in s since 1970
	NotBefore   int64  // the time before which they must not be sent again, in s since 1970; 0: none
}

// CancelledDelivery is an event whose delayed delivery was cancelled.
type CancelledDelivery struct {
	Channel *Channel
	Seq     uint64
}

// AuditEntry is an administrative act.
type AuditEntry struct {
	ID                 uint64 // from NewAuditID
	Time               int64  // ns since 1970
	Principal, Address string // who; an address without a name is that of an unnamed caller
	Action             string // for example "pause"
	Target             string // for example the consumer
	Detail             string // what changed, or why
}
