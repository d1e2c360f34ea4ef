package eventstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
)

// MetadataCommand is the key of metadata that holds the fingerprint of a Command, on the first event that it stored.
const MetadataCommand = "command_fingerprint"

// Command makes a command idempotent. However often it is executed with this ID, at the same time or later, one call stores
// its events, and the others store nothing and return Outcome.Repeated. The events have the IDs id/1, id/2, …, so an ID
// counts in the channel of the events. A command that stores no events leaves no trace.
//
// content is what the caller asks for: the request, or its parts. Each is a message of protobuf, or must encode to JSON and
// have no unexported fields, which JSON would leave out. The first event keeps a fingerprint of the content and of what the
// command is for: the aggregates, or the channel and the query of a Decider. A later call with the same ID and another
// fingerprint is not a repetition but a mistake, and its error is ErrDuplicate. Without content, only what the command is for
// is compared. An empty ID is an error: without one, a repeated request would be executed again.
//
// A request that is repeated after a deploy must still have the same content. So pass what the client sent, and not values
// that the program makes of it.
func Command(id string, content ...any) ExecuteOption {
	return func(e *execution) { e.command, e.content, e.unnamed = id, content, id == "" }
}

func eventID(command string, n int) string { return command + "/" + strconv.Itoa(n) }

// aggregateName names an aggregate.
type aggregateName struct{ Channel, Type, ID string }

func (n aggregateName) String() string {
	if n.Type == "" {
		return fmt.Sprintf("aggregate %q of channel %q", n.ID, n.Channel)
	}
	return fmt.Sprintf("aggregate %q (%s) of channel %q", n.ID, n.Type, n.Channel)
}

func (n aggregateName) compare(other aggregateName) int {
	return cmp.Or(strings.Compare(n.Channel, other.Channel), strings.Compare(n.Type, other.Type), strings.Compare(n.ID, other.ID))
}

// subject is what a command is for: aggregates, or what a query of a Decider selects.
type subject struct {
	Aggregates []aggregateName `json:",omitempty"` // sorted
	Channel    string          `json:",omitempty"`
	Query      *Query          `json:",omitempty"`
}

func (s subject) String() string {
	if s.Query != nil {
		return fmt.Sprintf("a query and channel %q", s.Channel)
	}
	names := make([]string, len(s.Aggregates))
	for i, name := range s.Aggregates {
		names[i] = name.String()
	}
	return strings.Join(names, ", ")
}

// channels are where the first event of a command may be. "" stands for any.
func (s subject) channels() []string {
	if s.Query != nil {
		return []string{""}
	}
	var all []string
	for _, name := range s.Aggregates { // sorted by channel
		all = append(all, name.Channel)
	}
	return slices.Compact(all)
}

// order is a command with an ID, and what it is for.
type order struct {
	id          string
	what        subject
	fingerprint string
}

// newOrder returns the command of an execution, nil if it has no ID.
func (e *execution) newOrder(what subject) (*order, error) {
	switch {
	case e.unnamed:
		return nil, errors.New("the ID of Command is empty, so that a repeated request would be executed again")
	case e.command == "":
		return nil, nil
	}
	content, err := contentOf(e.content)
	if err != nil {
		return nil, fmt.Errorf("command %q: %w", e.command, err)
	}
	encoded, err := json.Marshal([]any{what, content})
	if err != nil {
		return nil, fmt.Errorf("command %q: its content must encode to JSON: %w", e.command, err)
	}
	sum := sha256.Sum256(encoded)
	return &order{e.command, what, hex.EncodeToString(sum[:16])}, nil
}

// contentOf returns the content of a command as JSON tells it apart from any other.
func contentOf(content []any) ([]any, error) {
	content = slices.Clone(content)
	for i, part := range content {
		if message, ok := part.(proto.Message); ok { // JSON would leave out fields of some messages
			encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
			if err != nil {
				return nil, fmt.Errorf("encode its content: %w", err)
			}
			content[i] = encoded
		} else if path := unexported(part); path != "" {
			return nil, fmt.Errorf("JSON leaves the field %T%s out of its content, so that contents that differ would look the same: export the field", part, path)
		}
	}
	return content, nil
}

// mark leaves the fingerprint with the first event of the command.
func (o *order) mark(first *NewEvent) {
	if o != nil {
		metadata := maps.Clone(first.Metadata) // the map may be the caller's
		if metadata == nil {
			metadata = make(map[string]string, 1)
		}
		metadata[MetadataCommand] = o.fingerprint
		first.Metadata = metadata
	}
}

// executed reports whether the events of the command are stored already.
func (c *Client) executed(ctx context.Context, o *order) (bool, error) {
	if o == nil {
		return false, nil
	}
	for _, channel := range o.what.channels() {
		first, err := c.leading().Get(ctx, channel, eventID(o.id, 1))
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return false, err
		default:
			return true, o.compare(first)
		}
	}
	return false, nil
}

// compare returns an error unless the command stored the event.
func (o *order) compare(first *Event) error {
	name := aggregateName{first.Channel, first.AggregateType, first.AggregateID}
	of := o.what.Query != nil || slices.Contains(o.what.Aggregates, name)
	switch stored := first.Metadata[MetadataCommand]; {
	case stored == o.fingerprint, stored == "" && of: // earlier releases left no fingerprint
		return nil
	case !of:
		return &reusedError{o.id, fmt.Sprintf("on %v, at position %d, and not on %v", name, first.Position, o.what)}
	case len(o.what.Aggregates) == 1:
		return &reusedError{o.id, fmt.Sprintf("on %v, at position %d, but with another content", name, first.Position)}
	}
	return &reusedError{o.id, fmt.Sprintf("on %v, at position %d, but not with the same content on %v", name, first.Position, o.what)}
}

// reusedError means that a command's ID was used for another command. It is ErrDuplicate.
type reusedError struct{ command, how string }

func (e *reusedError) Error() string {
	return fmt.Sprintf("command %q was executed %s: give each command an ID of its own", e.command, e.how)
}

func (e *reusedError) Is(target error) bool { return target == ErrDuplicate } //nolint:errorlint // as Is methods do
