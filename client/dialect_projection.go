package eventstore

// projectionTexts are a dialect's statements on checkpoints, leases, generations and parked events: (parameters) → result. Times are
// microseconds since 1970 by the clock of the database, so that the clocks of the programs do not matter. Only event_recorded_at is
// nanoseconds by the server's clock.
type projectionTexts struct {
	createCheckpoints  string
	addedToCheckpoints []addedColumn // since the first builds
	checkpoint         string        // (name) → sequence, event_channel, event_sequence, event_recorded_at
	newCheckpoint      string        // (name, sequence): unless it exists
	dropCheckpoint     string        // (name)
	holdCheckpoint     string        // (lease, name, holder, sequence): locks the row
	moveCheckpoint     string        // (sequence, event_channel, event_sequence, event_recorded_at, lease, name, holder)

	takeLease    string // (holder, lease, name, holder): if it is free, expired, or the holder's
	keepLease    string // (lease, name, holder)
	releaseLease string // (name, holder)
	seizeLease   string // (holder, lease, name)
	leaseHolder  string // (name) → holder, empty if there is none

	createProjections string
	newProjection     string // (name, version): generation 1, unless it exists
	projection        string // (name) → live, version, building, building_version
	beginGeneration   string // (building, building_version, name, building before)
	switchGeneration  string // (name, building)

	createParked  string
	park          string // (projection, place, event_key, event_type, error, event)
	parked        string // (projection) → place, event_key, event_type, error, parked_at, event: by place
	countParked   string // (projection) → count
	unpark        string // (projection, place)
	unparkAll     string // (projection)
	parkedMessage string // (error, projection, place)
}

// The same in every dialect.
const (
	savepoint           = "SAVEPOINT eventstore_event"
	rollbackToSavepoint = "ROLLBACK TO SAVEPOINT eventstore_event"
	releaseSavepoint    = "RELEASE SAVEPOINT eventstore_event"
)

func (d Dialect) projectionTexts() *projectionTexts {
	switch d {
	case PostgreSQL:
		return &postgresProjectionTexts
	case MySQL:
		return &mysqlProjectionTexts
	case SQLite:
		return &sqliteProjectionTexts
	}
	panic("eventstore: Dialect is not set")
}
