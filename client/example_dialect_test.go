package eventstore_test

import (
	"fmt"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// The dialect follows from the name of the driver that opened the database.
func ExampleParseDialect() {
	dialect, err := eventstore.ParseDialect("pgx")
	fmt.Println(dialect == eventstore.PostgreSQL, err)
	_, err = eventstore.ParseDialect("oracle")
	fmt.Println(err)
	// Output:
	// true <nil>
	// eventstore: unknown driver "oracle": must be postgres, pgx, mysql, sqlite or sqlite3
}
