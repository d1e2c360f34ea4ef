package stores

import (
	"sort"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// recent tells which of the last events match a query, from memory. Their positions have no gaps.
type recent struct {
	from   uint64 // position of the first of events, or of the next one
	events []recentEvent
	// The positions of events by what they have, ascending.
	byTag, byType map[string][]uint64
	bytes, max    int // max 0: unlimited
}

// recentEvent is what a query asks of an event.
type recentEvent struct {
	channel string
	event   proto.Event
}

// recentOverhead is the approximate memory of an event beside its texts, and recentTag that of a tag, in bytes.
const (
	recentOverhead = 250
	recentTag      = 40
)

func newRecent(from uint64, max int) *recent {
	return &recent{from: from, byTag: map[string][]uint64{}, byType: map[string][]uint64{}, max: max}
}

func (e *recentEvent) size() int {
	ev := &e.event
	bytes := recentOverhead + len(ev.Type) + len(ev.AggregateType) + len(ev.AggregateID) + len(ev.Metadata)
	for _, tag := range ev.Tags {
		bytes += recentTag + len(tag)
	}
	return bytes
}

// next returns the position after the last event.
func (r *recent) next() uint64 { return r.from + uint64(len(r.events)) }

// add adds the event at position next.
func (r *recent) add(channel string, ev *proto.Event) {
	e := recentEvent{channel, proto.Event{
		Type: ev.Type, AggregateType: ev.AggregateType, AggregateID: ev.AggregateID, Tags: ev.Tags, Metadata: ev.Metadata,
	}}
	position := r.next()
	for _, tag := range ev.Tags {
		r.byTag[tag] = append(r.byTag[tag], position)
	}
	r.byType[ev.Type] = append(r.byType[ev.Type], position)
	r.events = append(r.events, e)
	for r.bytes += e.size(); r.max > 0 && r.bytes > r.max && len(r.events) > 1; {
		r.forget()
	}
}

// forget drops the first event.
func (r *recent) forget() {
	e := &r.events[0]
	for _, tag := range e.event.Tags {
		dropFirst(r.byTag, tag)
	}
	dropFirst(r.byType, e.event.Type)
	r.bytes -= e.size()
	*e = recentEvent{}
	r.events = r.events[1:]
	r.from++
}

func dropFirst(positions map[string][]uint64, key string) {
	if rest := positions[key][1:]; len(rest) > 0 {
		positions[key] = rest
	} else {
		delete(positions, key)
	}
}

// first returns the lowest position of an event that a condition does not expect, and its channel; 0 if there is none.
func (r *recent) first(c *Condition) (position uint64, channel string) {
	after := max(c.After, r.from-1)
	if len(c.Query.Items) == 0 {
		position = r.firstOf(c, &QueryItem{}, after, r.next())
	}
	for i := range c.Query.Items {
		below := position
		if below == 0 {
			below = r.next()
		}
		if found := r.firstOf(c, &c.Query.Items[i], after, below); found != 0 {
			position = found
		}
	}
	if position == 0 {
		return 0, ""
	}
	return position, r.events[position-r.from].channel
}

// firstOf returns the lowest position of an event between two others that matches an item; 0 if there is none.
func (r *recent) firstOf(c *Condition, it *QueryItem, after, below uint64) uint64 {
	matches := func(p uint64) bool {
		e := &r.events[p-r.from]
		return it.matches(e.channel, &e.event) && c.may(e.channel)
	}
	lists, ok := r.candidates(it, after)
	if !ok {
		for p := after + 1; p < below; p++ {
			if matches(p) {
				return p
			}
		}
		return 0
	}
	found := uint64(0)
	for _, list := range lists {
		for _, p := range list {
			if p >= below {
				break
			}
			if matches(p) {
				found, below = p, p
				break
			}
		}
	}
	return found
}

// candidates returns ascending lists of positions after "after", which hold those of all events that can match, or
// false if all can.
func (r *recent) candidates(it *QueryItem, after uint64) (lists [][]uint64, ok bool) {
	rest := func(list []uint64) []uint64 {
		return list[sort.Search(len(list), func(i int) bool { return list[i] > after }):]
	}
	if len(it.Tags) > 0 { // the rarest
		shortest := rest(r.byTag[it.Tags[0]])
		for _, tag := range it.Tags[1:] {
			if list := rest(r.byTag[tag]); len(list) < len(shortest) {
				shortest = list
			}
		}
		return [][]uint64{shortest}, true
	}
	for _, typ := range it.Types {
		if isTypePattern(typ) {
			return nil, false
		}
		lists = append(lists, rest(r.byType[typ]))
	}
	return lists, len(lists) > 0
}
