package client

import (
	"fmt"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// A row may refer to the one before by the key that the database generated, also when many events are applied at once.
func TestGeneratedKeyOfSQLProjection(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		key, last := map[string]string{"sqlite": "INTEGER PRIMARY KEY", "postgres": "BIGSERIAL PRIMARY KEY", "mysql": "BIGINT AUTO_INCREMENT PRIMARY KEY"}, map[string]string{
			"sqlite": "last_insert_rowid()", "postgres": "lastval()", "mysql": "LAST_INSERT_ID()",
		}
		file, err := sqlprojection.Parse(fmt.Appendf(nil, `
name: n
tables:
  parents: "CREATE TABLE IF NOT EXISTS {parents} (id %s, name VARCHAR(20) NOT NULL)"
  children: "CREATE TABLE IF NOT EXISTS {children} (parent BIGINT NOT NULL, name VARCHAR(20) NOT NULL)"
events:
  A: ["INSERT INTO {parents} (name) VALUES ($aggregate_id)", "INSERT INTO {children} (parent, name) VALUES (%s, $aggregate_id)"]
`, key[s.driver], last[s.driver]))
		if err != nil {
			t.Fatal(err)
		}
		c := s.client()
		var events []eventstore.NewEvent
		for i := range 20 {
			events = append(events, eventstore.NewEvent{Type: "A", AggregateID: fmt.Sprint("a-", i), Payload: []byte("{}")})
		}
		if _, err := c.Append(patient(t), channel, events); err != nil {
			t.Fatal(err)
		}
		db, dialect := s.readModel()
		p, err := file.Projector(c, db, dialect)
		if err != nil {
			t.Fatal(err)
		}
		eventstoretest.Project(t, p)
		var right int
		if err := db.QueryRowContext(patient(t), "SELECT COUNT(*) FROM parents p JOIN children c ON c.parent = p.id AND c.name = p.name").Scan(&right); err != nil || right != 20 {
			t.Errorf("%d children have their parent, %v", right, err)
		}
	})
}
