package api

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
)

// clearing are what clears the fields of settings, by their names.
var clearing = map[string]func(*consumers.Settings){
	"max_deliveries": func(s *consumers.Settings) { s.MaxDeliveries = nil },
	"backoff":        func(s *consumers.Settings) { s.Backoff = nil },
	"ack_wait":       func(s *consumers.Settings) { s.AckWait = nil },
	"max_inflight":   func(s *consumers.Settings) { s.MaxInflight = nil },
	"order_by":       func(s *consumers.Settings) { s.OrderBy = nil },
	"on_limit":       func(s *consumers.Settings) { s.OnLimit = nil },
	"behind_parked":  func(s *consumers.Settings) { s.BehindParked = nil },
	"paused":         func(s *consumers.Settings) { s.Paused = nil },
	"filter":         func(s *consumers.Settings) { s.Filter = nil },
	"*":              func(s *consumers.Settings) { *s = consumers.Settings{} },
}

// changeOf returns what clears and sets fields of settings.
func changeOf(set *eventstorev1.ConsumerSettings, clear []string) (func(*consumers.Settings) error, error) {
	for _, name := range clear {
		if clearing[name] == nil {
			var names []string
			for name := range clearing {
				names = append(names, name)
			}
			slices.Sort(names)
			return nil, invalid("clear: %q is not a setting: send one of %s", name, strings.Join(names, ", "))
		}
	}
	if len(clear) == 0 && emptySettings(set) {
		return nil, invalid("nothing is to be changed: send settings, or the names of settings in clear")
	}
	for _, d := range append(slices.Clone(set.GetBackoff()), set.GetAckWait()) {
		if d != nil && d.CheckValid() != nil {
			return nil, invalid("%v is not a valid duration", d)
		}
	}
	return func(s *consumers.Settings) error {
		for _, name := range clear {
			clearing[name](s)
		}
		setFields(s, set)
		return nil
	}, nil
}

func emptySettings(s *eventstorev1.ConsumerSettings) bool {
	return s == nil || s.MaxDeliveries == nil && len(s.Backoff) == 0 && s.AckWait == nil && s.MaxInflight == nil && s.OrderBy == nil &&
		s.OnLimit == nil && s.BehindParked == nil && s.Paused == nil && s.Filter == nil
}

// setFields sets the fields that are present.
func setFields(s *consumers.Settings, from *eventstorev1.ConsumerSettings) {
	if from == nil {
		return
	}
	if from.MaxDeliveries != nil {
		s.MaxDeliveries = pointer(int(from.GetMaxDeliveries()))
	}
	if len(from.GetBackoff()) > 0 {
		waits := make([]consumers.Duration, len(from.GetBackoff()))
		for i, d := range from.GetBackoff() {
			waits[i] = consumers.Duration(d.AsDuration())
		}
		s.Backoff = &waits
	}
	if from.AckWait != nil {
		s.AckWait = pointer(consumers.Duration(from.GetAckWait().AsDuration()))
	}
	if from.MaxInflight != nil {
		s.MaxInflight = pointer(int(from.GetMaxInflight()))
	}
	if from.OrderBy != nil {
		s.OrderBy = from.OrderBy
	}
	if from.OnLimit != nil {
		s.OnLimit = from.OnLimit
	}
	if from.BehindParked != nil {
		s.BehindParked = from.BehindParked
	}
	if from.Paused != nil {
		s.Paused = from.Paused
	}
	if from.Filter != nil {
		s.Filter = &consumers.Filter{Types: from.GetFilter().GetTypes(), Tags: from.GetFilter().GetTags()}
	}
}

// settingsOf returns settings for a response.
func settingsOf(s consumers.Settings) *eventstorev1.ConsumerSettings {
	to := &eventstorev1.ConsumerSettings{OrderBy: s.OrderBy, OnLimit: s.OnLimit, BehindParked: s.BehindParked, Paused: s.Paused}
	if s.MaxDeliveries != nil {
		to.MaxDeliveries = pointer(uint32(*s.MaxDeliveries))
	}
	if s.Backoff != nil {
		for _, d := range *s.Backoff {
			to.Backoff = append(to.Backoff, durationpb.New(time.Duration(d)))
		}
	}
	if s.AckWait != nil {
		to.AckWait = durationpb.New(time.Duration(*s.AckWait))
	}
	if s.MaxInflight != nil {
		to.MaxInflight = pointer(uint32(*s.MaxInflight))
	}
	if s.Filter != nil {
		to.Filter = &eventstorev1.ConsumerFilter{Types: s.Filter.Types, Tags: s.Filter.Tags}
	}
	return to
}

func pointer[T any](v T) *T { return &v }
