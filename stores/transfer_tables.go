package stores

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// kind is the type of a column of a copied table, as the databases' drivers take it.
type kind int

const (
	kindNumber kind = iota
	kindText
	kindBytes
)

// copiedTable is a table whose rows are copied as they are. Its texts work on every database, once placeholders are its own.
type copiedTable struct {
	name   string
	read   string // () → its columns, by key
	first  string // () → a row if it has any
	clear  string
	insert string // followed by row for each row
	row    string
	has    string // (the columns of the key) → a row if it is there
	keys   int    // how many columns, from the first one on, are the key
	kinds  []kind
}

// copiedTables are all tables of the schema but Messages, EventTags and Channels, whose rows CopyRows and CopyChannel write; ServerInfo and
// the position of StoreLock, which FinishCopy writes; the lease in StoreLock, which is that of each database; those of keptTables; and
// goose_db_version, which tells of the schema.
var copiedTables = []copiedTable{
	{
		"Clients", "SELECT id, hbinbox, proto FROM Clients ORDER BY id", "SELECT 1 FROM Clients LIMIT 1", "DELETE FROM Clients",
		"INSERT INTO Clients (id, hbinbox, proto) VALUES ", "(?, ?, ?)", "SELECT 1 FROM Clients WHERE id = ?",
		1, []kind{kindText, kindText, kindBytes},
	},
	{
		"Subscriptions", "SELECT id, subid, lastsent, proto, client, name, kind FROM Subscriptions WHERE deleted = FALSE ORDER BY id, subid",
		"SELECT 1 FROM Subscriptions LIMIT 1", "DELETE FROM Subscriptions",
		"INSERT INTO Subscriptions (id, subid, lastsent, proto, client, name, kind) VALUES ", "(?, ?, ?, ?, ?, ?, ?)", "SELECT 1 FROM Subscriptions WHERE id = ? AND subid = ?",
		2, []kind{kindNumber, kindNumber, kindNumber, kindBytes, kindText, kindText, kindText},
	},
	{
		// "row" is a reserved word, and each database quotes it differently. An INSERT without columns takes all, in the order of the baseline.
		"SubsPending", "SELECT subid, p.row, seq, lastsent, pending, acks FROM SubsPending AS p ORDER BY subid, p.row", "SELECT 1 FROM SubsPending LIMIT 1", "DELETE FROM SubsPending",
		"INSERT INTO SubsPending VALUES ", "(?, ?, ?, ?, ?, ?)", "SELECT 1 FROM SubsPending AS p WHERE subid = ? AND p.row = ?",
		2, []kind{kindNumber, kindNumber, kindNumber, kindNumber, kindBytes, kindBytes},
	},
	{
		"Consumers", "SELECT consumer, id, lastsent, members FROM Consumers ORDER BY consumer", "SELECT 1 FROM Consumers LIMIT 1", "DELETE FROM Consumers",
		"INSERT INTO Consumers (consumer, id, lastsent, members) VALUES ", "(?, ?, ?, ?)", "SELECT 1 FROM Consumers WHERE consumer = ?",
		1, []kind{kindNumber, kindNumber, kindNumber, kindText},
	},
	{
		"ConsumersPending", "SELECT consumer, part, pending FROM ConsumersPending ORDER BY consumer, part", "SELECT 1 FROM ConsumersPending LIMIT 1", "DELETE FROM ConsumersPending",
		"INSERT INTO ConsumersPending (consumer, part, pending) VALUES ", "(?, ?, ?)", "SELECT 1 FROM ConsumersPending WHERE consumer = ? AND part = ?",
		2, []kind{kindNumber, kindNumber, kindText},
	},
	{
		"ConsumersRedelivered", "SELECT consumer, part, counts FROM ConsumersRedelivered ORDER BY consumer, part", "SELECT 1 FROM ConsumersRedelivered LIMIT 1", "DELETE FROM ConsumersRedelivered",
		"INSERT INTO ConsumersRedelivered (consumer, part, counts) VALUES ", "(?, ?, ?)", "SELECT 1 FROM ConsumersRedelivered WHERE consumer = ? AND part = ?",
		2, []kind{kindNumber, kindNumber, kindText},
	},
	{
		"Wildcards", "SELECT consumer, pattern FROM Wildcards ORDER BY consumer", "SELECT 1 FROM Wildcards LIMIT 1", "DELETE FROM Wildcards",
		"INSERT INTO Wildcards (consumer, pattern) VALUES ", "(?, ?)", "SELECT 1 FROM Wildcards WHERE consumer = ?",
		1, []kind{kindNumber, kindText},
	},
	{
		"NamedConsumers", "SELECT consumer, channel, client, name, settings FROM NamedConsumers ORDER BY consumer", "SELECT 1 FROM NamedConsumers LIMIT 1", "DELETE FROM NamedConsumers",
		"INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES ", "(?, ?, ?, ?, ?)", "SELECT 1 FROM NamedConsumers WHERE consumer = ?",
		1, []kind{kindNumber, kindText, kindText, kindText, kindText},
	},
	{
		"Parked", "SELECT consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason FROM Parked ORDER BY consumer, seq", "SELECT 1 FROM Parked LIMIT 1", "DELETE FROM Parked",
		"INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason) VALUES ", "(?, ?, ?, ?, ?, ?, ?)", "SELECT 1 FROM Parked WHERE consumer = ? AND seq = ?",
		2, []kind{kindNumber, kindNumber, kindNumber, kindNumber, kindNumber, kindText, kindText},
	},
	{
		"CancelledDeliveries", "SELECT id, seq FROM CancelledDeliveries ORDER BY id, seq", "SELECT 1 FROM CancelledDeliveries LIMIT 1", "DELETE FROM CancelledDeliveries",
		"INSERT INTO CancelledDeliveries (id, seq) VALUES ", "(?, ?)", "SELECT 1 FROM CancelledDeliveries WHERE id = ? AND seq = ?",
		2, []kind{kindNumber, kindNumber},
	},
	{
		"Relays", "SELECT stream, position FROM Relays ORDER BY stream", "SELECT 1 FROM Relays LIMIT 1", "DELETE FROM Relays",
		"INSERT INTO Relays (stream, position) VALUES ", "(?, ?)", "SELECT 1 FROM Relays WHERE stream = ?",
		1, []kind{kindText, kindBytes},
	},
	{
		"ErasedMessages", "SELECT erasure, id, seq, position, size, data FROM ErasedMessages ORDER BY erasure, id, seq", "SELECT 1 FROM ErasedMessages LIMIT 1", "DELETE FROM ErasedMessages",
		"INSERT INTO ErasedMessages (erasure, id, seq, position, size, data) VALUES ", "(?, ?, ?, ?, ?, ?)", "SELECT 1 FROM ErasedMessages WHERE erasure = ? AND id = ? AND seq = ?",
		3, []kind{kindNumber, kindNumber, kindNumber, kindNumber, kindNumber, kindBytes},
	},
	{
		"TimeSteps", "SELECT position FROM TimeSteps ORDER BY position", "SELECT 1 FROM TimeSteps LIMIT 1", "DELETE FROM TimeSteps",
		"INSERT INTO TimeSteps (position) VALUES ", "(?)", "SELECT 1 FROM TimeSteps WHERE position = ?",
		1, []kind{kindNumber},
	},
}

