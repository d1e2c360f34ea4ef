package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

const (
	// maxConflicts is how often a command is tried before it returns a conflict: for about ten seconds.
	maxConflicts = 200
	// A conflict means that another process was faster. Who pauses long leaves it the aggregate for that long.
	conflictPause, maxConflictPause = 2 * time.Millisecond, 50 * time.Millisecond
)

// ExecuteOption configures one call of Repository.Execute, ExecuteMany or Decider.Decide.
type ExecuteOption func(*execution)

type execution struct {
	command  string
	unnamed  bool // Command was given an empty ID
	content  []any
	metadata map[string]string
	tags     []string
	expect   []Expectation
	occurred time.Time
}

// Metadata adds metadata to each event, except for keys that the event has itself, and for MetadataSchemaVersion.
func Metadata(metadata map[string]string) ExecuteOption {
	return func(e *execution) { e.metadata = metadata }
}

// Tags adds tags to each event.
func Tags(tags ...string) ExecuteOption { return func(e *execution) { e.tags = tags } }

// OccurredAt sets the OccurredAt of each event that has none. Without this option, that is the time of the call by the
// clock of this program. The zero time leaves it unset.
func OccurredAt(t time.Time) ExecuteOption { return func(e *execution) { e.occurred = t } }

// Expect adds expectations to the append, beside the one that nothing changed meanwhile. If one does not hold, nothing is
// stored, and the error is *ConflictError or *ConditionError. Then the command is not tried again, since decide knows nothing of it.
func Expect(expectations ...Expectation) ExecuteOption {
	return func(e *execution) { e.expect = append(e.expect, expectations...) }
}

func newExecution(options []ExecuteOption) *execution {
	e := &execution{occurred: time.Now()}
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
	if event.OccurredAt.IsZero() {
		event.OccurredAt = e.occurred
	}
	switch {
	case e.command != "":
		event.ID = eventID(e.command, n+1)
	case event.ID == "":
		event.ID = uuid.NewString() // as Append does, but known to who applies the event
	}
}

// retry calls attempt again, with short pauses, after a conflict on what the command has read: on one of the aggregates, or on the
// query.
func (e *execution) retry(ctx context.Context, what string, aggregates []aggregateName, attempt func() error) error {
	pause := backoff{first: conflictPause, max: maxConflictPause}
	raced := false
	for n := 1; ; n++ {
		err := attempt()
		var version *ConflictError
		var condition *ConditionError
		switch {
		case errors.As(err, &version) && slices.Contains(aggregates, aggregateName{version.Channel, version.AggregateType, version.AggregateID}):
		case errors.As(err, &condition) && condition.Condition >= e.conditions():
		case e.isRace(err) && !raced:
			raced = true // the next attempt sees what the other call stored
		default:
			return err
		}
		if n == maxConflicts {
			return err
		}
		if ended := pause.wait(ctx); ended != nil {
			return fmt.Errorf("%s: %w, last error: %w", what, ended, err)
		}
	}
}

// conditions is the number of conditions from Expect, which come first.
func (e *execution) conditions() (n int) {
	for _, it := range e.expect {
		if it.condition != nil {
			n++
		}
	}
	return n
}

// isRace reports whether another call with this command's ID may have been faster.
func (e *execution) isRace(err error) bool {
	var reused *reusedError
	return e.command != "" && errors.Is(err, ErrDuplicate) && !errors.As(err, &reused)
}
