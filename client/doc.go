// Package eventstore is a client of the event store for applications that keep their state as events: commands decide on
// aggregates, projectors keep read models, reactors do work that events ask for.
//
// A Client speaks the server's API (docs/api.md). What is written through it and what NATS Streaming clients publish is
// one log, so that projectors and reactors can read it either way: Client.Source by the API, StreamingSource by NATS
// Streaming.
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
