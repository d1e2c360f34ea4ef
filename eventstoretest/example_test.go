package eventstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"connectrpc.com/connect"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

var t *testing.T // of the test that an example stands for

func TestExamples(test *testing.T) {
	for name, example := range map[string]func(){
		"Start": ExampleStart, "Config": ExampleConfig, "Inject": ExampleServer_Inject, "Conflict": ExampleConflict, "Rival": ExampleRival,
		"Hold": ExampleHold, "Restart": ExampleServer_Restart, "Restore": ExampleServer_Restore, "Given": ExampleGiven, "Project": ExampleProject,
	} {
		test.Run(name, func(inner *testing.T) {
			t = inner
			example()
		})
	}
}

// add appends an event to account a.
func add(client *eventstore.Client) error {
	_, err := client.Append(t.Context(), "eventstore.accounts", []eventstore.NewEvent{deposit("")})
	return err
}

// A server of its own for a test, and a client.
func ExampleStart() {
	server := eventstoretest.Start(t)
	client := server.Client()
	_, err := client.Append(t.Context(), "eventstore.accounts", []eventstore.NewEvent{
		{Type: "Deposited", AggregateType: "Account", AggregateID: "a", Payload: []byte(`{"cents": 500}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var events int
	if err := server.DB().QueryRow("SELECT COUNT(*) FROM events").Scan(&events); err != nil || events != 1 {
		t.Errorf("%d events, %v", events, err)
	}
}

// A server with the configuration of production, such as its routes.
func ExampleConfig() {
	server := eventstoretest.Start(t, eventstoretest.Token("secret"), eventstoretest.Config(`
		streaming {
			routes: [ { from: "eventstore.orders", types: ["OrderPlaced"], channel: mails } ]
			store_limits { channels { mails { max_age: "24h" } } }
		}`))
	_ = server.NATSURL() // for clients of NATS Streaming, with server.ClusterID()
	_ = server.URL()     // for clients of the API in other languages
}

// The answer to an append is lost. The client repeats it with the same event IDs, so that the event is stored once.
func ExampleServer_Inject() {
	server := eventstoretest.Start(t)
	server.Inject(eventstoretest.Append, 1, eventstoretest.LoseAnswer())
	server.Inject(eventstoretest.ReadAggregate, 2, eventstoretest.Refuse(connect.CodeUnavailable))
	if err := add(server.Client()); err != nil {
		t.Error(err)
	}
	events, err := server.Client().Load(t.Context(), "eventstore.accounts", "Account", "a", 1)
	if err != nil || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// An append meets a conflict, though nobody has changed the account.
func ExampleConflict() {
	server := eventstoretest.Start(t)
	server.Inject(eventstoretest.Append, 1, eventstoretest.Conflict(eventstore.ConflictError{
		Channel: "eventstore.accounts", AggregateType: "Account", AggregateID: "a", Current: 3,
	}))
	_, err := server.Client().Append(t.Context(), "eventstore.accounts", []eventstore.NewEvent{
		{Type: "Deposited", AggregateType: "Account", AggregateID: "a"},
	})
	var conflict *eventstore.ConflictError
	if !errors.As(err, &conflict) || conflict.Current != 3 {
		t.Error(err)
	}
}

// Another program is faster: it changes the account between the load and the append of a command.
func ExampleRival() {
	server := eventstoretest.Start(t)
	server.Inject(eventstoretest.Append, 1, eventstoretest.Rival(func(ctx context.Context, rival *eventstore.Client) error {
		_, err := rival.Append(ctx, "eventstore.accounts", []eventstore.NewEvent{
			{Type: "Withdrawn", AggregateType: "Account", AggregateID: "a", Payload: []byte(`{"cents": 500}`)},
		})
		return err
	}))
	client := server.Client()
	_, err := client.Append(t.Context(), "eventstore.accounts", []eventstore.NewEvent{deposit("")}, eventstore.NoEvents("Account", "a"))
	if !errors.As(err, new(*eventstore.ConflictError)) {
		t.Error(err)
	}
}

// A call is under way while the test does something else.
func ExampleHold() {
	server := eventstoretest.Start(t)
	gate := eventstoretest.NewGate()
	server.Inject(eventstoretest.Append, 1, eventstoretest.Hold(gate))
	done := make(chan error, 1)
	go func() { done <- add(server.Client()) }()
	<-gate.Reached()
	// what happens meanwhile
	gate.Open()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The event store stops and comes back with all that it had.
func ExampleServer_Restart() {
	server := eventstoretest.Start(t)
	server.Stop()
	// what the application does without it
	server.Restart()
}

// A backup is restored under the application: what was stored since is lost, and its views are ahead of the log.
func ExampleServer_Restore() {
	server := eventstoretest.Start(t)
	backup := server.Snapshot()
	if err := add(server.Client()); err != nil {
		t.Error(err)
	}
	server.Restore(backup)
}

// A decision needs no server.
func ExampleGiven() {
	eventstoretest.Given(apply, opened{"Ada"}, deposited{500}).
		When(withdraw(200)).
		Then(t, withdrawn{200})
	eventstoretest.Given(apply, opened{"Ada"}, deposited{500}).
		When(withdraw(501)).
		ThenError(t, errFunds)
	eventstoretest.Given(apply, opened{"Ada"}, deposited{500}).
		When(withdraw(200)).
		ThenState(t, account{owner: "Ada", balance: 300, version: 3})
}

// A projection needs none, either: the projector reads the given events.
func ExampleProject() {
	registry := eventstore.NewRegistry()
	eventstore.Register[deposited](registry, "Deposited")
	db := eventstoretest.Database(t)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE counts (deposits INTEGER)"); err != nil {
		t.Fatal(err)
	}
	projector := &eventstore.Projector{
		Name: "count", DB: db, Dialect: eventstore.SQLite, Registry: registry,
		Apply: func(ctx context.Context, tx *sql.Tx, e *eventstore.Event) error {
			_, err := tx.ExecContext(ctx, "UPDATE counts SET deposits = deposits + 1")
			return err
		},
	}
	eventstoretest.Project(t, projector, eventstore.NewEvent{AggregateType: "Account", AggregateID: "a", Data: deposited{500}})
}
