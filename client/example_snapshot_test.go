package eventstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/gob"
	"errors"
	"fmt"
	"log"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Snapshots in a table spare a repository the reading of thousands of events.
func ExampleSQLSnapshots() {
	accountsOf := func(ctx context.Context, client *eventstore.Client, db *sql.DB) (*eventstore.Repository[Account], error) {
		snapshots := &eventstore.SQLSnapshots{DB: db, Dialect: eventstore.PostgreSQL}
		if err := snapshots.CreateTable(ctx); err != nil {
			return nil, err
		}
		accounts := accounts(client)
		accounts.Snapshots, accounts.SnapshotEvery, accounts.SnapshotSchema = snapshots, 200, "2"
		accounts.SnapshotFailed = func(err error) { log.Print(err) }
		return accounts, accounts.Validate()
	}
	_ = accountsOf
}

// memory keeps snapshots in memory. Only one goroutine uses it here.
type memory map[eventstore.SnapshotKey]eventstore.Snapshot

func (m memory) LoadSnapshot(_ context.Context, key eventstore.SnapshotKey) (eventstore.Snapshot, error) {
	return m[key], nil
}

func (m memory) SaveSnapshot(_ context.Context, key eventstore.SnapshotKey, s eventstore.Snapshot) error {
	m[key] = s
	return nil
}

func (m memory) DropSnapshot(_ context.Context, key eventstore.SnapshotKey, version, sequence uint64) error {
	if s := m[key]; s.Version == version && s.Sequence == sequence {
		delete(m, key)
	}
	return nil
}

func ExampleSnapshots() {
	ctx, client, stop := connect()
	defer stop()
	deposit(ctx, client, "account-1", 1, 2, 3)
	kept := memory{}
	accounts := accounts(client)
	accounts.Snapshots, accounts.SnapshotEvery = kept, 3
	account, version, err := accounts.Load(ctx, "account-1")
	fmt.Println(account.Balance, version, err)
	for key, s := range kept {
		fmt.Printf("%s at version %d, sequence %d: %s\n", key.AggregateID, s.Version, s.Sequence, s.State)
	}
	// Output:
	// 6 3 <nil>
	// account-1 at version 3, sequence 3: {"Owner":"","Balance":6}
}

// Cart is a state of which JSON would lose the items.
type Cart struct{ items map[string]int }

// gobCodec keeps them.
type gobCodec struct{}

func (gobCodec) Marshal(state any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(state.(Cart).items)
	return b.Bytes(), err
}

func (gobCodec) Unmarshal(data []byte, state any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(&state.(*Cart).items)
}

// Validate says whether snapshots by JSON would lose a part of the state. A Codec may keep it.
func ExampleCodec() {
	client, err := eventstore.New(eventstore.Options{URLs: []string{"http://127.0.0.1:50051"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	carts := &eventstore.Repository[Cart]{
		Client: client, Channel: "eventstore.carts", Registry: eventstore.NewRegistry(), Snapshots: memory{},
		Apply: func(c Cart, _ *eventstore.Event) Cart { return c },
	}
	err = carts.Validate()
	fmt.Println(errors.Is(err, eventstore.ErrLossy), err)
	carts.Codec = gobCodec{}
	fmt.Println(carts.Validate())
	// Output:
	// true a snapshot would lose a part of the state: eventstore_test.Cart.items is unexported, so that JSON leaves it out: change the type, give it MarshalJSON and UnmarshalJSON, or set Repository.Codec
	// <nil>
}
