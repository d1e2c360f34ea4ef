package stores

// Copy is a message that is stored with an event, in the same transaction: if and only if the event is.
type Copy struct {
	Channel *Channel // which is no event channel: the copy has no event columns
	Kind    CopyKind
}

// CopyKind says what a copy of an event holds.
type CopyKind int

const (
	// CopyEnvelope is what is stored of the event: the publisher's payload, with the version that the event was given.
	CopyEnvelope CopyKind = iota
	// CopyData is the event's event_data alone.
	CopyData
)
