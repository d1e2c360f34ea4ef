package stores

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrFenced means that the lease of the database is not, or no longer, this store's: nothing was written, and
	// another server may be writing. Take the lease again and Recover before writing.
	ErrFenced = errors.New("the lease of the database is not held by this server")

	// ErrRewound means that the database was set back under the running server, to a backup for instance: a channel has
	// a lower sequence than this store has seen committed. It is an ErrFenced, too: nothing was written, and nothing will
	// be before the lease was taken again, and Recover has read what is there now.
	ErrRewound = fmt.Errorf("%w: the database was set back under the running server", ErrFenced)

	// ErrUnavailable means that the database could not be reached or could not do its work before the context ended.
	// It is wrapped with the cause. Nothing is known to be stored; see also ErrOutcomeUnknown.
	ErrUnavailable = errors.New("the database is unavailable")

	// ErrOutcomeUnknown accompanies ErrUnavailable when the connection was lost at COMMIT and the context ended before
	// the store could reread what became of it: the batch is stored as a whole or not at all. The next Append finds out
	// first.
	ErrOutcomeUnknown = errors.New("the outcome of the commit is unknown")

	// ErrDuplicateEvent means that another event with this event_id is stored on the channel already. Its text in an
	// error goes on with the event_id.
	ErrDuplicateEvent = errors.New("already stored with different content")

	// ErrPartlyStored means that some events of a group are stored already, and others are not: it is not the same group
	// sent again.
	ErrPartlyStored = errors.New("some of the events are already stored, others are not")

	// ErrRefused means that the database refuses the row of this one message; the wrapped cause says why.
	ErrRefused = errors.New("the database refused the message")

	// ErrTooNew means that the schema of the database is newer than this program knows.
	ErrTooNew = errors.New("the schema of the database is newer than this server")

	// ErrUnknownChannel means that the channel is not, or no longer, one of this store: it was made by another store,
	// or before the last Recover.
	ErrUnknownChannel = errors.New("unknown channel")

	// ErrClosed means that the store is closed.
	ErrClosed = errors.New("the store is closed")
)

// VersionError is the refusal of an event whose event_version its aggregate does not take.
type VersionError struct {
	Aggregate     string // aggregate_id
	AggregateType string
	Head          uint64 // highest version of the aggregate's stored events, 0: it has none
	Version       uint64 // version that the event carries; 0: none, and there is no next one
	Taken         bool   // versions need only be unique, and another event has this one
}

// Error returns the text that publishers test for; its words are a promise.
func (e *VersionError) Error() string {
	switch {
	case e.Taken:
		return fmt.Sprintf("wrong expected version: aggregate %q has an event with version %d", e.Aggregate, e.Version)
	case e.Version == 0:
		return fmt.Sprintf("wrong expected version: aggregate %q is at version %d, there is no higher one", e.Aggregate, e.Head)
	}
	return fmt.Sprintf("wrong expected version: aggregate %q is at version %d, event has version %d", e.Aggregate, e.Head, e.Version)
}

// SchemaError means that the schema of the database is behind, and that Open was told not to change it.
type SchemaError struct {
	Version int64    // version of the database's schema, 0: it has none
	Needed  int64    // version that this program needs
	Files   []string // migrations that an administrator must run, in order
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("schema of the database is at version %d, this server needs %d: an administrator must run %s",
		e.Version, e.Needed, strings.Join(e.Files, ", "))
}
