package stores

import (
	"cmp"
	"errors"
	"fmt"
)

// Group makes messages of a batch stored all or none. They share one Group and are neighbours in the batch. If one of
// them is refused, all are, with its error.
//
// A group succeeds, whatever it expects, if all its events carry an event_id and are already stored with the same
// content. If only some of them are stored, the error is ErrPartlyStored.
type Group struct {
	// Expect is checked before the group is stored, at most once per aggregate. The expected state still holds at
	// COMMIT, because the fence stops any other writer. Someone who writes past the server with plain SQL meets the
	// unique index of versions if the group writes to the aggregate too. If the group only checks the aggregate, memory
	// may not know that write yet.
	Expect []Expectation
	// Conditions are checked likewise. They do not concern the group's own events.
	Conditions []Condition
}

// Expectation is what a group expects of an aggregate.
type Expectation struct {
	Channel                    *Channel // nil: that of the group's first message
	AggregateType, AggregateID string
	State                      ExpectedState
	Version                    uint64 // with ExpectVersion
}

// ExpectedState is the expected state of an aggregate.
type ExpectedState int

const (
	// ExpectNone expects no events.
	ExpectNone ExpectedState = iota
	// ExpectExists expects at least one event.
	ExpectExists
	// ExpectVersion expects Version as the highest version of its events.
	ExpectVersion
)

func (e Expectation) met(head uint64) bool {
	switch e.State {
	case ExpectNone:
		return head == 0
	case ExpectExists:
		return head > 0
	}
	return head == e.Version
}

// ExpectationError refuses a group because an aggregate is in another state than expected.
type ExpectationError struct {
	Expectation
	Head uint64 // highest version stored for the aggregate; 0 if it has no events
}

// Error begins like the text of a VersionError, which publishers test for.
func (e *ExpectationError) Error() string {
	expected := fmt.Sprintf("version %d is expected", e.Version)
	switch e.State {
	case ExpectNone:
		expected = "none is expected"
	case ExpectExists:
		expected = "one that exists is expected"
	}
	return fmt.Sprintf("wrong expected version: aggregate %q is at version %d, %s", e.AggregateID, e.Head, expected)
}

// sameGroup reports whether two items belong to one group.
func (b *batch) sameGroup(one, other int) bool {
	g := b.appends[one].Group
	return g != nil && g == b.appends[other].Group
}

// unitLength returns how many items at the beginning stand or fall together.
func (b *batch) unitLength(items []int) int {
	n := 1
	for n < len(items) && b.sameGroup(items[0], items[n]) {
		n++
	}
	return n
}

// splitPoint returns where to split items, which are more than one unit, near a position.
func (b *batch) splitPoint(items []int, middle int) int {
	start := middle
	for start > 0 && b.sameGroup(items[start-1], items[middle]) {
		start--
	}
	if start > 0 {
		return start
	}
	return b.unitLength(items)
}

// eachExpectation calls f for each aggregate that the groups of items expect something of.
func (b *batch) eachExpectation(items []int, f func(*Channel, aggregate)) {
	var last *Group
	for _, item := range items {
		a := &b.appends[item]
		if a.Group == nil || a.Group == last || a.Channel == nil {
			continue
		}
		last = a.Group
		for _, e := range a.Group.Expect {
			c := cmp.Or(e.Channel, a.Channel)
			f(c, aggregate{c.id, e.AggregateType, e.AggregateID})
		}
	}
}

