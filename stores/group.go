package stores

import (
	"errors"
	"fmt"
)

// Group makes messages of a batch stored all or none: those that have the same Group, which follow on each other in the
// batch. If one of them is refused all are, with its error.
//
// A group whose events all carry an event_id and are all stored already, with the same content, is a success whatever it
// expects. If only some of them are stored the error is ErrPartlyStored.
type Group struct {
	// Expect is checked before anything of the group is stored, at most once for each aggregate. What is expected of an
	// aggregate still holds at COMMIT: whoever else writes with the lease's rights is fenced. Somebody who writes beside
	// the server with plain SQL meets the unique index of versions where the group writes the aggregate too; where it
	// only checks it, memory may not know of that write yet.
	Expect []Expectation
}

// Expectation is what a group expects of an aggregate of its first message's channel.
type Expectation struct {
	AggregateType, AggregateID string
	State                      ExpectedState
	Version                    uint64 // with ExpectVersion
}

// ExpectedState is what an aggregate is expected to be.
type ExpectedState int

const (
	// ExpectNone expects an aggregate without events.
	ExpectNone ExpectedState = iota
	// ExpectExists expects one with at least one event.
	ExpectExists
	// ExpectVersion expects that the highest version of its events is the Version.
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

// ExpectationError is the refusal of a group that expects another state of an aggregate.
type ExpectationError struct {
	Expectation
	Head uint64 // highest version of the aggregate's stored events, 0: it has none
}

// Error begins as that of a VersionError does, which publishers test for.
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

// joined says whether two items are of one group.
func (b *batch) joined(one, other int) bool {
	g := b.appends[one].Group
	return g != nil && g == b.appends[other].Group
}

// unit returns how many items at the beginning stand or fall together.
func (b *batch) unit(items []int) int {
	n := 1
	for n < len(items) && b.joined(items[0], items[n]) {
		n++
	}
	return n
}

// boundary returns where to divide items, of more than one unit, near a position.
func (b *batch) boundary(items []int, middle int) int {
	start := middle
	for start > 0 && b.joined(items[start-1], items[middle]) {
		start--
	}
	if start > 0 {
		return start
	}
	return b.unit(items)
}

// expected calls f with the aggregates that the groups of items expect something of.
func (b *batch) expected(items []int, f func(aggregate)) {
	var last *Group
	for _, item := range items {
		a := &b.appends[item]
		if a.Group == nil || a.Group == last || a.Channel == nil {
			continue
		}
		last = a.Group
		for _, e := range a.Group.Expect {
			f(aggregate{a.Channel.id, e.AggregateType, e.AggregateID})
		}
	}
}

// group gives places to the items of a group, or refuses all of them.
func (p *plan) group(b *batch, items []int, ask *questions, now int64) error {
	for _, item := range items {
		if refused := p.enter(b.s, &b.appends[item]); refused != nil {
			p.refuseAll(items, refused)
			return nil
		}
	}
	there, refused := p.there(b, items)
	switch {
	case refused != nil:
		p.refuseAll(items, refused)
		return nil
	case there == len(items):
		for _, item := range items {
			p.again(b, item)
		}
		return nil
	case there > 0:
		p.refuseAll(items, fmt.Errorf("%w: %d of %d", ErrPartlyStored, there, len(items)))
		ask.events = append(ask.events, b.unsure(items)...)
		return nil
	}

	refused = p.unexpected(b, items[0], ask)
	from, asked := len(p.rows), len(ask.events)
	for _, item := range items { // also after a refusal: what else must be looked up is asked for at once
		no, err := p.put(b, item, ask, now)
		if err != nil {
			return err
		}
		if refused == nil {
			refused = no
		}
	}
	if refused == nil {
		return nil
	}
	p.undo(from)
	if version := (*VersionError)(nil); errors.As(refused, &version) {
		// The events of the group before the refused one are not stored.
		version.Head = p.head(b, aggregate{b.appends[items[0]].Channel.id, version.AggregateType, version.Aggregate})
	}
	p.refuseAll(items, refused)
	ask.events = append(ask.events[:asked], b.unsure(items)...)
	return nil
}

// there returns how many events of a group are stored, or planned by an earlier one, as far as is known. The error
// refuses the group.
func (p *plan) there(b *batch, items []int) (int, error) {
	n := 0
	for _, item := range items {
		a := &b.appends[item]
		payload, ok := p.earlier(b, a)
		if !ok {
			continue
		}
		if !a.Mapping.SameEvent(payload, a.Payload) {
			return 0, duplicateError(a.eventKey())
		}
		n++
	}
	return n, nil
}

// unsure returns which events must be looked up before a group is refused: it may be one that is stored, sent again. The
// first event tells, since a group is stored as a whole.
func (b *batch) unsure(items []int) []eventKey {
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

// unexpected returns an *ExpectationError if the group that begins with item finds an aggregate that is not as expected.
// The error is final if it leaves no questions.
func (p *plan) unexpected(b *batch, item int, ask *questions) error {
	a := &b.appends[item]
	var first error
	for _, e := range a.Group.Expect {
		key := aggregate{a.Channel.id, e.AggregateType, e.AggregateID}
		head := p.head(b, key)
		if e.met(head) {
			continue
		}
		if !b.fresh[key] {
			// Memory may be behind: somebody who wrote with plain SQL knows better.
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
			p.advances = p.advances[:len(p.advances)-1] // they are in the order of their first rows
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
}
