package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// eventBody is an event with all that is known of it.
type eventBody struct {
	*eventstorev1.RecordedEvent
	Contents  contents
	Payload   *contents              // the message as it was published, where a mapping made the event of it
	Aggregate string                 // its address
	Appender  *eventstorev1.Appender // nil if it was not recorded, or is not for the visitor
	// Addresses of the neighbours; "" without one.
	Before, After               string // of all events that the visitor may read
	ChannelBefore, ChannelAfter string
}

// event shows the event at a position.
func (c *Console) event(v *visit) error {
	position, err := strconv.ParseUint(v.r.PathValue("position"), 10, 64)
	if err != nil || position == 0 {
		return errNoPage
	}
	all := &eventstorev1.Query{}
	e, err := c.neighbour(v, all, position, false)
	if err != nil {
		return err
	}
	if e.GetPosition() != position {
		return &pageError{http.StatusNotFound, fmt.Sprintf("there is no event at position %d that you may read: it was deleted, is not yet stored, or is on a channel without the right to read for you", position)}
	}
	body := eventBody{RecordedEvent: e, Contents: c.contentsOf(e.GetEvent().GetContentType(), c.typeOf(e.GetEvent()), e.GetEvent().GetEventData()), Aggregate: aggregatePath(e)}
	if len(e.GetPayload()) > 0 {
		payload := c.contentsOf("", c.opts.PayloadType(e.GetChannel()), e.GetPayload())
		body.Payload = &payload
	}
	found, err := c.api.GetEvent(v.ctx, &eventstorev1.GetEventRequest{Channel: e.GetChannel(), Key: &eventstorev1.GetEventRequest_Sequence{Sequence: e.GetSequence()}})
	if err == nil { // otherwise its channel is not an event channel any more, and the page shows the rest
		body.Appender = found.GetAppender()
	}
	on := &eventstorev1.Query{Items: []*eventstorev1.QueryItem{{Channels: []string{e.GetChannel()}}}}
	for _, it := range []struct {
		to     *string
		query  *eventstorev1.Query
		before bool
	}{{&body.Before, all, true}, {&body.After, all, false}, {&body.ChannelBefore, on, true}, {&body.ChannelAfter, on, false}} {
		at := position + 1
		if it.before {
			at = position - 1
		}
		if at == 0 {
			continue
		}
		n, err := c.neighbour(v, it.query, at, it.before)
		if err != nil {
			return err
		}
		if n != nil {
			*it.to = eventPath(n.GetPosition())
		}
	}
	return v.show("event", "Event "+number(position), "events", body)
}

func eventPath(position uint64) string { return "/console/events/" + strconv.FormatUint(position, 10) }

// neighbour returns the first event that matches at a position or after it, or before it, or nil.
func (c *Console) neighbour(v *visit, q *eventstorev1.Query, position uint64, before bool) (*eventstorev1.RecordedEvent, error) {
	req := &eventstorev1.ReadRequest{Query: q, Limit: 1, Start: &eventstorev1.ReadRequest_FromPosition{FromPosition: position}}
	if before {
		req.Direction = eventstorev1.Direction_DIRECTION_BACKWARD
	}
	events, _, whole, err := c.read(v, req)
	switch {
	case err != nil:
		return nil, err
	case len(events) > 0:
		return events[0], nil
	case !whole:
		return nil, errSlow
	}
	return nil, nil // there is none
}

// find goes to the event with an ID, or at a sequence of a channel, or at a position.
func (c *Console) find(v *visit) error {
	what, channel := strings.TrimSpace(v.query.Get("id")), strings.TrimSpace(v.query.Get("channel"))
	req := &eventstorev1.GetEventRequest{Channel: channel, Key: &eventstorev1.GetEventRequest_EventId{EventId: what}}
	if what == "" {
		sequence, err := v.numberOf("sequence")
		if err != nil {
			return err
		}
		req.Key = &eventstorev1.GetEventRequest_Sequence{Sequence: sequence}
	}
	resp, err := c.api.GetEvent(v.ctx, req)
	if err != nil {
		if position, no := strconv.ParseUint(what, 10, 64); no == nil && position > 0 && channel == "" {
			return v.redirect(eventPath(position))
		}
		return err
	}
	if resp.GetEvent().GetPosition() == 0 {
		return &pageError{http.StatusNotFound, "the message is not an event: it has no position in the order of events"}
	}
	return v.redirect(eventPath(resp.GetEvent().GetPosition()))
}
