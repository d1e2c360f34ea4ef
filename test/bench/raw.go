package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/stan.go/pb"
	"google.golang.org/protobuf/encoding/protowire"
	_ "modernc.org/sqlite" // driver "sqlite"
)

const (
	rawTable  = "raw_messages"
	rawBatch  = 500
	rawSelect = 1000
)

var rawColumns = []string{"id", "seq", "timestamp", "size", "data", "event_id", "aggregate_type", "aggregate_id",
	"event_type", "event_version", "event_data", "metadata"}

// rawTables is a workload of plain SQL on one connection: what a server can reach at best, on a copy of our table with
// its indexes.
type rawTables struct {
	options
	name string
	db   *sql.DB
	last map[int]int64 // sequence by size of events, each of which has its channel
}

// startRaw copies the table that our server made.
func (s *setup) startRaw(ctx context.Context, name string) (peer, error) {
	if _, err := s.peer(ctx, peerID{ours, name}); err != nil {
		return nil, err
	}
	r := &rawTables{options: s.options, name: name, last: map[int]int64{}}
	source := s.sqliteSource("raw.db")
	if name != "sqlite" {
		source = s.servers[name].DSN(databaseName(ours))
	}
	var err error
	if r.db, err = open(name, source); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, r.db.Close)
	r.db.SetMaxOpenConns(1)
	switch name {
	case "postgres":
		_, err = r.db.ExecContext(ctx, "CREATE TABLE "+rawTable+" (LIKE Messages INCLUDING ALL)")
	case "mysql":
		_, err = r.db.ExecContext(ctx, "CREATE TABLE "+rawTable+" LIKE Messages")
	default:
		err = s.copySQLite(ctx, r.db)
	}
	return r, err
}

// sqliteSource opens a file as durable as our server does.
func (s *setup) sqliteSource(file string) string {
	return "file:" + filepath.Join(s.dir, file) + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)"
}

func (s *setup) copySQLite(ctx context.Context, to *sql.DB) error {
	files, err := filepath.Glob(filepath.Join(s.dir, "sqlite-"+ours, "*.db"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("our server's database file: found %q", files)
	}
	from, err := open("sqlite", "file:"+files[0]+"?mode=ro")
	if err != nil {
		return err
	}
	defer from.Close()
	rows, err := from.QueryContext(ctx, `SELECT sql FROM sqlite_master
		WHERE lower(tbl_name) = 'messages' AND type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var statement string
		if err := rows.Scan(&statement); err != nil {
			return err
		}
		if _, err := to.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	_, err = to.ExecContext(ctx, "ALTER TABLE Messages RENAME TO "+rawTable)
	return err
}

func (r *rawTables) run(ctx context.Context, l load, size int) (float64, error) {
	switch l.kind {
	case publishAsync:
		return r.insert(ctx, rawBatch, size)
	case publishSync:
		return r.insert(ctx, 1, size)
	}
	return r.selectAll(ctx, size)
}

// insert commits batches, each one statement that was prepared before, until a limit is reached.
func (r *rawTables) insert(ctx context.Context, batch, size int) (float64, error) {
	stmt, err := r.db.PrepareContext(ctx, "INSERT INTO "+rawTable+" ("+strings.Join(rawColumns, ", ")+") VALUES "+placeholders(r.name, len(rawColumns), batch))
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	args := make([]any, 0, batch*len(rawColumns))
	n, most := 0, min(r.n, maxBytes/size)
	start := time.Now()
	for n < most && time.Since(start) < r.limit {
		args = args[:0]
		for range batch {
			r.last[size]++
			if args, err = appendRow(args, size, r.last[size], size, channelOf(size)); err != nil {
				return 0, err
			}
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return 0, err
		}
		n += batch
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// latencies commits one row after the other, and returns how long each took, sorted.
func (r *rawTables) latencies(ctx context.Context) ([]time.Duration, error) {
	stmt, err := r.db.PrepareContext(ctx, "INSERT INTO "+rawTable+" ("+strings.Join(rawColumns, ", ")+") VALUES "+placeholders(r.name, len(rawColumns), 1))
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	var took []time.Duration
	for start := time.Now(); time.Since(start) < r.limit; {
		r.last[eventBytes]++
		row, err := appendRow(nil, eventBytes, r.last[eventBytes], eventBytes, channelOf(eventBytes))
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if _, err := stmt.ExecContext(ctx, row...); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took, nil
}

// appendRow appends the columns of a new message in a channel, as our server stores it.
func appendRow(args []any, id int, seq int64, size int, channel string) ([]any, error) {
	t := templateOf(size)
	payload := t.next(nil)
	event, aggregate := t.ids(payload)
	version := events.Load()%eventsPerAggregate + 1
	payload = protowire.AppendVarint(protowire.AppendTag(payload, versionField, protowire.VarintType), uint64(version))
	m := pb.MsgProto{Sequence: uint64(seq), Subject: channel, Data: payload, Timestamp: time.Now().UnixNano()}
	data, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	return append(args, id, seq, m.Timestamp, len(data), data, event, t.event.AggregateType, aggregate,
		t.event.EventType, version, string(t.event.EventData), nil), nil
}

// versionField is the number of event_version, which our server appends to an event.
const versionField = 7

// placeholders are those of rows, numbered where the database wants it.
func placeholders(database string, columns, rows int) string {
	var b strings.Builder
	n := 0
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		for j := range columns {
			b.WriteString(map[bool]string{true: "(", false: ","}[j == 0])
			n++
			if database == "postgres" {
				fmt.Fprintf(&b, "$%d", n)
			} else {
				b.WriteByte('?')
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}

// selectAll reads pages of messages by key, from the first message on.
func (r *rawTables) selectAll(ctx context.Context, size int) (float64, error) {
	query := "SELECT seq, data FROM " + rawTable + " WHERE id = ? AND seq >= ? ORDER BY seq LIMIT ?"
	if r.name == "postgres" {
		query = "SELECT seq, data FROM " + rawTable + " WHERE id = $1 AND seq >= $2 ORDER BY seq LIMIT $3"
	}
	stmt, err := r.db.PrepareContext(ctx, query)
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	n, next := 0, int64(1)
	start := time.Now()
	for n < r.n && time.Since(start) < r.limit {
		read, err := page(ctx, stmt, size, &next)
		if err != nil {
			return 0, err
		}
		if read == 0 {
			break
		}
		n += read
	}
	if n == 0 {
		return 0, errors.New("no rows")
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// page reads one page of messages and moves next behind it.
func page(ctx context.Context, stmt *sql.Stmt, id int, next *int64) (int, error) {
	rows, err := stmt.QueryContext(ctx, id, *next, rawSelect)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var seq int64
		var data []byte
		if err := rows.Scan(&seq, &data); err != nil {
			return 0, err
		}
		n, *next = n+1, seq+1
	}
	return n, rows.Err()
}
