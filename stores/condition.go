package stores

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Condition is what a group expects of the whole log: no event after a position matches a query.
type Condition struct {
	Query Query // valid
	After uint64
	// May reports whether the events of a channel count; nil: those of all channels do.
	May func(channel string) bool

	// What CheckCondition found: up to position checked, found is the first match, if there is one.
	checked uint64
	found   firstMatch
}

func (c *Condition) may(channel string) bool { return c.May == nil || c.May(channel) }

// ConditionError refuses a group because of an event that it does not expect.
type ConditionError struct {
	Number   int    // of the condition in its group, from 1
	After    uint64 // of the condition
	Position uint64 // of the first event after it that matches
	Channel  string // of that event
}

func (e *ConditionError) Error() string {
	return fmt.Sprintf("condition %d does not hold: after position %d, the event at position %d matches its query: read again from there and decide anew", e.Number, e.After, e.Position)
}

// ErrBeyondEnd means that a condition names a position that no event has yet. The caller has read another log, or this
// one before it was restored from a backup.
var ErrBeyondEnd = errors.New("beyond the last position")

// recentBytes bounds the memory for the last events, of which conditions ask.
const recentBytes = 32 << 20

// firstMatch is the lowest position of a match; 0 if there is none.
type firstMatch struct {
	position uint64
	channel  string
	err      error // why the database cannot tell: an event is damaged
}

// CheckCondition looks for a match among the events that are stored now, so that Append need only look at those after
// them: where no index helps, a look at a large log takes long, and nobody else shall wait for it. It reads nothing if
// memory reaches back to the condition's position. It calls turn before each read, and what turn returns after it.
//
// The error is ErrUnavailable, or that of turn. CheckCondition does not retry. Append tells what is wrong with the condition.
func (s *Store) CheckCondition(ctx context.Context, c *Condition, turn func(context.Context) (done func(), err error)) error {
	end := s.Position()
	if from := s.recentFrom.Load(); c.After >= end || from != 0 && c.After+1 >= from || s.checkMetadata(c.Query) != nil {
		return nil
	}
	found, err := s.firstMatch(ctx, c, s.reader, c.After+1, end, turn)
	if err != nil {
		return fmt.Errorf("check a condition after position %d: %w", c.After, err)
	}
	c.checked, c.found = end, found
	return nil
}

// checkConditions returns why a condition of a group does not hold, or nil. The error is final if it adds no questions.
// Earlier groups of the plan count as stored.
func (p *plan) checkConditions(b *batch, item int, ask *questions) error {
	g := b.appends[item].Group
	if len(g.Conditions) == 0 {
		return nil
	}
	var first error
	for i := range g.Conditions {
		err := p.checkCondition(b, &g.Conditions[i], ask)
		if conflict := (*ConditionError)(nil); errors.As(err, &conflict) {
			conflict.Number = i + 1
		} else if err != nil {
			err = fmt.Errorf("condition %d: %w", i+1, err)
		}
		if first == nil { // the others only ask
			first = err
		}
	}
	return first
}

func (p *plan) checkCondition(b *batch, c *Condition, ask *questions) error {
	if err := b.s.checkMetadata(c.Query); err != nil {
		return err
	}
	if c.After > p.end.position {
		return fmt.Errorf("position %d is %w, %d: was the log restored from a backup? Read it again", c.After, ErrBeyondEnd, p.end.position)
	}
	found := p.firstMatch(b, c, ask)
	if found.err == nil && found.position != 0 {
		return &ConditionError{After: c.After, Position: found.position, Channel: found.channel}
	}
	return found.err
}

// firstMatch returns the first event after a condition's position that matches: from the database if memory does not
// reach back that far, from memory, or from this plan.
func (p *plan) firstMatch(b *batch, c *Condition, ask *questions) firstMatch {
	if c.found.position != 0 || c.found.err != nil {
		return c.found
	}
	recent := b.recentEvents(p.before.position + 1)
	if max(c.After, c.checked)+1 < recent.from {
		found, asked := b.matches[c]
		if !asked {
			ask.conditions = append(ask.conditions, c)
		}
		if found.position != 0 || found.err != nil {
			return found
		}
	}
	if position, channel := recent.first(c); position != 0 {
		return firstMatch{position: position, channel: channel}
	}
	position, channel := p.plannedEvents().first(c)
	return firstMatch{position: position, channel: channel}
}

