package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

// Route sends events on: to a channel of NATS Streaming, or to a stream of JetStream.
type Route struct {
	// At says where the route is configured; errors begin with it.
	At string
	// From are patterns of event channels; without any, events of all of them are routed.
	From []string
	// Types are patterns of event types, as relay.MatchesType reads them; without any, all are routed.
	Types []string
	// DataOnly sends event_data alone, not the whole stored message.
	DataOnly bool

	// Channel is where a copy of each event goes, in the event's own transaction. It is not an event channel. Of several routes
	// of an event to one channel, or to one stream, the first counts.
	Channel string

	// Stream is the stream where the relay publishes the events, Subject the template of their subjects, as relay.ParseTemplate
	// reads it, and Headers which headers they have.
	Stream  string
	Subject string
	Headers relay.Headers
}

// validate says what is wrong with a route, given all event channels and routes.
func (r *Route) validate(events eventlog.Events, all []Route) error {
	if (r.Channel == "") == (r.Stream == "") {
		return errors.New("name either a channel or a stream")
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
				return fmt.Errorf("from: events are routed to %q themselves: a loop of routes", other.Channel)
			}
		}
		return fmt.Errorf("from: %q is not an event channel", p)
	}
	for _, p := range r.Types {
		if err := relay.ValidTypes(p); err != nil {
			return fmt.Errorf("types: %w", err)
		}
	}
	if r.Channel != "" {
		switch {
		case !eventlog.ValidChannel(r.Channel):
			return fmt.Errorf("channel: %q is not a valid channel name", r.Channel)
		case events.Of(r.Channel) != nil:
			return fmt.Errorf("channel: %q is an event channel, which stores only what is published there", r.Channel)
		case r.Subject != "" || r.Headers != relay.HeadersNATS:
			return errors.New("subject and headers are of routes to a stream")
		}
		return nil
	}
	if err := relay.ValidStream(r.Stream); err != nil {
		return fmt.Errorf("stream: %w", err)
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

// validateBeside says why a route and one before it can not both be used.
func (r *Route) validateBeside(other *Route) error {
	switch {
	case r.Channel != other.Channel && strings.EqualFold(r.Channel, other.Channel):
		return fmt.Errorf("channel: %q and %q differ by letter case alone", r.Channel, other.Channel)
	case r.Stream == "" || other.Stream == "" || r.Stream == other.Stream:
		return nil
	}
	template, err := relay.ParseTemplate(r.Subject)
	if err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	before, err := relay.ParseTemplate(other.Subject)
	if err == nil && template.Collides(r.Types, before, other.Types) {
		return fmt.Errorf("subject: streams %q and %q would share subjects, which JetStream does not allow", other.Stream, r.Stream)
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

// HasFrom reports whether events of a channel are routed.
func (r *Route) HasFrom(channel string) bool {
	return len(r.From) == 0 || slices.ContainsFunc(r.From, func(p string) bool { return eventlog.Matches(p, channel) })
}

// Copies returns the routes to channels, as the event log takes them.
func Copies(routes []Route) []eventlog.CopyRoute {
	var copies []eventlog.CopyRoute
	for i := range routes {
		if r := &routes[i]; r.Channel != "" {
			copies = append(copies, eventlog.CopyRoute{
				From: r.From, Types: r.Types, Channel: r.Channel, DataOnly: r.DataOnly, MatchesType: relay.MatchesAnyType,
			})
		}
	}
	return copies
}

// HasStreams reports whether some route goes to a stream.
func HasStreams(routes []Route) bool {
	return slices.ContainsFunc(routes, func(r Route) bool { return r.Stream != "" })
}

// Describe returns the line of the log about a route.
func (r *Route) Describe() string {
	from, types, what := "all event channels", "all events", "envelope"
	if len(r.From) > 0 {
		from = strings.Join(r.From, ", ")
	}
	if len(r.Types) > 0 {
		types = "events " + strings.Join(r.Types, ", ")
	}
	if r.DataOnly {
		what = "data"
	}
	to := fmt.Sprintf("channel %q", r.Channel)
	if r.Stream != "" {
		to = fmt.Sprintf("stream %q, subject %q", r.Stream, r.Subject)
	}
	return fmt.Sprintf("Route: %s of %s to %s, %s", types, from, to, what)
}
