package client

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
)

type (
	priced     struct{ Cents string }
	pricedThen struct{ Cents int64 }
)

// TestUnreadableEvent: an event that nobody could decode is refused before it is stored, where it would stop every later command on its
// aggregate.
func TestUnreadableEvent(t *testing.T) {
	t.Parallel()
	s := onSQLite(t)
	accounts := s.accounts()
	accounts.Registry = registry()
	eventstore.Register[priced](accounts.Registry, "Priced")
	refused := errors.New("no cents")
	eventstore.Upcast(accounts.Registry, func(p priced) (pricedThen, error) {
		if p.Cents == "" {
			return pricedThen{}, refused
		}
		return pricedThen{Cents: 1}, nil
	})
	decider := eventstore.Decider[account]{Client: accounts.Client, Channel: channel, Registry: accounts.Registry, Apply: apply}
	query := eventstore.AllOf(eventstore.QueryItem{AggregateIDs: []string{"a"}})
	for name, c := range map[string]struct {
		event eventstore.NewEvent
		want  error
	}{
		"an unknown type":         {eventstore.NewEvent{Type: "Audited", Payload: []byte(`{}`)}, eventstore.ErrUnknownType},
		"another payload":         {eventstore.NewEvent{Type: "Deposited", Payload: []byte(`{"Cents": "five"}`)}, nil},
		"an upcaster that errors": {eventstore.NewEvent{Data: priced{}}, refused},
	} {
		a := accounts.Aggregate("a")
		_, err := eventstore.ExecuteMany(patient(t), []eventstore.Participant{a}, func() ([]eventstore.NewEvent, error) {
			return []eventstore.NewEvent{a.Event(deposited{1}), a.Event(c.event)}, nil
		})
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), "was not stored") {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		if c.event.Data == nil {
			continue // a decider may store events that its registry does not have
		}
		_, err = decider.Decide(patient(t), query, func(account) ([]eventstore.NewEvent, error) {
			return []eventstore.NewEvent{a.Event(c.event)}, nil
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: Decide: error %v, want %v", name, err, c.want)
		}
	}
	if _, version, err := accounts.Load(patient(t), "a"); err != nil || version != 0 {
		t.Errorf("the account is at version %d, error %v", version, err)
	}
}
