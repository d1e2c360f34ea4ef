package consumers

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Settings of a durable or a queue group. A nil field is not set. Those of the configuration apply first; those set at run time,
// which the database holds as JSON, replace them field by field.
type Settings struct {
	// MaxDeliveries is how often a message is sent at most before OnLimit applies. 0 is unlimited.
	MaxDeliveries *int `json:"max_deliveries,omitempty"`
	// Backoff is how long the first, second, ... delivery waits for its acknowledgement; the last one counts from then on. It
	// replaces AckWait.
	Backoff *[]Duration `json:"backoff,omitempty"`
	// AckWait and MaxInflight replace what the client asked for. 0 does not.
	AckWait     *Duration `json:"ack_wait,omitempty"`
	MaxInflight *int      `json:"max_inflight,omitempty"`
	// OrderBy is OrderNone, OrderAggregate, or OrderTag and the prefix of a tag.
	OrderBy *string `json:"order_by,omitempty"`
	// OnLimit is LimitPark, the default, LimitSkip or LimitStall.
	OnLimit *string `json:"on_limit,omitempty"`
	// BehindParked says what becomes of later messages of a key of which a message is parked: BehindPark, the default, or BehindFlow.
	BehindParked *string `json:"behind_parked,omitempty"`
	Paused       *bool   `json:"paused,omitempty"`
	Filter       *Filter `json:"filter,omitempty"`
}

// Filter says which events a consumer is sent: those of any of the types, which may have wildcards, that have any of the tags. An
// empty list leaves nothing out.
type Filter struct {
	Types []string `json:"types,omitempty"`
	Tags  []string `json:"tags,omitempty"`
}

// The values of Settings.
const (
	OrderNone      = "none"
	OrderAggregate = "aggregate"
	OrderTag       = "tag:"

	LimitPark  = "park"
	LimitSkip  = "skip"
	LimitStall = "stall"

	BehindPark = "park"
	BehindFlow = "flow"
)

// Bounds of Settings.
const (
	MaxDeliveriesLimit = 1_000_000
	MaxBackoff         = 100 // durations
	MinWait            = 10 * time.Millisecond
	MaxWait            = 30 * 24 * time.Hour
)

// Duration is a time.Duration whose JSON form is a text such as "1m30s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 30s or 1m30s", text)
	}
	*d = Duration(parsed)
	return nil
}

// Validate returns an error that wraps ErrInvalidSettings and names the field.
func (s *Settings) Validate() error {
	if err := s.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidSettings, err)
	}
	return nil
}

func (s *Settings) validate() error {
	if n := s.MaxDeliveries; n != nil && (*n < 0 || *n > MaxDeliveriesLimit) {
		return fmt.Errorf("max_deliveries is %d: write 1 to %d, or 0 for no limit", *n, MaxDeliveriesLimit)
	}
	if n := s.MaxInflight; n != nil && (*n < 0 || *n > math.MaxInt32) {
		return fmt.Errorf("max_inflight is %d: write 1 to %d, or 0 for what the client asks for", *n, math.MaxInt32)
	}
	if d := s.AckWait; d != nil && *d != 0 {
		if err := validWait(*d); err != nil {
			return fmt.Errorf("ack_wait: %w", err)
		}
	}
	if b := s.Backoff; b != nil {
		if len(*b) > MaxBackoff {
			return fmt.Errorf("backoff has %d durations: write at most %d", len(*b), MaxBackoff)
		}
		for _, d := range *b {
			if err := validWait(d); err != nil {
				return fmt.Errorf("backoff: %w", err)
			}
		}
	}
	if o := s.OrderBy; o != nil && *o != OrderNone && *o != OrderAggregate && !isTagOrder(*o) {
		return fmt.Errorf("order_by is %q: write none, aggregate, or tag: and the prefix of a tag", *o)
	}
	if err := oneOf("on_limit", s.OnLimit, LimitPark, LimitSkip, LimitStall); err != nil {
		return err
	}
	if err := oneOf("behind_parked", s.BehindParked, BehindPark, BehindFlow); err != nil {
		return err
	}
	if q := s.Filter.query(); q != nil {
		if err := q.Validate(); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	return nil
}

func validWait(d Duration) error {
	if t := time.Duration(d); t < MinWait || t > MaxWait {
		return fmt.Errorf("%v is out of range: write %v to %v", t, MinWait, MaxWait)
	}
	return nil
}

func isTagOrder(o string) bool {
	prefix, tag := strings.CutPrefix(o, OrderTag)
	return tag && prefix != "" && len(prefix) <= proto.MaxTag
}

func oneOf(name string, value *string, values ...string) error {
	if value == nil || slices.Contains(values, *value) {
		return nil
	}
	return fmt.Errorf("%s is %q: write one of %s", name, *value, strings.Join(values, ", "))
}

// query returns what matches the events of a filter, or nil if all do.
func (f *Filter) query() *stores.Query {
	if f == nil || len(f.Types)+len(f.Tags) == 0 {
		return nil
	}
	if len(f.Tags) == 0 {
		return &stores.Query{Items: []stores.QueryItem{{Types: f.Types}}}
	}
	var q stores.Query
	for _, tag := range f.Tags {
		q.Items = append(q.Items, stores.QueryItem{Types: f.Types, Tags: []string{tag}})
	}
	return &q
}

// over returns the settings s with the fields that others set.
func (s Settings) over(others Settings) Settings {
	to, from := reflect.ValueOf(&s).Elem(), reflect.ValueOf(others)
	for i := range to.NumField() {
		if v := from.Field(i); !v.IsNil() {
			to.Field(i).Set(v)
		}
	}
	return s
}

// parseSettings reads stored settings.
func parseSettings(text json.RawMessage) (Settings, error) {
	var s Settings
	if len(text) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return Settings{}, err
	}
	return s, s.Validate()
}