// keptTables are those whose rows nobody can delete: what an interrupted copy left is part of this one.
var keptTables = []copiedTable{{
	name: "AuditEntries", read: "SELECT id, time, principal, address, action, target, detail FROM AuditEntries ORDER BY id",
	insert: "INSERT INTO AuditEntries (id, time, principal, address, action, target, detail) VALUES ", row: "(?, ?, ?, ?, ?, ?, ?)",
	has: "SELECT 1 FROM AuditEntries WHERE id = ?", keys: 1,
	kinds: []kind{kindNumber, kindNumber, kindText, kindText, kindText, kindText, kindText},
}, {
	name: "ChainHeads", read: "SELECT position, hash, time, cluster_id, public_key, signature FROM ChainHeads ORDER BY position",
	insert: "INSERT INTO ChainHeads (position, hash, time, cluster_id, public_key, signature) VALUES ", row: "(?, ?, ?, ?, ?, ?)",
	has: "SELECT 1 FROM ChainHeads WHERE position = ?", keys: 1,
	kinds: []kind{kindNumber, kindBytes, kindNumber, kindText, kindBytes, kindBytes},
}, {
	name: "Appenders", read: "SELECT id, principal, client_id, address FROM Appenders ORDER BY id",
	insert: "INSERT INTO Appenders (id, principal, client_id, address) VALUES ", row: "(?, ?, ?, ?)",
	has: "SELECT 1 FROM Appenders WHERE id = ?", keys: 1,
	kinds: []kind{kindNumber, kindText, kindText, kindText},
}, {
	name: "Erasures", read: "SELECT id, requested, principal, reason, selector, state, events, copies, erased FROM Erasures ORDER BY id",
	insert: "INSERT INTO Erasures (id, requested, principal, reason, selector, state, events, copies, erased) VALUES ", row: "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
	has: "SELECT 1 FROM Erasures WHERE id = ?", keys: 1,
	kinds: []kind{kindNumber, kindNumber, kindText, kindText, kindText, kindText, kindNumber, kindNumber, kindNumber},
}}

