package sqlprojection_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
)

// A file is run like any projector.
func ExampleFile_Projector() {
	_ = func(ctx context.Context, client *eventstore.Client, db *sql.DB) error {
		file, err := sqlprojection.Read("orders.yaml")
		if err != nil {
			return err
		}
		projector, err := file.Projector(client, db, eventstore.PostgreSQL)
		if err != nil {
			return err
		}
		return projector.Run(ctx)
	}
}

// A test of an application can check its files.
func ExampleFile_Check() {
	file, err := sqlprojection.Parse([]byte(`
name: customers
tables:
  customers: CREATE TABLE IF NOT EXISTS {customers} (id TEXT PRIMARY KEY, name TEXT)
events:
  CustomerNamed: INSERT INTO {customers} VALUES ($aggregate_id, $.nmae)
`))
	if err != nil {
		return
	}
	samples, err := sqlprojection.ReadSamples(strings.NewReader(`{"type": "CustomerNamed", "aggregate_id": "c-1", "data": {"name": "Ada"}}`))
	if err != nil {
		return
	}
	for _, problem := range file.Check(samples) {
		fmt.Println(problem)
	}
	// Output: sample 1 (CustomerNamed), statement 1: $.nmae: the event does not have it: write $.nmae? if it may be absent
}

// With a database, the statements are run, and nothing of it stays.
func ExampleFile_CheckDatabase() {
	_ = func(ctx context.Context, db *sql.DB) error {
		file, err := sqlprojection.Read("orders.yaml")
		if err != nil {
			return err
		}
		problems, err := file.CheckDatabase(ctx, db, eventstore.PostgreSQL, nil)
		fmt.Println(problems)
		return err
	}
}
