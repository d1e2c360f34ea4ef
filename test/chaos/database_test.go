package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// database is the servers' shared database, and the test's own access to it, as an administrator whom no fault affects.
// The servers' account has minimal rights, so that read-only mode and limits apply to it.
type database struct {
	t      *testing.T
	driver string
	server *databases.Server // nil for SQLite
	source string            // as the servers see it without a proxy
	db     *sql.DB
}

func newDatabase(t *testing.T, driver string) *database {
	t.Helper()
	d := &database{t: t, driver: driver}
	switch driver {
	case "sqlite":
		d.source = databases.SQLite(t)
		d.db = d.open(fmt.Sprintf("%s?_pragma=busy_timeout(%d)", d.source, harness.Patience.Milliseconds())) // the servers write all the time
		return d
	case "postgres":
		d.server = databases.Own(t, databases.KindPostgres)
	case "mysql":
		d.server = databases.Own(t, databases.KindMySQL)
	}
	if err := d.server.CreateDatabase("events"); err != nil {
		t.Fatal(err)
	}
	admin := d.server.DSN("events")
	_, at, _ := strings.Cut(admin, "@")
	d.db = d.open(admin)
	d.db.SetMaxOpenConns(adminConns)
	d.db.SetMaxIdleConns(adminConns)
	if driver == "postgres" {
		d.source = "postgres://app:app@" + at + "&statement_timeout=" + fmt.Sprint(statementTimeout.Milliseconds())
		d.exec("CREATE ROLE app LOGIN PASSWORD 'app'")
		d.exec("ALTER DATABASE events OWNER TO app")
		return d
	}
	d.source = "app:app@" + at + "?max_statement_time=" + fmt.Sprint(statementTimeout.Seconds())
	d.exec("CREATE USER app@'%' IDENTIFIED BY 'app'")
	d.exec("GRANT ALL ON events.* TO app@'%'")
	d.exec("CREATE USER other@'%' IDENTIFIED BY 'other'")
	d.exec("GRANT SELECT ON events.* TO other@'%'")
	return d
}

// openDatabase opens a database that servers already use.
func openDatabase(t *testing.T, driver, source string) *database {
	t.Helper()
	d := &database{t: t, driver: driver, source: source}
	d.db = d.open(source)
	return d
}

const (
	// statementTimeout is the database's own limit. It is shorter than -store_timeout, so both limits end statements.
	statementTimeout = 700 * time.Millisecond
	adminConns       = 4
	// adminPatience bounds each statement of the test.
	adminPatience = 20 * time.Second
)

func (d *database) open(source string) *sql.DB {
	d.t.Helper()
	db, err := sql.Open(d.driver, source)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = db.Close() })
	return db
}

// exec executes a statement as administrator.
func (d *database) exec(text string) {
	d.t.Helper()
	if err := d.try(text); err != nil {
		d.t.Fatal(err)
	}
}

func (d *database) try(text string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.t.Context()), adminPatience)
	defer cancel()
	if _, err := d.db.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

// column returns the first column of a query's rows.
func (d *database) column(text string) []string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.t.Context()), adminPatience)
	defer cancel()
	rows, err := d.db.QueryContext(ctx, text)
	if err != nil {
		d.t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var values []string
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			d.t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		d.t.Fatalf("%s: %v", text, err)
	}
	return values
}

// readAll reads the events of an aggregate with SQL. Without an answer, the result is unknown.
func (d *database) readAll(key aggregate) (result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.t.Context()), adminPatience)
	defer cancel()
	rows, err := d.db.QueryContext(ctx, fmt.Sprintf("SELECT event_version, event_id FROM events WHERE channel = '%s' AND aggregate_id = '%s' ORDER BY event_version", key.channel, key.id))
	if err != nil {
		return result{}, nil
	}
	defer rows.Close()
	out := result{kind: all}
	for rows.Next() {
		var version int
		var id string
		if err := rows.Scan(&version, &id); err != nil {
			return result{}, err
		}
		if out.ids = append(out.ids, id); version != len(out.ids) {
			return result{}, fmt.Errorf("event %d of %v has version %d", len(out.ids), key, version)
		}
	}
	if rows.Err() != nil {
		return result{}, nil
	}
	return out, nil
}

// endSessions ends the servers' sessions, as an administrator does.
func (d *database) endSessions() {
	d.t.Helper()
	if d.driver == "postgres" {
		d.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
		return
	}
	for _, id := range d.column("SELECT id FROM information_schema.processlist WHERE user = 'app'") {
		_ = d.try("KILL " + id) // the session may have ended
	}
}

// waiting reports whether a session waits for a lock.
func (d *database) waiting() bool {
	d.t.Helper()
	if d.driver == "postgres" {
		return len(d.column("SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Lock'")) > 0
	}
	return len(d.column("SELECT trx_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")) > 0
}

