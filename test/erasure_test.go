package test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/streaming"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// customer is the condition that the page shows.
const customer = "aggregate_id = 'customer-17'"

// erase runs the statements of docs/operate/erasure.md with a condition. It returns the list of erased events that the page says to
// keep.
func erase(t *testing.T, blocks []*page.Block, driver, source, condition string) (list string) {
	t.Helper()
	statements := func(name string, conditions int) string {
		text := page.Find(t, blocks, "sql", name).Text()
		if strings.Count(text, customer) != conditions {
			t.Fatalf("the condition is not there %d times:\n%s", conditions, text)
		}
		return strings.ReplaceAll(text, customer, condition)
	}
	list = filepath.Join(t.TempDir(), "erased.txt")
	rows := query(t, driver, source, statements("list", 1))
	if err := os.WriteFile(list, []byte("# by order of the court\n"+strings.Join(rows, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if driver == "mysql" {
		source += "?multiStatements=true"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), statements(driver, 4)); err != nil {
		t.Fatal(err)
	}
	return list
}

// eachFound reports whether each of the wanted findings, part of a key and part of a text, is of the kind and among those found.
func eachFound(found []finding, kind string, want []string) bool {
	for _, w := range want {
		key, text, _ := strings.Cut(w, "|")
		if !slices.ContainsFunc(found, func(f finding) bool {
			return f.Kind == kind && strings.HasSuffix(f.Key, key) && strings.Contains(f.Text, text)
		}) {
			return false
		}
	}
	return true
}

// TestErasure runs the statements of docs/operate/erasure.md and checks what the page says about the result.
func TestErasure(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/erasure.md")
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("before")
		publish(t, sc, orders,
			event(t, "keep", "First"),
			event(t, "customer-17", "Named", withID("named"), withData(`{"name":"Jane"}`), withTags("name:Jane")),
			event(t, "keep", "Second", withTags("kept")),
			event(t, "customer-17", "Moved", withData(`{"to":"Jane's house"}`)),
			event(t, "keep", "Third", withID("third")),
		)
		publish(t, sc, "eventstore.customers", event(t, "keep", "First"), event(t, "customer-17", "Named"))
		s.Stop()
		// Parked messages do not hold it up.
		for _, text := range []string{
			"INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES (900, 'eventstore.orders', '', 'workers', '{}')",
			"INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason) VALUES (900, 1, 1, 1, 1, 'keep', ''), (900, 2, 1, 1, 1, 'customer-17', ''), (900, 4, 1, 1, 1, '', 'customer-17 moved'), (900, 5, 1, 1, 1, '', '')",
		} {
			query(t, driver, source, text)
		}
		has(t, strings.Join(query(t, driver, source, "SELECT aggregate_id, sequence FROM parked_messages ORDER BY sequence"), " "), "keep|1 customer-17|2 customer-17|4 keep|5")

		list := erase(t, blocks, driver, source, customer)
		query(t, driver, source, page.Find(t, blocks, "sql", "parked").Text())
		if got := query(t, driver, source, "SELECT sequence, aggregate_id FROM parked_messages ORDER BY sequence"); !slices.Equal(got, []string{"1|keep", "5|keep"}) {
			t.Errorf("parked messages %q", got)
		}
		if driver == "sqlite" {
			file, err := os.ReadFile(source)
			if err != nil || strings.Contains(string(file), "Jane") {
				t.Errorf("the file still contains erased data (%v)", err)
			}
		}
		counted := query(t, driver, source, "SELECT name, msgs, bytes = (SELECT SUM(size) FROM Messages WHERE Messages.id = Channels.id), maxseq FROM Channels ORDER BY name")
		for i, line := range counted {
			counted[i] = strings.Replace(line, "|true|", "|1|", 1)
		}
		if want := []string{"eventstore.customers|1|1|2", orders + "|3|1|5"}; !slices.Equal(counted, want) {
			t.Errorf("counters %q, want %q", counted, want)
		}
		if got := query(t, driver, source, "SELECT tag FROM EventTags"); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("tags %q", got)
		}
		// Events are immutable again.
		for _, text := range []string{"DELETE FROM Messages", "UPDATE Messages SET data = NULL", "DELETE FROM EventTags"} {
			if _, err := tryQuery(driver, source, text); err == nil || !strings.Contains(err.Error(), "events are immutable") {
				t.Errorf("%s: error %v", text, err)
			}
		}

		// Verify names the gaps, and accepts those of the list.
		gaps := []string{"sequence 2|the messages from here to sequence 2 are missing", "sequence 4|the messages from here to sequence 4 are missing",
			"sequence 2|the messages from here to sequence 2, the last one assigned, are missing"}
		if r, status := verify(t, driver, source); status != 1 || r.Counts["gap"] != 3 || len(r.Findings) != 3 || !eachFound(r.Findings, "gap", gaps) {
			t.Errorf("verify: %d, %+v", status, r)
		}
		if r, status := verify(t, driver, source, "-erased", list); status != 0 || !r.Clean || r.Erased != 3 {
			t.Errorf("verify -erased: %d, %+v", status, r)
		}
		// The command and the list that the page shows.
		g := &walk{t: t, dir: t.TempDir()}
		g.install()
		g.write("server.conf", fmt.Sprintf("streaming { store: sql, sql { driver: %s, source: %q } }", driver, source))
		g.write("erased.txt", page.Find(t, blocks, "text", "").Text())
		has(t, g.shell(page.Find(t, blocks, "sh", "").Text()), "No faults found.")

		s.Restart()
		sc = s.connect("after")
		// Sequences are not reused, an event_id is, and versions start at 1 again.
		publish(t, sc, "eventstore.customers", event(t, "keep", "Second", withVersion(2)))
		publish(t, sc, orders,
			event(t, "keep", "Third", withID("third")), // stored already
			event(t, "keep", "Fourth", withVersion(4)),
			event(t, "customer-17", "Named", withID("named"), withVersion(1), withData(`{"name":"Jane"}`)))
		for channel, want := range map[string][]uint64{orders: {1, 3, 5, 6, 7}, "eventstore.customers": {1, 3}} {
			_, in := subscribe(t, sc, channel, stan.DeliverAllAvailable(), stan.MaxInflight(1))
			var got []uint64
			for range want {
				m := in.next(t)
				got = append(got, m.Sequence)
				var ev eventstorev1.Event
				if err := proto.Unmarshal(m.Data, &ev); err != nil || m.Sequence < 6 && ev.AggregateId != "keep" {
					t.Errorf("message %d of %s has aggregate %s (%v)", m.Sequence, channel, ev.AggregateId, err)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s delivers %v, want %v", channel, got, want)
			}
			// A start position in a gap finds the next event.
			if channel == orders {
				_, hole := subscribe(t, sc, channel, stan.StartAtSequence(2))
				if m := hole.next(t); m.Sequence != 3 {
					t.Errorf("start at an erased sequence: received %d", m.Sequence)
				}
			}
		}
		harness.Verify(t, driver, source, "-erased", list)
	})
}

