package console

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// maxFold and maxFoldBytes bound the events that make a state.
const (
	maxFold      = 20_000
	maxFoldBytes = 16 << 20
)

// aggregateName names an aggregate.
type aggregateName struct{ Channel, Type, ID string }

// Path is the address of the aggregate.
func (a aggregateName) Path(more ...string) string {
	return link("/console/aggregate", append([]string{"channel", a.Channel, "type", a.Type, "id", a.ID}, more...)...)
}

// aggregateBody is an aggregate: its events, and its state at a version.
type aggregateBody struct {
	aggregateName
	Time   string          // for whose state the form asked
	Found  []aggregateName // where several channels or types have the ID
	More   bool            // have it
	Asked  bool
	Rows   []row
	Older  string // address of older events; "" at the first
	At     uint64 // version of the state
	Last   bool   // that is the last one
	With   uint64 // version with which the state is compared
	State  contents
	Mended uint64 // events without a JSON object, which the state leaves out
	Diff   []difference
	Cut    bool   // the differences are not all
	Note   string // why there is no state
}

// aggregate shows the events of an aggregate and its state, folded from their data.
func (c *Console) aggregate(v *visit) error {
	q := v.query
	body := aggregateBody{aggregateName: aggregateName{strings.TrimSpace(q.Get("channel")), q.Get("type"), q.Get("id")}, Time: q.Get("time")}
	if body.ID == "" {
		return v.show("aggregate", "Aggregate", "aggregate", body)
	}
	if body.Channel == "" {
		found, more, err := c.aggregatesWithID(v, body.ID, body.Type)
		switch {
		case err != nil:
			return err
		case len(found) == 1:
			return v.redirect(found[0].Path("time", body.Time))
		}
		body.Found, body.More, body.Asked = found, more, true
		return v.show("aggregate", "Aggregate", "aggregate", body)
	}
	body.Asked = true
	if err := c.fold(v, &body); err != nil {
		return err
	}
	from, err := v.numberOf("from")
	if err != nil {
		return err
	}
	events, err := c.versions(v, body.aggregateName, from)
	if err != nil {
		return err
	}
	if len(events) > pageEvents {
		body.Older = body.Path("from", strconv.FormatUint(events[pageEvents].GetEvent().GetEventVersion(), 10), "at", q.Get("at"), "with", q.Get("with"))
		events = events[:pageEvents]
	}
	for _, e := range events {
		body.Rows = append(body.Rows, c.rowOf(e))
	}
	title := body.ID
	if body.Type != "" {
		title = body.Type + " " + body.ID
	}
	return v.show("aggregate", title, "aggregate", body)
}

// maxFound bounds the aggregates with one ID that a page shows.
const maxFound = 200

// aggregatesWithID returns aggregates with an ID, of a type unless that is empty, and whether there are more.
func (c *Console) aggregatesWithID(v *visit, id, kind string) (found []aggregateName, more bool, err error) {
	all, err := c.api.Aggregates(v.ctx, id)
	for _, a := range all {
		if kind != "" && a.Type != kind {
			continue
		}
		if len(found) == maxFound {
			return found, true, nil
		}
		found = append(found, aggregateName{a.Channel.Name(), a.Type, a.ID})
	}
	return found, false, err
}

// versions returns the events of an aggregate, backward from a version, or from the last if that is 0.
func (c *Console) versions(v *visit, a aggregateName, from uint64) (events []*eventstorev1.RecordedEvent, err error) {
	err = c.api.ReadAggregate(v.ctx, &eventstorev1.ReadAggregateRequest{
		Channel: a.Channel, AggregateType: a.Type, AggregateId: a.ID, FromVersion: from, Limit: pageEvents + 1, Direction: eventstorev1.Direction_DIRECTION_BACKWARD,
	}, func(resp *eventstorev1.ReadAggregateResponse) error {
		for _, e := range resp.GetEvents() {
			events = append(events, c.brief(e))
		}
		return nil
	})
	return events, err
}

var (
	errFolded  = errors.New("folded as far as asked")
	errTooLong = fmt.Errorf("it is not computed from more than %s events or %s", number(maxFold), byteSize(maxFoldBytes))
)

// fold computes the state of an aggregate at a version or a time, and what changed since another version.
func (c *Console) fold(v *visit, body *aggregateBody) error {
	at, err := v.numberOf("at")
	if err != nil {
		return err
	}
	with, err := v.numberOf("with")
	if err != nil {
		return err
	}
	var until time.Time
	if body.Time != "" {
		if until, err = parseTime(body.Time); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(v.ctx, searchTime)
	defer cancel()
	select { // a state takes memory: one is folded at a time
	case c.folding <- struct{}{}:
		defer func() { <-c.folding }()
	case <-ctx.Done():
		body.Note = "The state was not computed: the server computes those of others. Reload the page."
		return nil
	}
	f := folding{with: with, state: make(map[string]any), before: make(map[string]any)}
	err = c.api.ReadAggregate(ctx, &eventstorev1.ReadAggregateRequest{Channel: body.Channel, AggregateType: body.Type, AggregateId: body.ID}, func(resp *eventstorev1.ReadAggregateResponse) error {
		for _, e := range resp.GetEvents() {
			version := e.GetEvent().GetEventVersion()
			if at > 0 && version > at || !until.IsZero() && e.GetRecordedAt().AsTime().After(until) {
				return errFolded
			}
			f.bytes += len(e.GetEvent().GetEventData())
			if f.events++; f.events > maxFold || f.bytes > maxFoldBytes {
				return errTooLong
			}
			f.apply()
			f.last, f.lastData = version, c.jsonOf(e.GetEvent())
		}
		return nil
	})
	body.Last = err == nil
	switch {
	case errors.Is(err, errFolded):
	case errors.Is(err, errTooLong):
		body.Note = "There is no state here: " + errTooLong.Error() + "."
		return nil
	case err != nil && ctx.Err() != nil && v.ctx.Err() == nil:
		body.Note = fmt.Sprintf("The state was not computed: %s took longer than %v.", plural(f.events, "event", "events"), searchTime)
		return nil
	case err != nil:
		return err
	}
	body.At, body.With = f.last, f.applied
	before := f.state
	if with > 0 {
		before, body.With = f.before, f.found
	}
	after := clone(f.state)
	f.state = after
	f.apply()
	if with > 0 && with == body.At {
		before, body.With = after, with
	}
	body.Mended = f.mended
	body.State = undescribed([]byte(encode(after)), false)
	body.Diff, body.Cut = differences(before, after)
	return nil
}

// folding is the state of an aggregate while its events are read: without the last one, since only the next tells that it was not the last.
type folding struct {
	events   int
	bytes    int
	state    map[string]any
	applied  uint64 // version of state
	last     uint64 // version of the event that state lacks; 0 before the first
	lastData []byte
	mended   uint64 // events without a JSON object

	with   uint64         // version to compare with
	found  uint64         // with, or 0 unless it was passed
	before map[string]any // state at it
}

// apply merges the last event into the state.
func (f *folding) apply() {
	if f.last == 0 {
		return
	}
	if object, ok := decodeObject(f.lastData); ok {
		merge(f.state, object)
	} else {
		f.mended++
	}
	if f.applied = f.last; f.applied == f.with {
		f.found, f.before = f.with, clone(f.state)
	}
}
