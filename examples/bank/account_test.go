package main

import (
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

func TestDecisions(t *testing.T) {
	t.Parallel()
	large := TransferSent{Account: "b", Cents: largeCents}

	none := eventstoretest.Given(Account.apply)
	none.When(deposit(5)).ThenError(t, ErrNoAccount)
	opened := eventstoretest.Given(Account.apply, AccountOpened{"Ada"})
	opened.When(deposit(5)).Then(t, Deposited{5})
	opened.When(deposit(0)).ThenError(t, ErrAmount)

	eventstoretest.Given(Account.apply, AccountOpened{"Ada"}, large, large).When(review).Then(t)
	suspect := eventstoretest.Given(Account.apply, AccountOpened{"Ada"}, large, large, large)
	suspect.When(review).Then(t, AccountFrozen{"many large transfers"})
	eventstoretest.Given(Account.apply, AccountOpened{"Ada"}, large, large, large, AccountFrozen{}).When(review).Then(t)
}

// The views read deposits of both schemas.
func TestBothSchemas(t *testing.T) {
	t.Parallel()
	views, err := NewViews(t.Context(), new(eventstore.Client), eventstoretest.Database(t), eventstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	var events []eventstore.NewEvent
	for _, data := range []any{AccountOpened{"Ada"}, DepositedEuros{5}, Deposited{50}} {
		event, err := registry().New("Account", "a", data)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
	eventstoretest.Project(t, views.balances, events...)
	eventstoretest.Project(t, views.statements, events...)
	if got, err := views.Balance(t.Context(), "a", 0); err != nil || got.Cents != 550 {
		t.Errorf("the balance is %+v, %v", got, err)
	}
	if got, err := views.Statement(t.Context(), "a", 0); err != nil || len(got) != 2 || got[0].Balance != 500 || got[1].Balance != 550 {
		t.Errorf("the statement is %+v, %v", got, err)
	}
}
