package eventstoretest_test

import (
	"errors"
	"strings"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

type (
	opened    struct{ Owner string }
	deposited struct{ Cents int64 }
	withdrawn struct{ Cents int64 }

	account struct {
		owner   string
		balance int64
		version uint64
	}
)

var errFunds = errors.New("insufficient funds")

func apply(a account, e *eventstore.Event) account {
	switch data := e.Data.(type) {
	case opened:
		a.owner = data.Owner
	case deposited:
		a.balance += data.Cents
	case withdrawn:
		a.balance -= data.Cents
	}
	a.version = e.Version
	return a
}

func withdraw(cents int64) func(account, uint64) ([]any, error) {
	return func(a account, _ uint64) ([]any, error) {
		switch {
		case cents == 0:
			return nil, nil
		case a.balance < cents:
			return nil, errFunds
		}
		return []any{withdrawn{cents}}, nil
	}
}

func TestGiven(t *testing.T) {
	t.Parallel()
	given := eventstoretest.Given(apply, opened{"Ada"}, deposited{500})
	given.When(withdraw(200)).Then(t, withdrawn{200})
	given.When(withdraw(0)).Then(t)
	given.When(withdraw(501)).ThenError(t, errFunds)
	given.When(withdraw(200)).ThenState(t, account{"Ada", 300, 3})
	eventstoretest.Given(apply, &eventstore.Event{Version: 7, Data: deposited{5}}).When(withdraw(1)).ThenState(t, account{"", 4, 8})

	decide := func(a account) ([]eventstore.NewEvent, error) {
		return []eventstore.NewEvent{{AggregateID: "a", Data: withdrawn{a.balance}}}, nil
	}
	given.WhenDecided(decide).Then(t, withdrawn{500})
	given.WhenDecided(decide).Then(t, eventstore.NewEvent{AggregateID: "a", Data: withdrawn{500}})
	given.WhenDecided(decide).ThenState(t, account{"Ada", 0, 3})
}

// What differs is shown, and nothing else than what was wanted passes.
func TestGivenDiffers(t *testing.T) {
	t.Parallel()
	given := eventstoretest.Given(apply, opened{"Ada"}, deposited{500})
	for want, check := range map[string]func(*recorder){
		"- eventstoretest_test.withdrawn{Cents: 200}": func(r *recorder) { given.When(withdraw(300)).Then(r, withdrawn{200}) },
		"- eventstoretest_test.withdrawn":             func(r *recorder) { given.When(withdraw(0)).Then(r, withdrawn{200}) },
		"+ eventstoretest_test.withdrawn":             func(r *recorder) { given.When(withdraw(1)).Then(r) },
		"the decision failed: insufficient funds":     func(r *recorder) { given.When(withdraw(600)).Then(r, withdrawn{600}) },
		"did not fail: want insufficient funds":       func(r *recorder) { given.When(withdraw(1)).ThenError(r, errFunds) },
		"insufficient funds, want unknown event":      func(r *recorder) { given.When(withdraw(600)).ThenError(r, eventstore.ErrUnknownType) },
		"- balance: 1":                                func(r *recorder) { given.When(withdraw(1)).ThenState(r, account{"Ada", 1, 3}) },
	} {
		r := &recorder{TB: t}
		check(r)
		// The diffs have spaces that vary on purpose.
		if text := strings.Join(strings.Fields(r.text), " "); !r.failed || !strings.Contains(text, strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

// Messages of protobuf are compared by their content.
func TestGivenMessages(t *testing.T) {
	t.Parallel()
	ignore := func(n int, _ *eventstore.Event) int { return n }
	eventstoretest.Given(ignore).When(func(int, uint64) ([]any, error) {
		return []any{&eventstorev1.Event{EventId: "1"}}, nil
	}).Then(t, &eventstorev1.Event{EventId: "1"})
}
