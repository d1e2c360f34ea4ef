package stores

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Query selects events over all event channels. An event matches if it matches one of the items. A query without items
// matches every event.
type Query struct{ Items []QueryItem }

// QueryItem selects the events that match all of its fields that are set. At least one must be.
type QueryItem struct {
	Channels            []string // any of these: names or patterns of channels
	Types               []string // any of these: event types or patterns of them, as ValidTypes describes
	AggregateTypes      []string // any of these
	AggregateIDs        []string // any of these
	AggregateIDPrefixes []string // aggregate_id begins with any of these
	Tags                []string // all of these
	// Metadata are members that the event's metadata must all have, with these strings as values.
	Metadata map[string]string
}

// Bounds of a query.
const (
	MaxQueryItems  = 100
	MaxQueryList   = 100   // values in one list
	MaxQueryValues = 1_000 // values of all items together
)

// Values returns the number of values in all items.
func (q Query) Values() int {
	values := 0
	for i := range q.Items {
		it := &q.Items[i]
		values += len(it.Channels) + len(it.Types) + len(it.AggregateTypes) + len(it.AggregateIDs) + len(it.AggregateIDPrefixes) + len(it.Tags) + len(it.Metadata)
	}
	return values
}

// Validate returns an error that wraps ErrInvalidQuery, or nil.
func (q Query) Validate() error {
	if n := len(q.Items); n > MaxQueryItems {
		return fmt.Errorf("%w: %d items: ask for at most %d", ErrInvalidQuery, n, MaxQueryItems)
	}
	values := 0
	for i := range q.Items {
		n, err := q.Items[i].validate()
		if err != nil {
			return fmt.Errorf("%w: item %d: %w", ErrInvalidQuery, i+1, err)
		}
		values += n
	}
	if values > MaxQueryValues {
		return fmt.Errorf("%w: %d values in all items: ask for at most %d, or begin several reads", ErrInvalidQuery, values, MaxQueryValues)
	}
	return nil
}

// validate returns the number of values.
func (it *QueryItem) validate() (values int, err error) {
	for _, list := range []struct {
		name   string
		values []string
		max    int
		length int
		valid  func(string) error
	}{
		{"channels", it.Channels, MaxQueryList, utf8.UTFMax * maxChannelName, validChannels},
		{"event_types", it.Types, MaxQueryList, proto.MaxIdentifier, validTypes},
		{"aggregate_types", it.AggregateTypes, MaxQueryList, proto.MaxIdentifier, nil},
		{"aggregate_ids", it.AggregateIDs, MaxQueryList, proto.MaxIdentifier, notEmpty},
		{"aggregate_id_prefixes", it.AggregateIDPrefixes, MaxQueryList, proto.MaxIdentifier, notEmpty},
		{"tags", it.Tags, proto.MaxTags, proto.MaxTag, notEmpty},
	} {
		if n := len(list.values); n > list.max {
			return 0, fmt.Errorf("%s: %d values: ask for at most %d", list.name, n, list.max)
		}
		for _, v := range list.values {
			if err := validValue(v, list.length, list.valid); err != nil {
				return 0, fmt.Errorf("%s: %w", list.name, err)
			}
		}
		values += len(list.values)
	}
	if n := len(it.Metadata); n > MaxQueryList {
		return 0, fmt.Errorf("metadata: %d keys: ask for at most %d", n, MaxQueryList)
	}
	for key, v := range it.Metadata {
		if err := validValue(key, proto.MaxJSONKey, notEmpty); err != nil {
			return 0, fmt.Errorf("metadata: key: %w", err)
		}
		if err := validValue(v, maxQueryMetadata, nil); err != nil {
			return 0, fmt.Errorf("metadata: value of %q: %w", key, err)
		}
	}
	if values += len(it.Metadata); values == 0 {
		return 0, errors.New("it is empty: set a field, or leave out all items to select every event")
	}
	return values, nil
}

// maxQueryMetadata bounds a value of metadata to look for, in bytes.
const maxQueryMetadata = 4096

func validValue(v string, length int, valid func(string) error) error {
	switch {
	case len(v) > length:
		return fmt.Errorf("a value of %d bytes: at most %d are possible", len(v), length)
	case strings.ContainsRune(v, 0):
		return fmt.Errorf("%q contains a NUL byte, which no event can have", v)
	case !utf8.ValidString(v):
		return fmt.Errorf("%q is not UTF-8", v)
	case valid != nil:
		return valid(v)
	}
	return nil
}

func notEmpty(v string) error {
	if v == "" {
		return errors.New("a value is empty: leave it out")
	}
	return nil
}

func validChannels(p string) error {
	if !ValidPattern(p) {
		return fmt.Errorf("%q is not a pattern of channels: write names, with * for one token between dots, > for the rest", p)
	}
	return nil
}

func validTypes(p string) error {
	if err := notEmpty(p); err != nil || !isTypePattern(p) {
		return err
	}
	if err := ValidTypes(p); err != nil {
		return fmt.Errorf("%w: write types, with * at the end of a token between dots, > for the rest", err)
	}
	return nil
}

// isTypePattern reports whether p may match other types than p.
func isTypePattern(p string) bool { return strings.ContainsAny(p, "*>") }

// Matches reports whether an event of a channel matches. The query is valid. A message that is not an event, nil, never
// matches.
func (q Query) Matches(channel string, e *proto.Event) bool {
	if e == nil {
		return false
	}
	return len(q.Items) == 0 || slices.ContainsFunc(q.Items, func(it QueryItem) bool { return it.matches(channel, e) })
}

func (it *QueryItem) matches(channel string, e *proto.Event) bool {
	return matchesAny(it.Types, e.Type, MatchesType) &&
		matchesAny(it.AggregateTypes, e.AggregateType, equal) &&
		matchesAny(it.AggregateIDs, e.AggregateID, equal) &&
		matchesAny(it.AggregateIDPrefixes, e.AggregateID, isPrefix) &&
		matchesAny(it.Channels, channel, MatchesChannel) &&
		it.matchesTags(e.Tags) && it.matchesMetadata(e.Metadata)
}

func matchesAny(wanted []string, value string, matches func(wanted, value string) bool) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return matches(w, value) })
}

func equal(a, b string) bool             { return a == b }
func isPrefix(prefix, value string) bool { return strings.HasPrefix(value, prefix) }

func (it *QueryItem) matchesTags(tags []string) bool {
	for _, tag := range it.Tags {
		if !slices.Contains(tags, tag) {
			return false
		}
	}
	return true
}

// matchesMetadata reports whether the JSON object has the wanted members.
func (it *QueryItem) matchesMetadata(object []byte) bool {
	if len(it.Metadata) == 0 {
		return true
	}
	var members map[string]any
	if len(object) == 0 || json.Unmarshal(object, &members) != nil {
		return false
	}
	for key, want := range it.Metadata {
		if got, ok := members[key].(string); !ok || got != want {
			return false
		}
	}
	return true
}