// TestErasedVersions: versions that erased events had are accepted, others are not, and a message that comes back is a finding. A
// channel whose events all went is reported.
func TestErasedVersions(t *testing.T) {
	t.Parallel()
	blocks := page.Open(t, "docs/operate/erasure.md")
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		publish(t, sc, orders, event(t, "A", "First"), event(t, "A", "Second"), event(t, "B", "First"), event(t, "A", "Third"), event(t, "B", "Second"))
		publish(t, sc, "eventstore.gone", event(t, "C", "Gone"), event(t, "C", "Gone"))
		s.Stop()
		list := erase(t, blocks, driver, source, "event_type = 'Second' AND aggregate_id = 'A'")
		if r, status := verify(t, driver, source); status != 1 || r.Counts["versions"] != 1 || r.Counts["gap"] != 1 || len(r.Findings) != 2 {
			t.Errorf("verify: %d, %+v", status, r)
		}
		harness.Verify(t, driver, source, "-erased", list)

		gone := erase(t, blocks, driver, source, "event_type = 'Gone'")
		r, status := verify(t, driver, source, "-erased", list)
		if want := []string{"sequence 1|the messages from here to sequence 2, the last one assigned, are missing"}; status != 1 || len(r.Findings) != 1 || !eachFound(r.Findings, "gap", want) {
			t.Errorf("without events: %d, %+v", status, r)
		}
		harness.Verify(t, driver, source, "-erased", concatenated(t, list, gone))

		// One more event is lost: the list does not hide that.
		erase(t, blocks, driver, source, "event_type = 'First' AND aggregate_id = 'B'")
		r, status = verify(t, driver, source, "-erased", concatenated(t, list, gone))
		if status != 1 || len(r.Findings) != 1 || !eachFound(r.Findings, "gap", []string{"sequence 3|to sequence 3 are missing"}) {
			t.Errorf("another event: %d, %+v", status, r)
		}
		back := filepath.Join(t.TempDir(), "erased.txt")
		if err := os.WriteFile(back, []byte("1 "+orders+"\n2-3|"+orders+"\n1-2\teventstore.gone\n9 eventstore.unknown\n9 eventstore.gone"), 0o600); err != nil {
			t.Fatal(err)
		}
		r, status = verify(t, driver, source, "-erased", back)
		if status != 1 || len(r.Findings) != 1 || !eachFound(r.Findings, "erased", []string{"sequence 1|it is there"}) {
			t.Errorf("a message that is there: %d, %+v", status, r)
		}
		if !eachFound(r.Notes, "erased", []string{`name "eventstore.unknown"|no such channel`, `name "eventstore.gone"|names sequence 9, but the last one was 2`}) {
			t.Errorf("what never was: %+v", r.Notes)
		}
		if err := os.WriteFile(back, []byte("orders 1"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(harness.Binary(), "verify", "-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-erased", back).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "line 1") {
			t.Errorf("a line that is wrong: %v, %s", err, out)
		}
	})
}

