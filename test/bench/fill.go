package main

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// fillRows is how many rows of events one statement inserts where there is no faster way.
const fillRows = 500

// A filler is what differs between the databases.
type filler struct {
	before, after []string // statements
	// indexes asks for pairs of statements: one drops an index of Messages, one makes it again. Building an index from
	// all rows is faster than adding row after row. SQLite's triggers, too: without indexes, they would read all rows.
	indexes string
}

var fillers = map[string]filler{
	"sqlite": {
		before: []string{"PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -500000"},
		after:  []string{"PRAGMA journal_mode = WAL"},
		indexes: `SELECT 'DROP ' || type || ' ' || name, sql FROM sqlite_master
			WHERE lower(tbl_name) IN ('messages', 'channels') AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type`,
	},
	"postgres": {
		before: []string{"SET synchronous_commit = off", "SET maintenance_work_mem = '512MB'"},
		after:  []string{"VACUUM ANALYZE Messages", "CHECKPOINT"},
		indexes: `SELECT 'DROP INDEX ' || indexname, indexdef FROM pg_indexes
			WHERE tablename = 'messages' AND indexname <> 'pk_msgkey'`,
	},
	"mysql": {
		before: []string{"SET unique_checks = 0", "SET autocommit = 0", "SET GLOBAL innodb_flush_log_at_trx_commit = 0"},
		after:  []string{"COMMIT", "SET GLOBAL innodb_flush_log_at_trx_commit = 1", "ANALYZE TABLE Messages"},
		// In one statement, which reads the table once.
		indexes: `SELECT CONCAT('ALTER TABLE Messages ', GROUP_CONCAT(gone SEPARATOR ', ')),
				CONCAT('ALTER TABLE Messages ', GROUP_CONCAT(made SEPARATOR ', '))
			FROM (SELECT CONCAT('DROP INDEX ', index_name) AS gone,
					CONCAT('ADD ', IF(MIN(non_unique) = 0, 'UNIQUE ', ''), 'INDEX ', index_name,
						' (', GROUP_CONCAT(column_name ORDER BY seq_in_index), ')') AS made
				FROM information_schema.statistics
				WHERE table_schema = DATABASE() AND table_name = 'Messages' AND index_name <> 'PRIMARY' GROUP BY index_name) AS i`,
	},
}

// A filling is what a database is filled with: events in equal parts in channels, as our server would have stored them.
type filling struct {
	count int // of all events; each of the channels has a multiple of fillRows
	// row appends the values of rawColumns.
	row func(args []any, channel int, sequence, position int64) ([]any, error)
	// tag returns the tag of the event at a position, "" if it has none; nil if no event has one.
	tag func(position int64) string
}

// filledColumns are those of a row that fill inserts.
var filledColumns = append(slices.Clip(rawColumns), "position", "tags", "chain")

// fill makes the rows.
func (f filling) fill(ctx context.Context, kind, source string) error {
	db, err := open(kind, source)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx) // settings are of a connection
	if err != nil {
		return err
	}
	defer conn.Close()
	how := fillers[kind]
	execute := func(statements []string) error {
		for _, statement := range statements {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	}
	drop, create, err := pairs(ctx, conn, how.indexes)
	if err != nil {
		return err
	}
	if err := execute(append(how.before, drop...)); err != nil {
		return err
	}
	if err := f.fillChannels(ctx, conn, kind); err != nil {
		return err
	}
	given := fmt.Sprintf("UPDATE StoreLock SET position = %d", f.count)
	return execute(append(append(create, given), how.after...))
}

func pairs(ctx context.Context, conn *sql.Conn, query string) (first, second []string, err error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			return nil, nil, err
		}
		first, second = append(first, a), append(second, b)
	}
	return first, second, rows.Err()
}

// fillChannels makes the channels, one after the other, each in a transaction.
func (f filling) fillChannels(ctx context.Context, conn *sql.Conn, kind string) error {
	events := f.count / scaleChannels
	var of chain
	for id := 1; id <= scaleChannels; id++ {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		bytes, err := f.fillChannel(ctx, tx, kind, id, events, &of)
		if err == nil {
			_, err = tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO Channels (id, name, maxseq, msgs, bytes) VALUES (%d, '%s', %d, %d, %d)",
				id, scaleChannel(id), events, events, bytes))
		}
		if err == nil {
			err = f.fillTags(ctx, tx, int64(id-1)*int64(events), events)
		}
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			_ = tx.Rollback() // the error is on its way
			return fmt.Errorf("channel %d: %w", id, err)
		}
		if id%(scaleChannels/10) == 0 && events >= 1000 {
			progress("%d of %d channels", id, scaleChannels)
		}
	}
	return nil
}

// fillChannel inserts the events of a channel and returns the size of their messages.
func (f filling) fillChannel(ctx context.Context, tx *sql.Tx, kind string, id, events int, of *chain) (bytes int64, err error) {
	rows := min(fillRows, events)
	text := "INSERT INTO Messages (" + strings.Join(filledColumns, ", ") + ") VALUES " + placeholders(kind, len(filledColumns), rows)
	if kind == "postgres" {
		text, rows = "COPY Messages ("+strings.Join(filledColumns, ", ")+") FROM STDIN", 1 // with lib/pq
	}
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	args := make([]any, 0, rows*len(filledColumns))
	for seq := 1; seq <= events; {
		args = args[:0]
		for range rows { // events is a multiple of rows
			position := int64((id-1)*events + seq)
			if args, err = f.row(args, id, int64(seq), position); err != nil {
				return 0, err
			}
			row := args[len(args)-len(rawColumns):]
			bytes += int64(row[3].(int))
			var tags any
			if tag := f.tagAt(position); tag != "" {
				tags = fmt.Sprintf("[%q]", tag)
			}
			args = append(args, position, tags, of.next(chained{
				position: position, sequence: row[1].(int64), timestamp: row[2].(int64), data: row[4].([]byte), channel: scaleChannel(id),
				id: row[5].(string), aggregateType: row[6].(string), aggregate: row[7].(string), typ: row[8].(string), version: row[9].(int64),
			}))
			seq++
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return 0, err
		}
	}
	if kind == "postgres" {
		_, err = stmt.ExecContext(ctx) // ends the COPY
	}
	return bytes, err
}

func (f filling) tagAt(position int64) string {
	if f.tag == nil {
		return ""
	}
	return f.tag(position)
}

// fillTags stores the tags of a number of events after a position.
func (f filling) fillTags(ctx context.Context, tx *sql.Tx, after int64, events int) error {
	for position := after + 1; position <= after+int64(events); position++ {
		if tag := f.tagAt(position); tag != "" {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO EventTags (tag, position) VALUES ('%s', %d)", tag, position)); err != nil {
				return err
			}
		}
	}
	return nil
}
