package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Route forwards events to a channel of NATS Streaming or to a stream of JetStream.
type Route struct {
	// At is where the route is configured. Errors begin with it.
	At string
	// From are patterns of event channels. Empty means all event channels.
	From []string
	// Types are patterns of event types, as stores.MatchesType reads them. Empty means all types.
	Types []string
	// DataOnly sends event_data without its envelope.
	DataOnly bool

	// Channel receives a copy of each event in the transaction that stores the event. It is not an event channel. It may be
	// a template, as relay.ParseTemplate reads it. If several routes send an event to the same channel or stream, the first
	// counts.
	Channel string

	// Stream is the stream to which the relay publishes. Subject is a template, as relay.ParseTemplate reads it;
	// Headers selects the message headers.
	Stream  string
	Subject string
	Headers relay.Headers
}

// validate reports why a route is invalid, given all event channels and routes.
func (r *Route) validate(events eventlog.Events, all []Route) error {
	if (r.Channel == "") == (r.Stream == "") {
		return errors.New("set either channel or stream")
	}
	for _, p := range r.From {
		if !eventlog.ValidPattern(p) {
			return fmt.Errorf("from: %q is not a pattern of channels", p)
		}
		if slices.ContainsFunc(events.Patterns(), func(e string) bool { return eventlog.Overlap(e, p) }) {
			continue
		}
		for _, other := range all {
			if other.Channel != "" && eventlog.Matches(p, other.Channel) {
				return fmt.Errorf("from: events are routed to %q, so the routes form a loop", other.Channel)
			}
		}
		return fmt.Errorf("from: %q is not an event channel", p)
	}
	for _, p := range r.Types {
		if err := stores.ValidTypes(p); err != nil {
			return fmt.Errorf("types: %w", err)
		}
	}
	if r.Channel != "" {
		if err := r.validateChannel(events); err != nil {
			return fmt.Errorf("channel: %w", err)
		}
		switch {
		case r.Subject != "" || r.Headers != relay.HeadersNATS:
			return errors.New("subject and headers apply only to a route to a stream")
		}
		return nil
	}
	if err := relay.ValidStream(r.Stream); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if r.Subject == "" {
		return errors.New("subject is missing: name where the stream's events go, such as ORDERS.{event_type}")
	}
	template, err := relay.ParseTemplate(r.Subject)
	if err == nil {
		err = template.Check(r.Types)
	}
	if err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	return nil
}

// validateChannel reports why no event can be copied to the channel.
func (r *Route) validateChannel(events eventlog.Events) error {
	channels := []string{r.Channel}
	if r.isTemplate() {
		template, err := relay.ParseTemplate(r.Channel)
		if err != nil {
			return err
		}
		channels = template.Patterns(r.Types)
	}
	for _, c := range channels {
		switch {
		case !eventlog.ValidPattern(c) || !r.isTemplate() && !eventlog.ValidChannel(c):
			return fmt.Errorf("%q is not a valid channel name", r.Channel)
		case slices.ContainsFunc(events.Patterns(), func(e string) bool { return eventlog.Covers(e, c) }):
			return fmt.Errorf("%q is an event channel, which stores only events published to it", c)
		}
	}
	return nil
}

func (r *Route) isTemplate() bool { return strings.ContainsAny(r.Channel, "{}") }

// validateBeside reports why a route conflicts with an earlier one.
func (r *Route) validateBeside(other *Route) error {
	switch {
	case r.Channel != other.Channel && strings.EqualFold(r.Channel, other.Channel):
		return fmt.Errorf("channel: %q and %q differ only in case", r.Channel, other.Channel)
	case r.Stream == "" || other.Stream == "" || r.Stream == other.Stream:
		return nil
	}
	template, err := relay.ParseTemplate(r.Subject)
	if err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	before, err := relay.ParseTemplate(other.Subject)
	if err == nil && template.Collides(r.Types, before, other.Types) {
		return fmt.Errorf("subject: streams %q and %q have overlapping subjects, which JetStream does not allow", other.Stream, r.Stream)
	}
	return err
}

func validateRoutes(routes []Route, events eventlog.Events) error {
	for i := range routes {
		err := routes[i].validate(events, routes)
		for j := 0; err == nil && j < i; j++ {
			err = routes[i].validateBeside(&routes[j])
		}
		if err != nil {
			at := routes[i].At
			if at == "" {
				at = fmt.Sprintf("route %d", i+1)
			}
			return fmt.Errorf("%s: routes: %w", at, err)
		}
	}
	return nil
}

// HasFrom reports whether the route takes events from a channel.
func (r *Route) HasFrom(channel string) bool {
	return len(r.From) == 0 || slices.ContainsFunc(r.From, func(p string) bool { return eventlog.Matches(p, channel) })
}

// Copies returns the routes to channels.
func Copies(routes []Route) []eventlog.CopyRoute {
	var copies []eventlog.CopyRoute
	for i := range routes {
		if r := &routes[i]; r.Channel != "" {
			c := eventlog.CopyRoute{From: r.From, Types: r.Types, Channel: r.Channel, DataOnly: r.DataOnly, MatchesType: relay.MatchesAnyType}
			if template, err := relay.ParseTemplate(r.Channel); r.isTemplate() && err == nil { // else validate has told
				c.To = template.Channel
			}
			copies = append(copies, c)
		}
	}
	return copies
}

// streams returns the streams of routes, each with patterns of the subjects to which events go.
func streams(routes []Route) map[string][]string {
	all := make(map[string][]string)
	for i := range routes {
		r := &routes[i]
		if template, err := relay.ParseTemplate(r.Subject); r.Stream != "" && err == nil { // else validate has told
			all[r.Stream] = append(all[r.Stream], template.Patterns(r.Types)...)
		}
	}
	return all
}

// Describe returns the route's log line. It says what arrives at the other end and from where a new route counts, because
// neither can be changed for what has arrived.
func (r *Route) Describe() string {
	from, types := "all event channels", "all events"
	if len(r.From) > 0 {
		from = strings.Join(r.From, ", ")
	}
	if len(r.Types) > 0 {
		types = "events " + strings.Join(r.Types, ", ")
	}
	to, count := fmt.Sprintf("channel %q", r.Channel), "from the next event on"
	if r.Stream != "" {
		to = fmt.Sprintf("stream %q, subject %q", r.Stream, r.Subject)
		count = "a new stream from the first event on, an existing one from where it is"
	}
	what := "the whole message (payload: envelope)"
	if r.DataOnly {
		what = "event_data alone (payload: data)"
	}
	return fmt.Sprintf("Route: %s of %s to %s: %s; %s", types, from, to, what, count)
}