func concatenated(t *testing.T, files ...string) string {
	t.Helper()
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, text...), '\n')
	}
	file := filepath.Join(t.TempDir(), "all.txt")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestErasedReaders: no reader of the Go library stops at the hole of erased events.
func TestErasedReaders(t *testing.T) {
	t.Parallel()
	blocks := page.Open(t, "docs/operate/erasure.md")
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-wildcards", "-grpc_host", "127.0.0.1", "-grpc_port", "-1")
		publish(t, s.connect("before"), orders,
			event(t, "customer-17", "Named"), event(t, "keep", "First"), event(t, "customer-17", "Moved"), event(t, "customer-17", "Moved"),
			event(t, "keep", "Second"), event(t, "keep", "Third"), event(t, "customer-17", "Left"))
		held := []stan.SubscriptionOption{stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(patience)}
		holder := s.connect("holder")
		_, all := subscribe(t, holder, "eventstore.*", held...)
		all.sequences(t, 7)
		if err := holder.Close(); err != nil {
			t.Fatal(err)
		}
		api := func() *eventstore.Client {
			client, err := eventstore.New(eventstore.Options{URLs: []string{apiLine.FindStringSubmatch(s.Log.String())[1]}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			return client
		}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "view.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		// Readers that have handled everything: the last event, which is erased, and those before.
		sources := func() map[string]eventstore.Source {
			return map[string]eventstore.Source{
				"by sequence": api().Source(orders, eventstore.Filter{}), "by position": api().SourceAll(eventstore.AllOf(eventstore.QueryItem{Channels: []string{orders}})),
				"filtered": api().Source(orders, eventstore.Filter{EventTypes: []string{"Moved", "Fourth"}}),
			}
		}
		catchUp := func(name string, source eventstore.Source) (applied []uint64) {
			t.Helper()
			ctx, stop := context.WithCancel(t.Context())
			p := &eventstore.Projector{Name: name, DB: db, Dialect: eventstore.SQLite, Source: source, CaughtUp: stop,
				Apply: func(_ context.Context, _ *sql.Tx, e *eventstore.Event) error {
					applied = append(applied, e.Sequence)
					return nil
				}}
			if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			return applied
		}
		for name, source := range sources() {
			if applied := catchUp(name, source); len(applied) != 7 && name != "filtered" {
				t.Errorf("%s: applied %v", name, applied)
			}
		}
		s.Stop()
		erase(t, blocks, driver, source, customer)
		s.Restart()
		for name, source := range sources() {
			if applied := catchUp(name, source); len(applied) > 0 {
				t.Errorf("%s, at an end that is erased: applied %v", name, applied)
			}
		}
		sc := s.connect("after")
		publish(t, sc, orders, event(t, "keep", "Fourth"))
		for name, source := range sources() {
			if applied := catchUp(name, source); !slices.Equal(applied, []uint64{8}) {
				t.Errorf("%s, after the end: applied %v", name, applied)
			}
		}
		client := api()
		want := []uint64{2, 5, 6, 8}
		collect := func(got *[]uint64) func(*eventstore.Event) error {
			return func(e *eventstore.Event) error {
				if *got = append(*got, e.Sequence); len(*got) == len(want) {
					return eventstore.ErrStop
				}
				return nil
			}
		}
		project := func(name string, from eventstore.Source) func(func(*eventstore.Event) error) error {
			return func(handle func(*eventstore.Event) error) error {
				p := &eventstore.Projector{Name: name, DB: db, Dialect: eventstore.SQLite, Source: from,
					Apply: func(_ context.Context, _ *sql.Tx, e *eventstore.Event) error { return handle(e) }}
				return p.Run(t.Context())
			}
		}
		react := func(name string, from eventstore.Source) func(func(*eventstore.Event) error) error {
			return func(handle func(*eventstore.Event) error) error {
				ctx, stop := context.WithCancelCause(t.Context())
				r := &eventstore.Reactor{Name: name, DB: db, Dialect: eventstore.SQLite, Handle: func(_ context.Context, e *eventstore.Event) error {
					if err := handle(e); err != nil {
						stop(err)
					}
					return nil
				}}
				return r.Run(ctx, from)
			}
		}
		overAPI := client.Source(orders, eventstore.Filter{})
		for what, read := range map[string]func(func(*eventstore.Event) error) error{
			"projector over the API":        project("a", overAPI),
			"projector over NATS Streaming": project("b", &streaming.Source{Conn: sc, Channel: orders}),
			"reactor over the API":          react("c", overAPI),
			"reactor over NATS Streaming":   react("d", &streaming.Source{Conn: sc, Channel: orders}),
			"replay over the API": func(handle func(*eventstore.Event) error) error {
				return client.Replay(t.Context(), orders, eventstore.FromBeginning(), eventstore.Filter{}, handle)
			},
			"replay over NATS Streaming": func(handle func(*eventstore.Event) error) error {
				replay := streaming.Replay{Cluster: "test-cluster", ClientIDPrefix: "replay", Channel: orders, Options: []stan.Option{stan.NatsURL(s.URL())}}
				return replay.Run(t.Context(), handle)
			},
		} {
			var got []uint64
			if err := read(collect(&got)); err != nil && !errors.Is(err, eventstore.ErrStop) {
				t.Errorf("%s: %v", what, err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: sequences %v, want %v", what, got, want)
			}
		}
		_, byPosition := subscribe(t, sc, "eventstore.*", stan.DeliverAllAvailable())
		_, again := subscribe(t, s.connect("holder"), "eventstore.*", held...)
		for what, in := range map[string]inbox{"a pattern": byPosition, "what a durable of a pattern had not acknowledged, and more": again} {
			if got := in.sequences(t, 4); !slices.Equal(got, want) {
				t.Errorf("%s: positions %v, want %v", what, got, want)
			}
		}
		limited := &streaming.Source{Conn: sc, Channel: orders, Limited: true}
		if err := limited.Receive(t.Context(), 0, func(eventstore.Batch) error { return nil }); !errors.Is(err, eventstore.ErrGap) {
			t.Errorf("a source on a channel with limits: %v", err)
		}
	})
}

var apiLine = regexp.MustCompile(`API listens on (\S+)`)

// TestErasedCopies: the conditions of the page find the copies on channels, and a stream is filled again without what was
// erased.
func TestErasedCopies(t *testing.T) {
	t.Parallel()
	blocks := page.Open(t, "docs/operate/erasure.md")
	text, err := os.ReadFile("../docs/operate/erasure.md")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(`
jetstream {}
streaming { routes: [
	{ channel: projector }
	{ types: "Named", channel: names, payload: data }
	{ stream: EVENTS, subject: "events.{event_type}" }
] }`), 0o600); err != nil {
		t.Fatal(err)
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, condition, found := strings.Cut(string(text), "\n| "+map[string]string{"postgres": "PostgreSQL", "mysql": "MySQL, MariaDB", "sqlite": "SQLite"}[driver]+" | `")
		condition, _, ended := strings.Cut(condition, "` |")
		if !found || !ended {
			t.Fatal("the page has no condition")
		}
		s := start(t, driver, source, "-sc", file, "-c", file, "-sd", t.TempDir())
		publish(t, s.connect("before"), orders,
			event(t, "keep", "First"), event(t, "customer-17", "Named", withData(`{"id":"customer-17"}`)), event(t, "keep", "Second"))
		nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		filled := func(want uint64) bool {
			stream, err := js.Stream(t.Context(), "EVENTS")
			if err != nil {
				return false
			}
			info, err := stream.Info(t.Context())
			return err == nil && info.State.Msgs == want
		}
		eventually(t, func() bool { return filled(3) })
		s.Stop()
		list := erase(t, blocks, driver, source, customer)
		erase(t, blocks, driver, source, condition)
		counted := query(t, driver, source, "SELECT name, msgs FROM Channels ORDER BY name")
		if want := []string{orders + "|2", "names|0", "projector|2"}; !slices.Equal(counted, want) {
			t.Errorf("messages %q, want %q", counted, want)
		}
		harness.Verify(t, driver, source, "-erased", list)

		s.Restart()
		_, in := subscribe(t, s.connect("after"), "projector", stan.DeliverAllAvailable())
		if got := in.sequences(t, 2); !slices.Equal(got, []uint64{1, 3}) {
			t.Errorf("projector has %v", got)
		}
		eventually(t, func() bool { return js.DeleteStream(t.Context(), "EVENTS") == nil }) // once the client has reconnected
		s.WaitLog(t, `Stream "EVENTS" has been created`)
		eventually(t, func() bool { return filled(2) })
		stream, err := js.Stream(t.Context(), "EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		for sequence, want := range map[uint64]string{1: "events.First", 2: "events.Second"} {
			if m, err := stream.GetMsg(t.Context(), sequence); err != nil || m.Subject != want {
				t.Errorf("message %d: %v, %v", sequence, m, err)
			}
		}
	})
}