// copiedChunk is how many rows one transaction writes.
const copiedChunk = 200

// CopyTables replaces the rows of all other tables than those of the events by those of a snapshot. It retries writes until ctx ends; an
// interrupted call can be repeated. counted is told of each table's rows.
func (s *Store) CopyTables(ctx context.Context, from *Snapshot, counted func(table string, rows int)) error {
	for i := range copiedTables {
		if err := s.clearTable(ctx, &copiedTables[i]); err != nil {
			return fmt.Errorf("clear table %s: %w", copiedTables[i].name, err)
		}
	}
	for _, table := range slices.Concat(copiedTables, keptTables) {
		n, err := s.copyTable(ctx, &table, from)
		if err != nil {
			return fmt.Errorf("copy table %s: %w", table.name, err)
		}
		counted(table.name, n)
	}
	return nil
}

// clearTable deletes the rows that an interrupted copy has left.
func (s *Store) clearTable(ctx context.Context, table *copiedTable) error {
	filled := false
	err := s.own.query(ctx, table.first, func(*sql.Rows) error {
		filled = true
		return nil
	})
	if err != nil || !filled {
		return err
	}
	return s.write(ctx, func(t *transaction) error {
		_, err := t.exec(ctx, table.clear)
		return err
	})
}

// copyTable copies the rows of a table, a chunk in each transaction, and returns their number. Rows that are there already are the same.
func (s *Store) copyTable(ctx context.Context, table *copiedTable, from *Snapshot) (total int, err error) {
	chunk := make([]any, 0, copiedChunk*len(table.kinds))
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		total += len(chunk) / len(table.kinds)
		err := s.copyChunk(ctx, table, chunk)
		chunk = chunk[:0]
		return err
	}
	err = from.Query(ctx, table.read, func(rows *sql.Rows) error {
		values, err := scanKinds(rows, table.kinds)
		if err != nil {
			return err
		}
		if chunk = append(chunk, values...); len(chunk) == cap(chunk) {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	return total, err
}

func (s *Store) copyChunk(ctx context.Context, table *copiedTable, values []any) error {
	n := len(table.kinds)
	return s.write(ctx, func(t *transaction) error {
		missing := make([]any, 0, len(values))
		for i := 0; i < len(values); i += n {
			if i > 0 && table.clear != "" { // the table was empty: an attempt with an unknown outcome stored all of the chunk, or nothing
				missing = values
				break
			}
			there := false
			err := t.query(ctx, s.placed(table.has), func(*sql.Rows) error {
				there = true
				return nil
			}, values[i:i+table.keys]...)
			if err != nil {
				return err
			}
			switch {
			case !there:
				missing = append(missing, values[i:i+n]...)
			case table.clear != "":
				return nil
			}
		}
		if len(missing) == 0 {
			return nil
		}
		_, err := t.exec(ctx, s.placed(table.insert+repeat(table.row, ", ", len(missing)/n)), missing...)
		return err
	})
}

// placed returns a text with the placeholders of the database.
func (s *Store) placed(text string) string {
	if s.options.Driver == "postgres" {
		return numbered(text)
	}
	return text
}

// scanKinds scans a row whose columns have kinds.
func scanKinds(rows *sql.Rows, kinds []kind) ([]any, error) {
	targets, values := make([]any, len(kinds)), make([]any, len(kinds))
	for i, k := range kinds {
		switch k {
		case kindNumber:
			targets[i] = new(sql.NullInt64)
		case kindText:
			targets[i] = new(sql.NullString)
		case kindBytes:
			targets[i] = new([]byte)
		}
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	for i, target := range targets {
		switch v := target.(type) {
		case *sql.NullInt64:
			if v.Valid {
				values[i] = v.Int64
			}
		case *sql.NullString:
			if v.Valid {
				values[i] = v.String
			}
		case *[]byte:
			values[i] = nullBytes(*v)
		}
	}
	return values, nil
}