// rival is a session that locks rows that the servers write.
type rival struct {
	d    *database
	conn *sql.Conn
}

// rival takes locks. It starts over if the database picks it as the victim of a deadlock.
func (d *database) rival(locks ...string) *rival {
	d.t.Helper()
	for end := time.Now().Add(adminPatience); ; {
		r := d.rivalOf("BEGIN")
		var err error
		for _, text := range locks {
			if err = r.try(text); err != nil {
				break
			}
		}
		if err == nil {
			return r
		}
		if r.end("ROLLBACK"); time.Now().After(end) {
			d.t.Fatal(err)
		}
	}
}

func (d *database) rivalOf(begin string) *rival {
	d.t.Helper()
	conn, err := d.db.Conn(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	r := &rival{d, conn}
	r.exec(begin)
	return r
}

func (r *rival) exec(text string) {
	r.d.t.Helper()
	if err := r.try(text); err != nil {
		r.d.t.Fatal(err)
	}
}

func (r *rival) try(text string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.d.t.Context()), adminPatience)
	defer cancel()
	if _, err := r.conn.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

// end ends the transaction with COMMIT or ROLLBACK.
func (r *rival) end(how string) {
	r.d.t.Helper()
	defer r.conn.Close()
	r.exec(how)
}

// awaitWaiting waits until a server waits for the rival's locks. It returns false if none does in time.
func (r *rival) awaitWaiting(patience time.Duration) bool {
	r.d.t.Helper()
	// InnoDB caches the table of lock waits, and does not refresh it when it is read within 100 ms.
	look := time.NewTicker(120 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-look.C {
		if r.d.waiting() {
			return true
		}
	}
	return false
}

// events returns the event_ids of the events that the database holds, by sequence or position.
func (d *database) events(by, where string) map[uint64]string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.t.Context()), adminPatience)
	defer cancel()
	rows, err := d.db.QueryContext(ctx, fmt.Sprintf("SELECT %s, event_id FROM events WHERE %s", by, where))
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	events := map[uint64]string{}
	for rows.Next() {
		var sequence uint64
		var id string
		if err := rows.Scan(&sequence, &id); err != nil {
			d.t.Fatal(err)
		}
		events[sequence] = id
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return events
}

// check verifies all channels: sequences are contiguous from 1, event_ids are unique, and the channel's row matches.
func (d *database) check() {
	d.t.Helper()
	channels := d.column("SELECT name FROM Channels")
	slices.Sort(channels)
	if n := len(channels); n != len(slices.Compact(slices.Clone(channels))) {
		d.t.Errorf("two channels have the same name: %v", channels)
	}
	for _, channel := range channels {
		events := d.events("sequence", "channel = '"+channel+"'")
		ids := map[string]bool{}
		for sequence := range uint64(len(events)) {
			id, found := events[sequence+1]
			if !found {
				d.t.Errorf("channel %s has %d events but no sequence %d", channel, len(events), sequence+1)
				break
			}
			if ids[id] {
				d.t.Errorf("channel %s has event %s twice", channel, id)
			}
			ids[id] = true
		}
		last := d.column(fmt.Sprintf("SELECT maxseq FROM Channels WHERE name = '%s'", channel))
		count := d.column(fmt.Sprintf("SELECT msgs FROM Channels WHERE name = '%s'", channel))
		if want := []string{fmt.Sprint(len(events))}; !slices.Equal(last, want) || !slices.Equal(count, want) {
			d.t.Errorf("channel %s has %d events; its row has maxseq %v, msgs %v", channel, len(events), last, count)
		}
	}
}

// checkMembers waits until the database has exactly one row for each member of a crowd.
func (d *database) checkMembers(crowds []*crowd) {
	d.t.Helper()
	for _, w := range crowds {
		var want, got []string
		for _, p := range w.places {
			want = append(want, p.id)
		}
		for end := time.Now().Add(harness.Patience / 2); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if got = d.members(w.groupName()); slices.Equal(got, want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			d.t.Errorf("%s: the database has the members %v, want %v", w.groupName(), got, want)
		}
	}
}

// members lists the clients stored as members of a durable or a durable queue group, in order.
func (d *database) members(durable string) []string {
	d.t.Helper()
	var clients []string
	for _, row := range d.column("SELECT proto FROM Subscriptions WHERE deleted = FALSE") {
		var state spb.SubState
		if err := state.Unmarshal([]byte(row)); err != nil {
			d.t.Fatal(err)
		}
		if state.DurableName == durable || strings.HasPrefix(state.QGroup, durable+":") {
			clients = append(clients, state.ClientID)
		}
	}
	slices.Sort(clients)
	return clients
}