// group plans the items of a group, or refuses all of them.
func (p *plan) group(b *batch, items []int, ask *questions, now int64) error {
	for _, item := range items {
		if refused := p.openChannels(b.s, &b.appends[item]); refused != nil {
			p.refuseAll(items, refused)
			return nil
		}
	}
	stored, refused := p.countStored(b, items)
	switch {
	case refused != nil:
		p.refuseAll(items, refused)
		return nil
	case stored == len(items):
		for _, item := range items {
			p.resolveDuplicate(b, item)
		}
		return nil
	case stored > 0:
		p.refuseAll(items, fmt.Errorf("%w: %d of %d", ErrPartlyStored, stored, len(items)))
		ask.events = append(ask.events, b.unknownEvents(items)...)
		return nil
	}

	refused = p.checkExpectations(b, items[0], ask)
	if refused == nil {
		refused = p.checkConditions(b, items[0], ask)
	}
	from, end, asked := len(p.rows), p.end, len(ask.events)
	refusedAt := items[0]
	for _, item := range items { // also after a refusal, to ask for everything else at once
		no, err := p.put(b, item, ask, now)
		if err != nil {
			return err
		}
		if refused == nil {
			refused, refusedAt = no, item
		}
	}
	if refused == nil {
		return nil
	}
	p.undo(from)
	p.end = end
	if version := (*VersionError)(nil); errors.As(refused, &version) {
		// The events of the group before the refused one are not stored.
		version.Channel = b.appends[refusedAt].Channel.name
		version.Head = p.head(b, aggregate{b.appends[refusedAt].Channel.id, version.AggregateType, version.Aggregate})
	}
	p.refuseAll(items, refused)
	ask.events = append(ask.events[:asked], b.unknownEvents(items)...)
	return nil
}

// countStored counts the events of a group that are stored, or planned by an earlier one, as far as is known. An error
// refuses the group.
func (p *plan) countStored(b *batch, items []int) (int, error) {
	n := 0
	for _, item := range items {
		a := &b.appends[item]
		payload, erased, ok := p.earlier(b, a)
		if !ok {
			continue
		}
		if !erased && !a.same(payload) {
			return 0, duplicateError(a.eventKey())
		}
		n++
	}
	return n, nil
}

// unknownEvents returns the events to look up before a group is refused, because it may be a stored group sent again. The
// first event tells, since a group is stored as a whole.
func (b *batch) unknownEvents(items []int) []eventKey {
	var keys []eventKey
	for i, item := range items {
		a := &b.appends[item]
		if a.Event == nil || a.Event.ID == "" {
			return nil // never a duplicate
		}
		old, looked := b.known[a.eventKey()]
		switch {
		case !looked:
			keys = append(keys, a.eventKey())
			if i == 0 {
				return keys
			}
		case old == nil && i == 0:
			return nil
		}
	}
	return keys
}

// checkExpectations returns an *ExpectationError if an aggregate is not as the group that begins with item expects. The
// error is final if it adds no questions.
func (p *plan) checkExpectations(b *batch, item int, ask *questions) error {
	a := &b.appends[item]
	var first error
	for _, e := range a.Group.Expect {
		key := aggregate{cmp.Or(e.Channel, a.Channel).id, e.AggregateType, e.AggregateID}
		head := p.head(b, key)
		if e.met(head) {
			continue
		}
		if !b.fresh[key] {
			// Memory may be behind a write by plain SQL.
			b.fresh[key] = true
			ask.heads = append(ask.heads, key)
		}
		if first == nil {
			first = &ExpectationError{Expectation: e, Head: head}
		}
	}
	return first
}

func (p *plan) refuseAll(items []int, err error) {
	for _, item := range items {
		p.refuse(item, err)
	}
}

// undo takes back the rows from an index on.
func (p *plan) undo(from int) {
	for i := len(p.rows) - 1; i >= from; i-- {
		r := p.rows[i]
		adv := p.byChannel[r.channel]
		adv.last--
		adv.msgs--
		adv.bytes -= uint64(len(r.data))
		if adv.msgs == 0 {
			p.advances = p.advances[:len(p.advances)-1] // advances are in the order of their first rows
		}
		if r.event == nil {
			continue
		}
		key := aggregate{r.channel.id, r.event.AggregateType, r.event.AggregateID}
		p.heads[key] = r.before
		delete(p.versions, versionKey{key, r.version})
		if r.event.ID != "" {
			delete(p.ids, eventKey{r.channel.id, r.event.ID})
		}
	}
	p.rows = p.rows[:from]
	if p.plannedRows > from { // a condition looked at the rows that are gone
		p.planned, p.plannedRows = nil, 0
	}
}
