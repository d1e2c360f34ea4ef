package eventstoretest

import (
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Given begins the test of a decision, without a server: given these events, when this is decided, then those events are stored.
//
//	eventstoretest.Given(apply, AccountOpened{Owner: "Ada"}, Deposited{Cents: 500}).
//		When(withdraw(200)).
//		Then(t, Withdrawn{Cents: 200})
//
// apply is that of a Repository or Decider. The events are values of registered types; they get the versions 1, 2, …. An *eventstore.Event
// is given as it is, for an apply that looks at more than Data.
func Given[S any](apply func(S, *eventstore.Event) S, events ...any) History[S] {
	return History[S]{apply, events}
}

// History is what has happened before a decision.
type History[S any] struct {
	apply  func(S, *eventstore.Event) S
	events []any
}

// fold returns the state after events, and its version.
func (h History[S]) fold(events []any) (state S, version uint64) {
	for _, data := range events {
		event, given := data.(*eventstore.Event)
		if !given {
			event = &eventstore.Event{Version: version + 1, Data: data}
		}
		state = h.apply(state, event)
		version = max(version+1, event.Version)
	}
	return state, version
}

// When decides, as Repository.Execute does.
func (h History[S]) When(decide func(state S, version uint64) ([]any, error)) Decision[S] {
	events, err := decide(h.fold(h.events))
	return Decision[S]{h, events, err}
}

// WhenDecided decides, as Decider.Decide does.
func (h History[S]) WhenDecided(decide func(state S) ([]eventstore.NewEvent, error)) Decision[S] {
	state, _ := h.fold(h.events)
	decided, err := decide(state)
	events := make([]any, len(decided))
	for i := range decided {
		events[i] = decided[i]
	}
	return Decision[S]{h, events, err}
}

// Decision is what came of a decision.
type Decision[S any] struct {
	history History[S]
	events  []any
	err     error
}

// Then fails the test unless the decision returned exactly these events, and no error. None means that nothing is stored. Where a
// Decider is tested, an event is compared with the data of the decided one, or with all of it if it is an eventstore.NewEvent.
func (d Decision[S]) Then(t testing.TB, events ...any) {
	t.Helper()
	if d.err != nil {
		t.Errorf("the decision failed: %v", d.err)
		return
	}
	decided := make([]any, len(d.events))
	for i, event := range d.events {
		decided[i] = event
		if i < len(events) && !isNew(events[i]) {
			decided[i] = data(event)
		}
	}
	if difference := cmp.Diff(append([]any{}, events...), decided, comparing...); difference != "" {
		t.Errorf("the decision differs (- want, + got):\n%s", difference)
	}
}

// ThenError fails the test unless the decision failed with an error that is the target, as errors.Is says.
func (d Decision[S]) ThenError(t testing.TB, target error) {
	t.Helper()
	switch {
	case d.err == nil:
		t.Errorf("the decision did not fail: want %v, got events %+v", target, d.events)
	case !errors.Is(d.err, target):
		t.Errorf("the decision failed with %v, want %v", d.err, target)
	}
}

// ThenState fails the test unless this is the state after the decision's events, and the decision did not fail.
func (d Decision[S]) ThenState(t testing.TB, state S) {
	t.Helper()
	if d.err != nil {
		t.Errorf("the decision failed: %v", d.err)
		return
	}
	all := append([]any{}, d.history.events...)
	for _, event := range d.events {
		all = append(all, data(event))
	}
	got, _ := d.history.fold(all)
	if difference := cmp.Diff(state, got, comparing...); difference != "" {
		t.Errorf("the state differs (- want, + got):\n%s", difference)
	}
}

func isNew(event any) bool {
	_, is := event.(eventstore.NewEvent)
	return is
}

// data returns what apply sees of a decided event.
func data(event any) any {
	if e, is := event.(eventstore.NewEvent); is {
		return e.Data
	}
	return event
}

// comparing says how events and states are compared: with all their fields, and messages of protobuf by their content. An empty slice
// or map equals a missing one.
var comparing = []cmp.Option{protocmp.Transform(), cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true })}
