package stores

// Copy is a message that is stored in the transaction of an event, if and only if the event is.
type Copy struct {
	Channel *Channel // must not hold events: the copy has no event columns
	Kind    CopyKind
}

// CopyKind says what a copy of an event holds.
type CopyKind int

const (
	// CopyEnvelope copies the stored event: the publisher's payload with the version of the event.
	CopyEnvelope CopyKind = iota
	// CopyData copies only the event's event_data.
	CopyData
)