// Rule is Settings for the consumers that match it.
type Rule struct {
	At       string   // place in the configuration, with which errors begin
	Channels []string // patterns of channels; empty: all
	Names    []string // of durables and queue groups; * matches any text; empty: all
	Settings Settings
}

// Validate returns what is wrong with the rule.
func (r *Rule) Validate() error {
	for _, p := range r.Channels {
		if !eventlog.ValidPattern(p) {
			return fmt.Errorf("channels: %q is not a pattern: write names, with * for one token between dots, > for the rest", p)
		}
	}
	for _, n := range r.Names {
		if n == "" {
			return errors.New("names: a name is empty: leave names out to mean all durables and queue groups")
		}
	}
	return r.Settings.Validate()
}

// matches reports whether the rule is about a consumer. That of a pattern matches if the rule names the same pattern, or a wider one.
func (r *Rule) matches(name stores.ConsumerName) bool {
	return (len(r.Channels) == 0 || slices.ContainsFunc(r.Channels, func(p string) bool { return p == name.Line || eventlog.Matches(p, name.Line) })) &&
		(len(r.Names) == 0 || slices.ContainsFunc(r.Names, func(p string) bool { return matchesName(p, name.Name) }))
}

// matchesName reports whether a name matches a pattern in which * stands for any text.
func matchesName(pattern, name string) bool {
	begin, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, begin)
	for ok {
		if matchesName(rest, name) {
			return true
		}
		if name == "" {
			return false
		}
		name = name[1:]
	}
	return false
}

// rules are the settings of a group, complete.
type rules struct {
	maxDeliveries int // 0: unlimited
	backoff       []time.Duration
	ackWait       time.Duration // 0: the client's
	maxInflight   int32         // 0: the client's
	orderBy       string        // "" if messages have no keys
	onLimit       string
	parksBehind   bool
	paused        bool
	filter        *stores.Query
}

func (s Settings) rules() *rules {
	r := &rules{
		maxDeliveries: value(s.MaxDeliveries),
		ackWait:       time.Duration(value(s.AckWait)),
		maxInflight:   int32(value(s.MaxInflight)),
		orderBy:       value(s.OrderBy),
		onLimit:       cmp.Or(value(s.OnLimit), LimitPark),
		parksBehind:   value(s.BehindParked) != BehindFlow,
		paused:        value(s.Paused),
		filter:        s.Filter.query(),
	}
	if r.orderBy == OrderNone {
		r.orderBy = ""
	}
	for _, d := range value(s.Backoff) {
		r.backoff = append(r.backoff, time.Duration(d))
	}
	return r
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