// TestReplaceGuard: REPLACE overwrites no event. Triggers of the database prevent it; on SQLite, the trigger that
// docs/decisions/2026-11-21-sqlite-replace.md offers. The server still recognizes duplicates.
func TestReplaceGuard(t *testing.T) {
	t.Parallel()
	trigger := page.Find(t, page.Open(t, "docs/decisions/2026-11-21-sqlite-replace.md"), "sql", "").Text()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		if driver == "sqlite" {
			query(t, driver, source, trigger)
		}
		sc := s.connect("client")
		one := event(t, "A", "First", withID("one"), withVersion(1))
		publish(t, sc, orders, one, event(t, "A", "Second", withID("two")))

		const columns = "(id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type) "
		verb, end := "INSERT OR REPLACE INTO Messages ", ""
		switch driver {
		case "mysql":
			verb = "REPLACE INTO Messages "
		case "postgres":
			verb, end = "INSERT INTO Messages ", " ON CONFLICT (id, seq) DO UPDATE SET event_type = 'Forged'"
		}
		forged := []string{columns + "VALUES (1, 1, 1, 1, '', NULL, '', 'B', 1, 'Forged')"} // a taken sequence
		if driver != "postgres" {
			forged = append(forged,
				columns+"VALUES (1, 7, 1, 1, '', 'one', '', 'B', 1, 'Forged')",     // a taken event_id
				columns+"VALUES (1, 7, 1, 1, '', NULL, 'order', 'A', 2, 'Forged')") // a taken version
		}
		if driver == "sqlite" {
			forged = append(forged, "(rowid, "+columns[1:]+"VALUES (1, 1, 7, 1, 1, '', NULL, '', 'B', 1, 'Forged')")
		}
		for _, text := range forged {
			if _, err := tryQuery(driver, source, verb+text+end); err == nil || !strings.Contains(err.Error(), "events are immutable") {
				t.Errorf("%s: error %v", verb+text+end, err)
			}
		}
		publish(t, sc, orders, one, event(t, "A", "Second", withID("two")), event(t, "A", "Third", withID("three")), one)
		if err := sc.Publish(orders, event(t, "A", "Other", withID("one"))); err == nil || !strings.Contains(err.Error(), "already stored with different content") {
			t.Errorf("another event with a stored event_id: error %v", err)
		}
		if rows := query(t, driver, source, "SELECT sequence, event_type FROM events ORDER BY sequence"); strings.Join(rows, " ") != "1|First 2|Second 3|Third" {
			t.Errorf("events %v", rows)
		}
	})
}
