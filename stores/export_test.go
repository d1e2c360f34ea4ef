package stores

import (
	"database/sql"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// SessionSetting opens a store and queries a connection of its writer.
func SessionSetting(t *testing.T, o Options, text string) string {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var value string
	if err := s.writer.QueryRowContext(t.Context(), text).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

var placeholder = regexp.MustCompile(`\$\d+`)

// SQLiteStatements are the statements on SQLite, with a number in place of each argument.
func SQLiteStatements(t *testing.T, o Options) (all []string) {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for _, text := range s.text.all() {
		all = append(all, sqlitePlaceholder.ReplaceAllString(text, "7"))
	}
	return all
}

var sqlitePlaceholder = regexp.MustCompile(`\?\d*`)

// PostgresPlans returns the generic plan of each statement, by its text.
func PostgresPlans(t *testing.T, o Options) map[string]string {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn, err := s.writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	plans := map[string]string{}
	for i, text := range s.text.all() {
		if _, err := conn.ExecContext(t.Context(), fmt.Sprintf("PREPARE p%d AS %s", i, text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		numbers := map[string]bool{}
		for _, number := range placeholder.FindAllString(text, -1) {
			numbers[number] = true
		}
		execute := fmt.Sprintf("EXPLAIN EXECUTE p%d", i)
		if len(numbers) > 0 {
			execute += "(" + repeat("NULL", ",", len(numbers)) + ")"
		}
		rows, err := conn.QueryContext(t.Context(), execute)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var plan strings.Builder
		err = each(rows, func(rows *sql.Rows) error {
			var line string
			err := rows.Scan(&line)
			plan.WriteString(line + "\n")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		plans[text] = plan.String()
	}
	return plans
}

// MySQLLookUps are the texts that look up aggregates and events.
var MySQLLookUps = []string{mysqlHead, mysqlEventByID}

// EndTexts are the texts that look up the end of the order and of the chain.
func (s *Store) EndTexts() []string { return []string{s.text.lastPosition, s.text.lastChained} }

// MySQLView returns the view events without columns for paths.
func MySQLView() string { return fmt.Sprintf(mysqlView, "") }

// IsDead reports whether the holder of a lease is certainly dead.
var IsDead = isDead

// LeaseIDOf returns a lease ID of a process that started some ticks after this one, on a host whose hash differs from
// ours in some bits.
func LeaseIDOf(host byte, pid uint32, started int64) string {
	p, _ := self()
	p.host[0] ^= host
	p.pid, p.started = pid, uint64(int64(p.started)+started)
	b := make([]byte, holderBytes)
	p.put(b)
	return holderPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// LimitWAL lowers the sizes at which the store acts on SQLite's log.
func LimitWAL(s *Store, limit, warning int64) {
	wal := &s.dialect.(*sqlite).wal
	wal.limit, wal.warning, wal.pause = limit, warning, 0
}

// QueryText is a text that reads events by position, with arguments.
type QueryText struct {
	Text   string
	Args   []any
	Sorted bool   // the database may sort
	Index  string // the only index that it may use
}

// QueryTexts returns the texts of a database, in both directions, for events of a type, a tag, an aggregate, a channel and
// a user in the metadata.
func QueryTexts(s *Store, typ, tag, aggregate string, channel *Channel, last uint64) (all []QueryText) {
	text := s.text.queryStatements
	for d := range 2 {
		low, high := uint64(1), last
		all = append(all,
			QueryText{text.order[d], []any{low, high, 100}, false, "Idx_MsgsPosition"},
			QueryText{text.events[d], []any{low, high, 100}, false, "Idx_MsgsPosition"},
			QueryText{text.events[d], []any{last / 2, high, 100}, false, "Idx_MsgsPosition"},
			QueryText{text.typePositions[d], []any{typ, low, typ, high, 100}, false, "Idx_MsgsTypePosition"},
			QueryText{text.typePositions[d], []any{typ, last / 2, typ, high, 100}, false, "Idx_MsgsTypePosition"},
			QueryText{text.tagPositions[d], []any{tag, low, high, 100}, false, ""},
			QueryText{text.aggregatePositions[d], []any{aggregate, low, high, 100}, true, "Idx_MsgsAggregate"},
			QueryText{text.channelPositions[d], []any{channel.id, low, high, 100}, true, ""},
		)
		x, _ := s.metadataIndex("user")
		statement, arg := s.dialect.metadataPositions(x, "user", "u-1", direction(d))
		all = append(all, QueryText{statement, []any{arg, low, high, 100}, true, x.name()})
	}
	return append(all, QueryText{text.timeAt, []any{last / 2, last}, false, "Idx_MsgsPosition"})
}
