package eventstore

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Decider makes decisions that concern several aggregates, or none: whether a user name is free, whether a course has room
// and the student has time. A query says which events matter. S is the state that they build; its zero value is the state
// before the first one. A Decider is safe for concurrent use if Apply is.
type Decider[S any] struct {
	Client   *Client
	Channel  string // event channel of new events that name none
	Registry *Registry
	// Apply returns the state after one more event. It must not have side effects. It may modify maps and slices in S.
	Apply func(S, *Event) S
}

// Decide reads the events that match the query, passes the state that they build to decide, and appends the events that
// decide returns, with values of registered types in NewEvent.Data. They are stored only if no event that matches was stored
// meanwhile. Otherwise Decide pauses, reads the new events and calls decide again. So decide may be called several times and
// must not have side effects, nor change the state. If it returns no events, nothing is stored.
//
// Decisions whose queries share no event never disturb each other, whatever their aggregates and channels are. Decisions of one
// Client by the same query take turns, first come, first served. So decide must not make one.
//
// Decide returns the state that it decided on. After a Command that was executed before, that is the state with its events.
// It returns errors of decide unwrapped, errors of Append, those of an Expect at once, ErrDuplicate for a Command whose ID
// belongs to another command, and after 200 conflicts *ConditionError.
func (d *Decider[S]) Decide(ctx context.Context, query Query, decide func(S) ([]NewEvent, error), options ...ExecuteOption) (Result[S], error) {
	run := decision[S]{Decider: d, execution: newExecution(options), query: query, decide: decide}
	var err error
	if run.order, err = run.newOrder(subject{Channel: d.Channel, Query: &query}); err != nil {
		return run.result, err
	}
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(query.message())
	if err != nil {
		return run.result, fmt.Errorf("decide: encode the query: %w", err)
	}
	done, err := d.Client.turns.take(ctx, turnKey{query: string(key)})
	if err != nil {
		return run.result, fmt.Errorf("wait for other decisions by the same query: %w", err)
	}
	defer done()
	err = run.retry(ctx, "decide", nil, func() error { return run.attempt(ctx) })
	return run.result, err
}

// decision is one call of Decide.
type decision[S any] struct {
	*Decider[S]
	*execution
	query    Query
	decide   func(S) ([]NewEvent, error)
	order    *order
	position uint64 // up to which the events are in the state
	result   Result[S]
}

func (r *decision[S]) attempt(ctx context.Context) error {
	repeated, err := r.Client.executed(ctx, r.order)
	if err != nil {
		return err
	}
	r.position, err = r.Client.leading().ReadMatching(ctx, r.query, r.position, r.apply)
	if err != nil {
		return err
	}
	r.result.Position = r.position
	if r.result.Repeated = repeated; repeated {
		return nil
	}
	events, err := r.decide(r.result.State)
	if err != nil || len(events) == 0 {
		return err
	}
	events = slices.Clone(events) // decide may return the same slice again
	for i := range events {
		if events[i].Data != nil {
			if err := r.Registry.encode(&events[i]); err != nil {
				return err
			}
		}
		r.complete(&events[i], i)
	}
	r.order.mark(&events[0])
	positions, err := r.Client.Append(ctx, r.Channel, events, append(r.expect, NoneAfter(r.position, r.query))...)
	if err != nil {
		return err
	}
	r.result.Stored = positions
	for _, at := range positions {
		if at.Position > r.result.Position {
			r.result.Position, r.result.Sequence = at.Position, at.Sequence
		}
	}
	return nil
}

func (r *decision[S]) apply(event *Event) error {
	expanded, err := r.Registry.Expand(event)
	for _, part := range expanded {
		r.result.State = r.Apply(r.result.State, part)
	}
	return err
}
