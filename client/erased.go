package eventstore

// Erased is the Data of an event that an administrator has erased, for those who ask for it by KeepErased.
type Erased struct {
	Erasure uint64 // as in Event.Erased
}

// KeepErased makes Expand return erased events, with Erased as Data, so that folds and projections can tell that something was there.
// Otherwise they are left out, as if they had meant nothing: a fold then returns what the other events say.
//
// Call it once all types are registered, before the registry is used.
func (r *Registry) KeepErased() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.erased = true
}

// ErasuresChannel is the channel on which the server tells of erasures. Who has read an event before it was erased learns of it there: an
// event of type EventsErased has an EventsErased as Payload, in JSON.
const ErasuresChannel = "eventstore.erasures"

// EventsErased says that events of a channel were erased.
type EventsErased struct {
	Erasure   uint64      `json:"erasure"`
	Channel   string      `json:"channel"`
	Sequences [][2]uint64 `json:"sequences"` // first and last of each range
	Positions [][2]uint64 `json:"positions"`
}