// recentEvents returns the last events, up to the one before position next. Only conditions use them, so they are not
// collected before the first one.
func (b *batch) recentEvents(next uint64) *recent {
	if b.s.recent == nil || b.s.recent.next() != next { // after an unknown outcome, it may have missed some
		b.s.recent = newRecent(next, recentBytes)
		b.s.recentFrom.Store(next)
	}
	return b.s.recent
}

// plannedEvents returns the events of the plan.
func (p *plan) plannedEvents() *recent {
	if p.planned == nil {
		p.planned = newRecent(p.before.position+1, 0)
	}
	for _, r := range p.rows[p.plannedRows:] {
		if r.event != nil {
			p.planned.add(r.channel.name, r.event)
		}
	}
	p.plannedRows = len(p.rows)
	return p.planned
}

// readMatches asks the database for the first matches of conditions among the events that memory does not have.
func (b *batch) readMatches(ctx context.Context, conditions []*Condition) error {
	if err := b.readTags(ctx, conditions); err != nil {
		return err
	}
	for _, c := range conditions {
		if _, known := b.matches[c]; known {
			continue
		}
		var found firstMatch
		err := b.s.retryRead(ctx, func() (err error) {
			found, err = b.s.firstMatch(ctx, c, b.s.own, max(c.After, c.checked)+1, b.s.recent.from-1, noTurn)
			return err
		})
		if err != nil {
			return fmt.Errorf("look up the events of a condition: %w", err)
		}
		b.matches[c] = found
	}
	return nil
}

// tagKey asks for an event with a tag after one position, up to another.
type tagKey struct {
	tag       string
	after, to uint64
}

// readTags finds out, with one query, which conditions hold because each item names a tag that no event has.
func (b *batch) readTags(ctx context.Context, conditions []*Condition) error {
	var keys []tagKey
	for _, c := range conditions {
		for i := range c.Query.Items {
			for _, tag := range c.Query.Items[i].Tags {
				keys = append(keys, tagKey{tag, max(c.After, c.checked), b.s.recent.from - 1})
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	tagged := make([]bool, len(keys))
	err := b.s.retryRead(ctx, func() error {
		return b.s.dialect.tagged(ctx, b.s.own, keys, func(i int) { tagged[i] = true })
	})
	if err != nil {
		return fmt.Errorf("look up %d tags of conditions: %w", len(keys), err)
	}
	for _, c := range conditions {
		holds := len(c.Query.Items) > 0
		for i := range c.Query.Items {
			n := len(c.Query.Items[i].Tags)
			holds = holds && slices.Contains(tagged[:n], false)
			tagged = tagged[n:]
		}
		if holds {
			b.matches[c] = firstMatch{}
		}
	}
	return nil
}

// noTurn is for the writer, whose reads have connections of their own.
func noTurn(context.Context) (done func(), err error) { return func() {}, nil }

// firstMatch reads the first event that matches, from one position to another. A damaged event is its result, too.
func (s *Store) firstMatch(ctx context.Context, c *Condition, by *handle, from, to uint64, turn func(context.Context) (done func(), err error)) (firstMatch, error) {
	reader, err := s.QueryReader(c.Query, false)
	if err != nil {
		return firstMatch{}, err
	}
	reader.handle = by
	for from <= to {
		done, err := turn(ctx)
		if err != nil {
			return firstMatch{}, err
		}
		page, err := reader.Read(ctx, from, to, 1, 1)
		done()
		if damaged := (*DamagedError)(nil); errors.As(err, &damaged) {
			return firstMatch{err: err}, nil // refuses this condition's group alone
		}
		if err != nil {
			return firstMatch{}, err
		}
		for _, e := range page.Events {
			if c.may(e.Channel.name) {
				return firstMatch{position: e.Position, channel: e.Channel.name}, nil
			}
		}
		from = page.Through + 1
	}
	return firstMatch{}, nil
}
