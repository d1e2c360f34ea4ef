// Command quickstart deposits money into an account, with a server that runs with -grpc_port 4280. It is the program of
// the README.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Deposited is an event, Account the state that its events add up to.
type (
	Deposited struct{ Cents int64 }
	Account   struct{ Cents int64 }
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := eventstore.New(eventstore.Options{URLs: []string{"http://localhost:4280"}})
	if err != nil {
		return err
	}
	defer client.Close()

	events := eventstore.NewRegistry()
	eventstore.Register[Deposited](events, "Deposited")
	accounts := &eventstore.Repository[Account]{
		Client: client, Channel: "eventstore.accounts", AggregateType: "Account", Registry: events,
		Apply: func(a Account, e *eventstore.Event) Account {
			a.Cents += e.Data.(Deposited).Cents
			return a
		},
	}
	// Loads the account, decides, and appends if nobody else was faster; otherwise decides again.
	result, err := accounts.Execute(ctx, "account-1", func(a Account, version uint64) ([]any, error) {
		return []any{Deposited{Cents: 500}}, nil
	})
	fmt.Println(result.State.Cents, err)
	return err
}
