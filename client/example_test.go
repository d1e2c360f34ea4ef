package eventstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// The events of an account, and the state that they build.
type (
	AccountOpened struct{ Owner string }
	Deposited     struct{ Cents int64 }
	Withdrawn     struct{ Cents int64 }

	Account struct {
		Owner   string
		Balance int64
	}
)

var errInsufficientFunds = errors.New("the balance is too low")

func accountEvents() *eventstore.Registry {
	registry := eventstore.NewRegistry()
	eventstore.Register[AccountOpened](registry, "AccountOpened")
	eventstore.Register[Deposited](registry, "Deposited")
	eventstore.Register[Withdrawn](registry, "Withdrawn")
	return registry
}

func accounts(client *eventstore.Client) *eventstore.Repository[Account] {
	return &eventstore.Repository[Account]{
		Client: client, Channel: "eventstore.accounts", AggregateType: "Account", Registry: accountEvents(),
		Apply: func(a Account, e *eventstore.Event) Account {
			switch data := e.Data.(type) {
			case AccountOpened:
				a.Owner = data.Owner
			case Deposited:
				a.Balance += data.Cents
			case Withdrawn:
				a.Balance -= data.Cents
			}
			return a
		},
	}
}

// A command decides on current state. Its events are stored only if nobody changed the aggregate meanwhile.
func ExampleRepository_Execute() {
	ctx, client, stop := connect()
	defer stop()
	accounts := accounts(client)
	open := func(Account, uint64) ([]any, error) {
		return []any{AccountOpened{Owner: "Ada"}, Deposited{Cents: 1000}}, nil
	}
	withdraw := func(cents int64) func(Account, uint64) ([]any, error) {
		return func(a Account, _ uint64) ([]any, error) {
			if a.Balance < cents {
				return nil, errInsufficientFunds
			}
			return []any{Withdrawn{Cents: cents}}, nil
		}
	}
	// A repeated request is stored once, because its events carry the command's ID.
	for range 2 {
		result, err := accounts.Execute(ctx, "account-1", open, eventstore.Command("request-1"))
		fmt.Println(result.State.Owner, result.State.Balance, result.Repeated, err)
	}
	result, err := accounts.Execute(ctx, "account-1", withdraw(400))
	fmt.Println(result.State.Owner, result.State.Balance, "at version", result.Version, err)
	_, err = accounts.Execute(ctx, "account-1", withdraw(700))
	fmt.Println(err)
	// Output:
	// Ada 1000 false <nil>
	// Ada 1000 true <nil>
	// Ada 600 at version 3 <nil>
	// the balance is too low
}

// A transfer decides on two accounts. Its events are stored together, if neither has changed meanwhile.
func ExampleExecuteMany() {
	ctx, client, stop := connect()
	defer stop()
	accounts := accounts(client)
	deposit(ctx, client, "account-1", 1000)
	transfer := func(cents int64) error {
		from, to := accounts.Aggregate("account-1"), accounts.Aggregate("account-2")
		outcome, err := eventstore.ExecuteMany(ctx, []eventstore.Participant{from, to}, func() ([]eventstore.NewEvent, error) {
			if from.State.Balance < cents {
				return nil, errInsufficientFunds
			}
			return []eventstore.NewEvent{from.Event(Withdrawn{Cents: cents}), to.Event(Deposited{Cents: cents})}, nil
		}, eventstore.Command("transfer-1", cents))
		if err == nil {
			fmt.Println(from.State.Balance, to.State.Balance, len(outcome.Stored), "events, up to position", outcome.Position)
		}
		return err
	}
	fmt.Println(transfer(300))
	fmt.Println(transfer(300))                                     // the same request again
	fmt.Println(errors.Is(transfer(500), eventstore.ErrDuplicate)) // another request with its ID
	// Output:
	// 700 300 2 events, up to position 3
	// <nil>
	// 700 300 0 events, up to position 3
	// <nil>
	// true
}

// Append stores events of several aggregates together, if all expectations hold.
func ExampleClient_Append() {
	ctx, client, stop := connect()
	defer stop()
	transfer := []eventstore.NewEvent{
		{ID: "transfer-1-out", Type: "Withdrawn", AggregateType: "Account", AggregateID: "a", Payload: []byte(`{"Cents":500}`)},
		{ID: "transfer-1-in", Type: "Deposited", AggregateType: "Account", AggregateID: "b", Payload: []byte(`{"Cents":500}`)},
	}
	_, err := client.Append(ctx, "eventstore.accounts", transfer, eventstore.Exists("Account", "a"))
	var conflict *eventstore.ConflictError
	fmt.Println(errors.As(err, &conflict))

	opened := []eventstore.NewEvent{{Type: "AccountOpened", AggregateType: "Account", AggregateID: "a", Payload: []byte(`{"Owner":"Ada"}`)}}
	fmt.Println(client.Append(ctx, "eventstore.accounts", opened, eventstore.NoEvents("Account", "a")))
	fmt.Println(client.Append(ctx, "eventstore.accounts", transfer, eventstore.AtVersion("Account", "a", 1)))
	// Output:
	// true
	// [{1 1 1}] <nil>
	// [{2 2 2} {3 1 3}] <nil>
}

