package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"
)

// maxConflicts is how often Execute and Decide try before they return a conflict.
const maxConflicts = 100

// ExecuteOption configures one call of Repository.Execute or Decider.Decide.
type ExecuteOption func(*execution)

type execution struct {
	command  string
	metadata map[string]string
	tags     []string
	expect   []Expectation
	position *uint64
}

// Command makes a command idempotent. However often it is executed with this ID, on any aggregate of the channel, at the
// same time or later, one call stores its events and the others store nothing. The event IDs are id/1, id/2, ….
func Command(id string) ExecuteOption { return func(e *execution) { e.command = id } }

// Metadata adds metadata to each event, except for keys that the event has itself, and for MetadataSchemaVersion.
func Metadata(metadata map[string]string) ExecuteOption {
	return func(e *execution) { e.metadata = metadata }
}

// Tags adds tags to each event.
func Tags(tags ...string) ExecuteOption { return func(e *execution) { e.tags = tags } }

// Expect adds expectations to the append, beside the one that nothing changed meanwhile. If one does not hold, the command
// is tried again.
func Expect(expectations ...Expectation) ExecuteOption {
	return func(e *execution) { e.expect = append(e.expect, expectations...) }
}

// StoredAt sets position to that of the last event stored, in the order of all events. It stays as it is if none is.
func StoredAt(position *uint64) ExecuteOption { return func(e *execution) { e.position = position } }

func newExecution(options []ExecuteOption) *execution {
	e := &execution{}
	for _, option := range options {
		option(e)
	}
	e.expect = slices.Clip(e.expect)
	return e
}

// complete fills in the nth event of a command, from 0.
func (e *execution) complete(event *NewEvent, n int) {
	event.addMetadata(e.metadata)
	event.addTags(e.tags)
	switch {
	case e.command != "":
		event.ID = eventID(e.command, n+1)
	case event.ID == "":
		event.ID = uuid.NewString() // as Append does, but known to who applies the event
	}
}

func eventID(command string, n int) string { return command + "/" + strconv.Itoa(n) }

// executed reports whether the events of the command are stored already.
func (c *Client) executed(ctx context.Context, channel string, e *execution) (bool, error) {
	if e.command == "" {
		return false, nil
	}
	first, err := c.Get(ctx, channel, eventID(e.command, 1))
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	e.at(first.Position)
	return true, nil
}

// stored tells where the events are.
func (e *execution) stored(positions []Position) {
	for _, at := range positions {
		e.at(at.Position)
	}
}

func (e *execution) at(position uint64) {
	if e.position != nil {
		*e.position = max(*e.position, position)
	}
}

// retry calls attempt again after a conflict, with pauses.
func (e *execution) retry(ctx context.Context, what string, attempt func() error) error {
	var pause backoff
	for n := 1; ; n++ {
		err := attempt()
		var version *ConflictError
		var condition *ConditionError
		// ErrDuplicate: another call with this command ID was faster.
		retry := errors.As(err, &version) || errors.As(err, &condition) || e.command != "" && errors.Is(err, ErrDuplicate)
		if !retry || n == maxConflicts {
			return err
		}
		if ended := pause.wait(ctx); ended != nil {
			return fmt.Errorf("%s: %w, last error: %w", what, ended, err)
		}
	}
}
