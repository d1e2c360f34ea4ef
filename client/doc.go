// Package eventstore is a client library for event-sourced applications: a Repository executes commands on aggregates, a
// Projector maintains a read model, and a Reactor does the work that events trigger.
//
// A Client calls the server's API (docs/reference/api.md). The API and NATS Streaming clients share one log, so projectors and
// reactors can read it either way: Client.Source uses the API, package streaming uses NATS Streaming.
//
//	registry := eventstore.NewRegistry()
//	eventstore.Register[Opened](registry, "AccountOpened")
//	eventstore.Register[Deposited](registry, "Deposited")
//
//	accounts := eventstore.Repository[Account]{
//		Client: client, Channel: "eventstore.accounts", AggregateType: "Account", Registry: registry,
//		Apply:  func(a Account, e *eventstore.Event) Account { … },
//	}
//	_, err := accounts.Execute(ctx, "account-1", func(a Account, version uint64) ([]any, error) {
//		return []any{Deposited{Cents: 500}}, nil
//	})
package eventstore
