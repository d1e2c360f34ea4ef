package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/lib/pq"
)

// indexesBlock is false: CREATE INDEX CONCURRENTLY lets others write, and only waits for open transactions.
func (*postgres) indexesBlock() bool { return false }

const (
	// The index of a path is an expression index. It is SP-GiST, because an entry of a B-tree is at most 2.7 KB long,
	// and an event with a longer value would be refused. It also covers events without the value, because the planner
	// takes statistics of an expression only from complete indexes. Distributed databases that speak PostgreSQL's
	// protocol have only B-trees, without that limit.
	postgresIndexMethod = "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_am WHERE amname = 'spgist') AND version() NOT LIKE '%-YB-%' THEN 'spgist' ELSE 'btree' END"

	postgresCreateIndex   = "CREATE INDEX CONCURRENTLY %s ON Messages USING %s (%s)"
	postgresDocumentIndex = "CREATE INDEX CONCURRENTLY %s ON Messages USING gin (%s jsonb_path_ops)"
	postgresDropIndex     = "DROP INDEX CONCURRENTLY IF EXISTS %s"

	// Not valid is what an interrupted CREATE INDEX CONCURRENTLY leaves: no query uses it, each INSERT pays for it.
	postgresIndexes        = "SELECT c.relname FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid WHERE x.indrelid = 'messages'::regclass"
	postgresInvalidIndexes = postgresIndexes + " AND NOT x.indisvalid"
)

func (*postgres) indexChanges(ctx context.Context, conn *sql.Conn, want []jsonIndex) ([]indexChange, error) {
	existing, err := names(ctx, conn, postgresIndexes)
	if err != nil {
		return nil, err
	}
	invalid, err := names(ctx, conn, postgresInvalidIndexes)
	if err != nil {
		return nil, err
	}
	method, err := names(ctx, conn, postgresIndexMethod)
	if err != nil {
		return nil, err
	}
	existing, invalid = ours(existing), ours(invalid)
	wanted := map[string]bool{}
	for _, x := range want {
		wanted[x.name()] = true
	}
	var changes []indexChange
	for _, name := range existing {
		switch {
		case !wanted[name]:
			changes = append(changes, indexChange{what: "remove index " + name, text: fmt.Sprintf(postgresDropIndex, name)})
		case slices.Contains(invalid, name):
			changes = append(changes, indexChange{what: "remove interrupted index " + name, text: fmt.Sprintf(postgresDropIndex, name)})
		}
	}
	created := false
	for _, x := range want {
		name := x.name()
		if slices.Contains(existing, name) && !slices.Contains(invalid, name) {
			continue
		}
		created = true
		text := fmt.Sprintf(postgresDocumentIndex, name, x.column)
		if x.path != nil {
			text = fmt.Sprintf(postgresCreateIndex, name, method[0], "("+x.postgresExpression()+")")
		}
		changes = append(changes, indexChange{what: "create index on " + x.String(), text: text, undo: fmt.Sprintf(postgresDropIndex, name)})
	}
	if created { // the planner knows nothing about the values of a new expression
		changes = append(changes, indexChange{what: "analyze Messages", text: "ANALYZE Messages"})
	}
	return changes, nil
}

// postgresExpression returns the value at the path as text, in the words that a query uses:
// event_data->'order'->>'total'.
func (x jsonIndex) postgresExpression() string {
	text := x.column
	for i, step := range x.path {
		arrow := "->"
		if i == len(x.path)-1 {
			arrow = "->>"
		}
		if step.name == "" {
			text += arrow + strconv.Itoa(step.element)
		} else {
			text += arrow + quoteText(step.name)
		}
	}
	return text
}

func (*postgres) refusesDefinition(err error) bool {
	var e *pq.Error
	// Syntax or access rule, feature not supported, invalid schema.
	return errors.As(err, &e) && slices.Contains([]string{"42", "0A", "3F"}, string(e.Code.Class()))
}