// A Projector commits its changes and its checkpoint in one transaction.
func ExampleProjector() {
	ctx, client, stop := connect()
	defer stop()
	db, err := sql.Open("postgres", "postgres://reader@127.0.0.1/models") // import the driver, such as github.com/lib/pq
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	projector := eventstore.Projector{
		Name: "balances", DB: db, Dialect: eventstore.PostgreSQL, Registry: accountEvents(),
		Source: client.Source("eventstore.accounts", eventstore.Filter{EventTypes: []string{"Deposited"}}),
		Apply: func(ctx context.Context, tx *sql.Tx, event *eventstore.Event) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO balances VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents",
				event.AggregateID, event.Data.(Deposited).Cents)
			return err
		},
	}
	log.Fatal(projector.Run(ctx))
}

// A Reactor retries failed work and remembers finished work.
func ExampleReactor() {
	ctx, client, stop := connect()
	defer stop()
	db, err := sql.Open("postgres", "postgres://reactor@127.0.0.1/mails")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	reactor := eventstore.Reactor{
		Name: "reports", DB: db, Dialect: eventstore.PostgreSQL, Registry: accountEvents(),
		Handle: func(ctx context.Context, event *eventstore.Event) error {
			deposited := event.Data.(Deposited)
			if deposited.Cents < 1_000_000 {
				return nil
			}
			return report(ctx, event.AggregateID, deposited.Cents) // an error: again after a pause
		},
	}
	source := client.Source("eventstore.accounts", eventstore.Filter{EventTypes: []string{"Deposited"}})
	log.Fatal(reactor.Run(ctx, source))
}

// report tells the tax office.
func report(context.Context, string, int64) error { return nil }

// Consumers share the events of a channel. What one rejects comes again, or is parked on the server.
func ExampleConsumer() {
	ctx, client, stop := connect()
	defer stop()
	deposit(ctx, client, "account-1", 20000, 100)
	running, done := context.WithCancel(ctx)
	consumer := eventstore.Consumer{
		Client: client, Channel: "eventstore.accounts", ClientID: "mailer-1", Group: "mailers", Durable: "mails", Concurrency: 4,
		Registry: accountEvents(), SkipUnknown: true,
		Handle: func(_ context.Context, event *eventstore.Event) error {
			switch deposited := event.Data.(Deposited); {
			case deposited.Cents > 10000:
				return &eventstore.Rejection{Err: errors.New("too much for a mail"), Park: true}
			case event.Deliveries == 1:
				return &eventstore.Rejection{Err: errors.New("the mail server is busy"), Delay: time.Millisecond}
			}
			fmt.Println("mailed", event.Data, "at delivery", event.Deliveries)
			done()
			return nil
		},
	}
	err := consumer.Run(running)
	fmt.Println(err)
	// Output:
	// mailed {100} at delivery 2
	// context canceled
}

// A replay delivers stored events from its start, then new events as they are stored.
func ExampleClient_Replay() {
	ctx, client, stop := connect()
	defer stop()
	deposit(ctx, client, "account-1", 1, 2, 3)
	err := client.Replay(ctx, "eventstore.accounts", eventstore.FromSequence(2), eventstore.Filter{}, func(event *eventstore.Event) error {
		fmt.Println(event.Sequence, event.Type, event.Version, string(event.Payload))
		if event.Sequence == 3 {
			return eventstore.ErrStop
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 2 Deposited 2 {"Cents":2}
	// 3 Deposited 3 {"Cents":3}
	// <nil>
}

// Reads that may be a little behind leave the leader its time for writing. Here, the only server leads.
func ExampleClient_WithStandbyReads() {
	ctx, client, stop := connect()
	defer stop()
	deposit(ctx, client, "account-1", 1, 2, 3)
	reading := client.WithStandbyReads(500*time.Millisecond, func(s eventstore.Staleness) {
		fmt.Println("a standby that knows position", s.Position, "and is behind by at most", s.Age)
	})
	events, err := reading.Load(ctx, "eventstore.accounts", "Account", "account-1", 1)
	fmt.Println(len(events), err)
	// Output: 3 <nil>
}

// A replay of a query delivers the events of all channels that match it.
func ExampleClient_ReplayAll() {
	ctx, client, stop := connect()
	defer stop()
	deposit(ctx, client, "account-1", 1, 2)
	deposit(ctx, client, "account-2", 3)
	query := eventstore.AllOf(eventstore.QueryItem{
		Channels: []string{"eventstore.>"}, EventTypes: []string{"Deposited"}, AggregateIDs: []string{"account-2"},
	})
	err := client.ReplayAll(ctx, query, eventstore.FromBeginning(), func(event *eventstore.Event) error {
		fmt.Println(event.Position, event.Channel, event.AggregateID, string(event.Payload))
		return eventstore.ErrStop
	})
	fmt.Println(err)
	// Output:
	// 3 eventstore.accounts account-2 {"Cents":3}
	// <nil>
}

func deposit(ctx context.Context, client *eventstore.Client, account string, cents ...int64) {
	accounts := accounts(client)
	for _, n := range cents {
		_, err := accounts.Execute(ctx, account, func(Account, uint64) ([]any, error) { return []any{Deposited{Cents: n}}, nil })
		if err != nil {
			log.Fatal(err)
		}
	}
}
