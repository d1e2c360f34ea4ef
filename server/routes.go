package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/stores"
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

	// Channel is where a copy of each event goes, in the event's own transaction. It is no event channel. Of several routes
	// of an event to one channel, or to one stream, the first counts.
	Channel string

	// Stream is the stream where the relay publishes the events, Subject the template of their subjects, as relay.ParseTemplate
	// reads it, and Headers which headers they have.
	Stream  string
	Subject string
	Headers relay.Headers
}

// validate says what is wrong with a route, given all event channels and routes.
func (r *Route) validate(events eventBlocks, all []Route) error {
	if (r.Channel == "") == (r.Stream == "") {
		return errors.New("name either a channel or a stream")
	}
	for _, p := range r.From {
		if !validPattern(p) {
			return fmt.Errorf("from: %q is no pattern of channels", p)
		}
		if slices.ContainsFunc(events.patterns(), func(e string) bool { return overlap(e, p) }) {
			continue
		}
		for _, other := range all {
			if other.Channel != "" && matches(p, other.Channel) {
				return fmt.Errorf("from: events are routed to %q themselves: a loop of routes", other.Channel)
			}
		}
		return fmt.Errorf("from: %q is no event channel", p)
	}
	for _, p := range r.Types {
		if err := relay.ValidTypes(p); err != nil {
			return fmt.Errorf("types: %w", err)
		}
	}
	if r.Channel != "" {
		switch {
		case !validChannel(r.Channel):
			return fmt.Errorf("channel: %q is no name of a channel", r.Channel)
		case events.of(r.Channel) != nil:
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

func validateRoutes(routes []Route, events eventBlocks) error {
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

// hasFrom reports whether events of a channel are routed.
func (r *Route) hasFrom(channel string) bool {
	return len(r.From) == 0 || slices.ContainsFunc(r.From, func(p string) bool { return matches(p, channel) })
}

// toChannels returns the routes of an event channel to channels of NATS Streaming.
func toChannels(routes []Route, channel string) []*Route {
	var to []*Route
	for i := range routes {
		if routes[i].Channel != "" && routes[i].hasFrom(channel) {
			to = append(to, &routes[i])
		}
	}
	return to
}

// route gives an event that is about to be stored its copies. An error refuses the event: it would be stored without
// them, or could never be relayed.
func (s *service) route(ctx context.Context, p *publication) error {
	if p.append.Event == nil {
		return nil
	}
	for _, r := range p.ch.routes {
		if !relay.MatchesAnyType(r.Types, p.append.Event.Type) ||
			slices.ContainsFunc(p.copies, func(ch *channel) bool { return ch.name == r.Channel }) {
			continue
		}
		to, err := s.channels.open(ctx, r.Channel)
		if err != nil {
			return fmt.Errorf("route to channel %q: %w", r.Channel, err)
		}
		to.touch() // so that it is not deleted for inactivity before the commit
		c := stores.Copy{Channel: to.stored}
		payload := p.append.Payload
		if r.DataOnly {
			c.Kind, payload = stores.CopyData, p.append.Event.Data
		}
		if !s.deliverable(r.Channel, "", payload) {
			return fmt.Errorf("route to channel %q: message is %w", r.Channel, api.ErrTooLarge)
		}
		p.append.Copies = append(p.append.Copies, c)
		p.copies = append(p.copies, to)
	}
	for _, r := range p.ch.relays {
		if !r.Fits(p.ch.name, p.append.Event, p.append.Payload, s.conns.send.MaxPayload()) {
			return fmt.Errorf("route to stream %q: message is %w", r.Stream, api.ErrTooLarge)
		}
	}
	return nil
}

// deliverable reports whether a message fits into what NATS carries to a subscriber.
func (s *service) deliverable(channel, reply string, payload []byte) bool {
	return int64(len(channel)+len(reply)+len(payload)+deliveryOverhead) <= s.conns.send.MaxPayload()
}

// describe returns the line of the log about a route.
func (r *Route) describe() string {
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
