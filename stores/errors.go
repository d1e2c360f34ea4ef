package stores

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
)

var (
	// ErrFenced means that this store does not hold the lease, or no longer holds it. Nothing was written, and another
	// server may be writing. Take the lease again and call Recover before writing.
	ErrFenced = errors.New(refusal.Fenced)

	// ErrRewound means that the database went back in time under the running server, for instance to a backup: a
	// channel has a lower sequence than this store saw committed. It wraps ErrFenced: nothing is written until the
	// lease is taken again and Recover has read the new state.
	ErrRewound = fmt.Errorf("%w: the database went back in time under the running server", ErrFenced)

	// ErrUnavailable means that the database could not be reached, or could not answer before the context ended. It
	// wraps the cause. Nothing is known to be stored; see also ErrOutcomeUnknown.
	ErrUnavailable = errors.New(refusal.Unavailable)

	// ErrOutcomeUnknown accompanies ErrUnavailable if the connection was lost at COMMIT and the context ended before
	// the store could read the outcome. The batch is stored as a whole or not at all; the next Append finds out first.
	ErrOutcomeUnknown = errors.New(refusal.OutcomeUnknown)

	// ErrDuplicateEvent means that the channel already has another event with this event_id. The text of the error
	// begins with the event_id.
	ErrDuplicateEvent = errors.New(refusal.DuplicateEvent)

	// ErrPartlyStored means that only some events of a group are already stored, so this is not the same group sent
	// again.
	ErrPartlyStored = errors.New(refusal.PartlyStored)

	// ErrRefused means that the database refused the row of this message. The wrapped cause says why.
	ErrRefused = errors.New(refusal.Refused)

	// ErrSetup means that an administrator must change the database, its settings or the rights of its user first. The text
	// says what. Trying again does not help.
	ErrSetup = errors.New("the database is not set up for this server")

	// ErrTooNew means that the schema of the database is newer than this program, which can therefore not do what was asked.
	ErrTooNew = errors.New("the schema of the database is newer than this server")

	// ErrUnknownChannel means that the channel does not belong to this store: another store returned it, or this one
	// did before its last Recover.
	ErrUnknownChannel = errors.New("unknown channel")

	// ErrInvalidQuery means that a query breaks the rules of Query or exceeds its bounds. The error says where.
	ErrInvalidQuery = errors.New("invalid query")

	// ErrNotIndexed means that a query asks for a key of metadata that Options.IndexMetadata does not name.
	ErrNotIndexed = errors.New("no index")

	// ErrClosed means that the store is closed.
	ErrClosed = errors.New("the store is closed")
)

// VersionError means that the event_version of an event does not fit its aggregate.
type VersionError struct {
	Channel       string // of the event, if it is one of a group; otherwise ""
	Aggregate     string // aggregate_id
	AggregateType string
	Head          uint64 // highest version stored for the aggregate; 0 if it has no events
	Version       uint64 // version in the event; 0 if it has none and no higher version exists
	Taken         bool   // versions must only be unique, and another event has this one
}

// Error returns the text that publishers test for. It is a contract.
func (e *VersionError) Error() string {
	switch {
	case e.Taken:
		return refusal.Taken(e.Aggregate, e.Version)
	case e.Version == 0:
		return refusal.Last(e.Aggregate, e.Head)
	}
	return refusal.NotNext(e.Aggregate, e.Head, e.Version)
}

// SchemaError means that the schema is out of date and that Open was told not to change it.
type SchemaError struct {
	Version int64    // version of the schema; 0 if there is none
	Needed  int64    // version that this program needs
	Files   []string // migrations for an administrator to run, in order
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("schema of the database is at version %d, this server needs %d: an administrator must run %s",
		e.Version, e.Needed, strings.Join(e.Files, ", "))
}
