package eventstore

import "context"

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
// Decisions whose queries share no event never disturb each other, whatever their aggregates and channels are.
//
// Decide returns the state that it decided on. After a Command that was executed before, that is the state with its events.
// It returns errors of decide unwrapped, errors of Append, and after 100 conflicts *ConditionError or, from an Expect,
// *ConflictError, or ErrDuplicate for a Command.
func (d *Decider[S]) Decide(ctx context.Context, query Query, decide func(S) ([]NewEvent, error), options ...ExecuteOption) (S, error) {
	e := newExecution(options)
	run := decision[S]{Decider: d, query: query, decide: decide}
	err := e.retry(ctx, "decide", func() error { return run.attempt(ctx, e) })
	return run.state, err
}

// decision is one call of Decide.
type decision[S any] struct {
	*Decider[S]
	query    Query
	decide   func(S) ([]NewEvent, error)
	state    S
	position uint64 // up to which the events are in state
}

func (r *decision[S]) attempt(ctx context.Context, e *execution) error {
	executed, err := r.Client.executed(ctx, "", e) // its events may be on any channel
	if err != nil {
		return err
	}
	r.position, err = r.Client.leading().ReadMatching(ctx, r.query, r.position, func(event *Event) error {
		expanded, err := r.Registry.Expand(event)
		for _, part := range expanded {
			r.state = r.Apply(r.state, part)
		}
		return err
	})
	if err != nil || executed {
		return err
	}
	events, err := r.decide(r.state)
	if err != nil || len(events) == 0 {
		return err
	}
	for i := range events {
		if events[i].Data != nil {
			if err := r.Registry.encode(&events[i]); err != nil {
				return err
			}
		}
		e.complete(&events[i], i)
	}
	positions, err := r.Client.Append(ctx, r.Channel, events, append(e.expect, NoneAfter(r.position, r.query))...)
	if err != nil {
		return err
	}
	e.stored(positions)
	return nil
}
