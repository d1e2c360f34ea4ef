package console

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

const (
	// pageEvents is the number of events in a page.
	pageEvents = 50
	// searchTime bounds the search for one page. What was not searched then is the next page's.
	searchTime = 5 * time.Second
	// previewBytes bounds what a list shows of an event's data.
	previewBytes = 160
	// liveRate bounds the events a second that a page shows as they come; it counts the others.
	liveRate = 50
)

// row is an event in a list.
type row struct {
	*eventstorev1.RecordedEvent
	Preview string
}

func (c *Console) rowOf(e *eventstorev1.RecordedEvent) row {
	if e.GetEvent().GetErased() != nil {
		return row{e, "(erased)"}
	}
	data := c.previewed(e)
	if len(data) > previewBytes {
		data = data[:previewBytes]
		for len(data) > 0 && !utf8.RuneStart(data[len(data)-1]) {
			data = data[:len(data)-1]
		}
		return row{e, string(data) + "…"}
	}
	return row{e, string(data)}
}

// previewed is what a list shows the beginning of.
func (c *Console) previewed(e *eventstorev1.RecordedEvent) []byte {
	if e.GetEvent() == nil {
		return e.GetPayload()
	}
	return c.jsonOf(e.GetEvent())
}

// brief drops what a list does not show of an event: a page of large ones would take much memory.
func (c *Console) brief(e *eventstorev1.RecordedEvent) *eventstorev1.RecordedEvent {
	data := c.previewed(e)
	data = bytes.Clone(data[:min(len(data), previewBytes+1)])
	if e.GetEvent() == nil {
		e.Payload = data
		return e
	}
	e.Payload, e.Event.EventData, e.Event.Metadata = nil, data, nil
	return e
}

// Aggregate is the address of the event's aggregate.
func (r row) Aggregate() string { return aggregatePath(r.RecordedEvent) }

func aggregatePath(e *eventstorev1.RecordedEvent) string {
	if e.GetEvent().GetAggregateId() == "" {
		return ""
	}
	return link("/console/aggregate", "channel", e.GetChannel(), "type", e.GetEvent().GetAggregateType(), "id", e.GetEvent().GetAggregateId())
}

// eventsBody is a page of events.
type eventsBody struct {
	Filter filter
	Rows   []row
	Live   string // address of the events to come; "" unless the page is the newest
	Next   string // address of the next page; "" at the end
	First  string // address of the first page; "" on it
	// Partly says how far the search came that did not fill the page in time. Slow means that it cannot say so.
	Partly uint64
	Slow   bool
	// Download is the address of all events that match.
	Download string
}

// events shows the events that match a filter.
func (c *Console) events(v *visit) error {
	f, err := filterOf(v.query)
	if err != nil {
		return err
	}
	from, err := v.numberOf("from")
	if err != nil {
		return err
	}
	body := eventsBody{Filter: f}
	newest, err := c.neighbour(v, &eventstorev1.Query{}, math.MaxInt64, true) // events after it are live
	if err != nil {
		return err
	}
	events, through, whole, err := c.read(v, f.request(from, pageEvents+1))
	if err != nil {
		return err
	}
	next := uint64(0) // position of the next page
	switch {
	case len(events) > pageEvents:
		next = events[pageEvents].GetPosition()
		events = events[:pageEvents]
	case !whole && through == 0:
		body.Slow = true
	case !whole && f.Oldest:
		body.Partly, next = through, through+1
	case !whole && through > 1:
		body.Partly, next = through, through-1
	}
	if len(events) > 0 {
		body.Download = f.Path("/console/live/download")
	}
	for _, e := range events {
		body.Rows = append(body.Rows, c.rowOf(e))
	}
	if next > 0 {
		body.Next = f.Path("/console/events", "from", strconv.FormatUint(next, 10))
	}
	switch {
	case from > 0:
		body.First = f.Path("/console/events")
	case !f.Oldest && f.Time == "":
		body.Live = f.Path("/console/live/events", "after", strconv.FormatUint(max(newest.GetPosition(), newestOf(events)), 10))
	}
	return v.show("events", "Events", "events", body)
}

// newestOf returns the greatest position of events.
func newestOf(events []*eventstorev1.RecordedEvent) (position uint64) {
	for _, e := range events {
		position = max(position, e.GetPosition())
	}
	return position
}

// read returns the events of a request, which has a limit, as far as they are found within searchTime, up to which position the search
// came (0 if that is not known), and whether it came to its end. Several events are brief.
func (c *Console) read(v *visit, req *eventstorev1.ReadRequest) (events []*eventstorev1.RecordedEvent, through uint64, whole bool, err error) {
	ctx, cancel := context.WithTimeout(v.ctx, searchTime)
	defer cancel()
	err = c.api.Read(ctx, req, func(resp *eventstorev1.ReadResponse) error {
		for _, e := range resp.GetEvents() {
			if req.GetLimit() > 1 {
				e = c.brief(e)
			}
			events = append(events, e)
		}
		through = resp.GetCheckpointPosition()
		return nil
	})
	if err != nil && ctx.Err() != nil && v.ctx.Err() == nil {
		return events, through, false, nil
	}
	return events, through, true, err
}

// eventsLive sends the events that match as they come.
func (c *Console) eventsLive(v *visit) error {
	f, err := filterOf(v.query)
	if err != nil {
		return err
	}
	after, err := strconv.ParseUint(cmp.Or(v.r.Header.Get("Last-Event-ID"), v.query.Get("after")), 10, 64)
	if err != nil {
		return badRequest("after is missing: it is the position of the last event that the page shows")
	}
	req := &eventstorev1.SubscribeRequest{Query: f.query(), Start: &eventstorev1.SubscribeRequest_FromPosition{FromPosition: after + 1}}
	return v.stream(func(send func(message) error) error {
		var second int64
		shown, skipped := 0, 0
		ctx, stop := v.inSession(v.ctx)
		defer stop()
		err := c.api.Subscribe(ctx, req, func(resp *eventstorev1.SubscribeResponse) error {
			if now := time.Now().Unix(); now != second {
				second, shown = now, 0
				if skipped > 0 {
					note := fmt.Sprintf("%s came too fast to be shown: reload the page to see them", plural(skipped, "event", "events"))
					skipped = 0
					if err := send(message{event: "note", data: []byte(note)}); err != nil {
						return err
					}
				}
			}
			for _, e := range resp.GetEvents() {
				if shown++; shown > liveRate {
					skipped++
					continue
				}
				part, err := v.render("events", "row", c.rowOf(e))
				if err != nil {
					return err
				}
				if err := send(message{event: "prepend", id: strconv.FormatUint(e.GetPosition(), 10), data: part}); err != nil {
					return err
				}
			}
			if len(resp.GetEvents()) == 0 { // once a second: the visitor is there, and so is the browser
				return send(message{event: "alive", id: strconv.FormatUint(resp.GetCheckpointPosition(), 10)})
			}
			return nil
		})
		var call *connect.Error
		if ctx.Err() != nil {
			return nil // the next request leads to the login
		}
		if errors.As(err, &call) {
			return errors.New(call.Message())
		}
		return err
	})
}
