package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ExecuteMany executes a command on several aggregates, of one Repository or of several on the same Client: a transfer
// between accounts, or an order and the stock that it takes from. It loads the aggregates, calls decide, and appends the events
// that decide returns, from Aggregate.Event, all or none. They are stored only if none of the aggregates changed meanwhile, with or
// without events of its own in the append. Otherwise ExecuteMany pauses and starts over. So decide may be called
// several times and must not have side effects, nor execute a command on one of the aggregates. If it returns no events, nothing is
// stored. Afterwards, the aggregates have their new states.
//
// Commands of one Client take turns at each aggregate, first come, first served. So they do not conflict with each other,
// and they may name the aggregates in any order.
//
// ExecuteMany returns errors of decide unwrapped, errors of Append, those of an Expect at once, ErrDuplicate for a Command whose
// ID belongs to another command, and after 200 conflicts *ConflictError or *ConditionError.
func ExecuteMany(ctx context.Context, aggregates []Participant, decide func() ([]NewEvent, error), options ...ExecuteOption) (Outcome, error) {
	m, err := newMany(aggregates, decide, options)
	if err != nil {
		return Outcome{}, err
	}
	keys := make([]turnKey, len(m.names))
	for i, name := range m.names {
		keys[i] = turnKey{channel: name.Channel, aggregateType: name.Type, aggregateID: name.ID}
	}
	done, err := m.client.turns.take(ctx, keys...)
	if err != nil {
		return Outcome{}, fmt.Errorf("wait for other commands on %v: %w", m.subject(), err)
	}
	defer done()
	err = m.retry(ctx, fmt.Sprintf("execute on %v", m.subject()), m.names, func() error { return m.attempt(ctx) })
	return m.outcome, err
}

// many is one call of ExecuteMany.
type many struct {
	*execution
	client     *Client
	aggregates []Participant
	names      []aggregateName // of the aggregates
	decide     func() ([]NewEvent, error)
	order      *order
	outcome    Outcome
}

func newMany(aggregates []Participant, decide func() ([]NewEvent, error), options []ExecuteOption) (*many, error) {
	if len(aggregates) == 0 {
		return nil, errors.New("execute: there are no aggregates: name at least one")
	}
	m := &many{execution: newExecution(options), aggregates: aggregates, decide: decide}
	for _, a := range aggregates {
		if err := a.validate(); err != nil {
			return nil, err
		}
		if m.client == nil {
			m.client = a.client()
		}
		switch name := a.name(); {
		case slices.Contains(m.names, name):
			return nil, fmt.Errorf("execute on %v: it is named twice: name each aggregate once", name)
		case a.client().turns != m.client.turns:
			return nil, fmt.Errorf("execute on %v: its repository has another client: let all repositories share one", name)
		default:
			m.names = append(m.names, name)
		}
	}
	var err error
	m.order, err = m.newOrder(m.subject())
	return m, err
}

func (m *many) subject() subject {
	return subject{Aggregates: slices.SortedFunc(slices.Values(m.names), aggregateName.compare)}
}

func (m *many) attempt(ctx context.Context) error {
	m.outcome = Outcome{}
	repeated, err := m.client.executed(ctx, m.order)
	if err != nil {
		return err
	}
	for _, a := range m.aggregates {
		if err := a.load(ctx); err != nil {
			return err
		}
		_, position := a.at()
		m.outcome.Position = max(m.outcome.Position, position)
	}
	if m.outcome.Repeated = repeated; repeated {
		return nil
	}
	events, err := m.decide()
	if err != nil || len(events) == 0 {
		return err
	}
	events = slices.Clone(events) // decide may return the same slice again
	owners, err := m.complete(events)
	if err != nil {
		return err
	}
	events = withContext(ctx, events) // as Append does, but known to who applies the events
	positions, err := m.client.Append(ctx, m.names[0].Channel, events, append(m.expect, m.unchanged(events)...)...)
	if err != nil {
		return err
	}
	m.outcome.Stored, m.outcome.Position = positions, 0
	for i, owner := range owners {
		m.outcome.Position = max(m.outcome.Position, positions[i].Position)
		if err := owner.apply(stored(&events[i], positions[i])); err != nil {
			return err
		}
	}
	return nil
}

// complete fills in the events, and returns the aggregate of each.
func (m *many) complete(events []NewEvent) ([]Participant, error) {
	owners := make([]Participant, len(events))
	for i := range events {
		e := &events[i]
		name := aggregateName{e.Channel, e.AggregateType, e.AggregateID}
		of := slices.Index(m.names, name)
		if of < 0 {
			return nil, fmt.Errorf("execute on %v: event %d is of %v: name that aggregate, too", m.subject(), i+1, name)
		}
		owners[i] = m.aggregates[of]
		if e.Data != nil || e.Type == "" {
			if err := owners[i].registry().encode(e); err != nil {
				return nil, err
			}
		} else if err := owners[i].registry().readable(e); err != nil {
			return nil, err
		}
		m.execution.complete(e, i)
	}
	m.order.mark(&events[0])
	return owners, nil
}

// unchanged expects that no aggregate has changed.
func (m *many) unchanged(events []NewEvent) []Expectation {
	expect := make([]Expectation, len(m.names))
	for i, name := range m.names {
		version, position := m.aggregates[i].at()
		if slices.ContainsFunc(events, func(e NewEvent) bool { return e.Channel == name.Channel }) {
			expect[i] = AtVersion(name.Type, name.ID, version).On(name.Channel)
		} else { // an append has expectations only of channels to which it writes
			expect[i] = NoneAfter(position, AllOf(QueryItem{
				Channels: []string{name.Channel}, AggregateTypes: []string{name.Type}, AggregateIDs: []string{name.ID},
			}))
		}
	}
	return expect
}

// stored returns an event as it was stored. Only the server knows its RecordedAt.
func stored(e *NewEvent, at Position) *Event {
	event := fromMessage(e.message())
	event.Channel, event.Sequence, event.Version, event.Position = e.Channel, at.Sequence, at.Version, at.Position
	return event
}
