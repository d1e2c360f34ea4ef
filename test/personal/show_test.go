package personal_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

var overwrite = flag.Bool("overwrite", false, "TestPersonErased: write to the databases until nothing of the person is in their logs any more")

// What the log knows of a person: her first name on a channel whose events are erased, her last name in fields that are encrypted. Her
// number is not secret.
const (
	person    = "c-4711"
	firstName = "Zylphabella"
	lastName  = "Quorthomew"
)

// show is a serving system that knows a person, and what was found of her where.
type show struct {
	*house
	own    *databases.Server // nil for SQLite
	folder string            // of the database's files
	stream string            // folder of JetStream
	model  string            // the database of a projection
	report []string          // lines of the table
}

// TestPersonErased: a person is erased from a serving system while others publish. Nothing of her is behind any door, in the database's
// files, or, where fields were encrypted, in yesterday's backup. make show-personal prints what was found where.
func TestPersonErased(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			s := newShow(t, driver)
			s.fill(t)
			project := s.projection(t)
			replay := s.park(t)
			stop := s.publish(t)
			before := s.look(t, s.doors())
			for _, door := range s.doors() {
				if f := before[door.name]; f != door.before {
					t.Errorf("before, %s shows %v of the person, want %v", door.name, f, door.before)
				}
			}
			backup := s.backup(t)

			began := time.Now()
			s.tool(t, "admin", "erase", "by-tag", "person:"+person, "--reason", "request 114", "--yes")
			took := time.Since(began)
			s.tool(t, "admin", "keys", "forget", person, "--reason", "request 114", "--yes")
			// Whoever has read encrypted fields in the clear is told by the application.
			mustAppend(t, s.as(t, "writer"), channel, &eventstorev1.Event{
				EventType: "Forgotten", AggregateType: "Customer", AggregateId: person, EventData: []byte(`{"customer_id":"` + person + `"}`),
			})
			eventually(t, "the erasure is done", func() bool {
				return strings.Join(column(t, s.driver, s.source, "SELECT state FROM Erasures"), "") == "done"
			})
			after := s.look(t, s.doors())
			for _, door := range s.doors() {
				s.row(door.name, before[door.name], after[door.name])
				if f := after[door.name]; f.first || f.last {
					t.Errorf("%s still shows the person: %+v\n%s", door.name, f, door.look(t))
				}
			}
			s.row("projection", everything, project())
			s.row("parked message, replayed", found{first: true}, replay())
			published, longest := stop()
			s.note("%d events of others were published meanwhile, the slowest in %v; the erasure took %v", published, longest.Round(time.Millisecond), took.Round(time.Millisecond))

			s.Stop()
			s.files(t)
			s.yesterday(t, backup)
			verified(t, s.house, "-js")
			s.rewritten(t)
			for _, line := range s.report {
				t.Log(line)
			}
		})
	}
}

func newShow(t *testing.T, driver string) *show {
	t.Helper()
	s := &show{stream: t.TempDir(), model: filepath.Join(t.TempDir(), "model.db")}
	source := ""
	if driver == "sqlite" {
		source = databases.SQLite(t)
		s.folder = filepath.Dir(source)
	} else {
		s.folder = openFolder(t)
		s.own = databases.OwnIn(t, databases.Kind(driver), s.folder)
		if err := s.own.CreateDatabase("events"); err != nil {
			t.Fatal(err)
		}
		source = s.own.DSN("events")
	}
	s.house = start(t, driver, source, "-js", "-sd", s.stream)
	return s
}

// visit is an event about somebody on the channel without encryption.
func visit(id, who, name string) *eventstorev1.Event {
	return &eventstorev1.Event{
		EventId: id, EventType: "Visited", AggregateType: "Visitor", AggregateId: who, EventData: []byte(fmt.Sprintf(`{"visitor":%q,"signed":"%s %s"}`, who, name, id)),
		Metadata: map[string]string{"device": name + "'s phone"}, Tags: []string{"person:" + who, "name:" + name},
	}
}

// fill stores the person between others.
func (s *show) fill(t *testing.T) {
	t.Helper()
	writer := s.as(t, "writer")
	mustAppend(t, writer, visits, visit("v1", "c-1", "Bartholomew"), visit("v2", person, firstName), visit("v3", person, firstName))
	mustAppend(t, writer, channel, event("e1", "c-1", "Bartholomew"), event("e2", person, lastName), event("e3", person, lastName))
	mustAppend(t, writer, visits, visit("v4", person, firstName), visit("v5", "c-2", "Cornelius"))
}

// projection runs a projection of the Go library that has the right personal. Its result waits until the projection knows of everything,
// and tells what it still has.
func (s *show) projection(t *testing.T) func() found {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.model+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	c, err := eventstore.New(eventstore.Options{URLs: []string{"http://" + s.address}, Token: "clerk"})
	if err != nil {
		t.Fatal(err)
	}
	registry := eventstore.NewRegistry()
	eventstore.Register[eventstore.EventsErased](registry, "EventsErased")
	p := &eventstore.Projector{
		Name: "people", DB: db, Dialect: eventstore.SQLite,
		Source: c.SourceAll(eventstore.AllOf(eventstore.QueryItem{Channels: []string{visits, channel, eventstore.ErasuresChannel}})),
		Create: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS people (position INTEGER PRIMARY KEY, id TEXT, data TEXT)")
			return err
		},
		Apply: func(ctx context.Context, tx *sql.Tx, e *eventstore.Event) error {
			switch e.Type {
			case "EventsErased":
				if err := registry.Decode(e); err != nil {
					return err
				}
				for _, r := range e.Data.(eventstore.EventsErased).Positions {
					if _, err := tx.ExecContext(ctx, "DELETE FROM people WHERE position BETWEEN ? AND ?", r[0], r[1]); err != nil {
						return err
					}
				}
				return nil
			case "Forgotten":
				_, err := tx.ExecContext(ctx, "DELETE FROM people WHERE id = ?", e.AggregateID)
				return err
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO people VALUES (?, ?, ?)", e.Position, e.AggregateID, string(e.Payload))
			return err
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("projection: %v", err)
		}
	})
	stop := sync.OnceFunc(func() { cancel(); running.Wait(); c.Close(); _ = db.Close() })
	t.Cleanup(stop)
	contents := func() (text string) { // nothing before there is a table
		_ = db.QueryRowContext(t.Context(), "SELECT COALESCE(GROUP_CONCAT(data), '') FROM people WHERE id = ?", person).Scan(&text)
		return text
	}
	eventually(t, "the projection has the person", func() bool { return foundIn(contents()) == everything })
	return func() found {
		eventually(t, "the projection has nothing of the person", func() bool { return contents() == "" })
		defer stop()
		return foundIn(contents())
	}
}

// park has a durable of NATS Streaming, and a consumer of the API, park messages of the person. Its result replays them.
func (s *show) park(t *testing.T) func() found {
	t.Helper()
	limit := uint32(1)
	if _, err := s.admin(t).ConfigureConsumer(patient(t), &eventstorev1.ConfigureConsumerRequest{
		Channel: visits, Name: "d:workers", Settings: &eventstorev1.ConsumerSettings{MaxDeliveries: &limit},
	}); err != nil {
		t.Fatal(err)
	}
	_, sc := s.connect(t, "worker")
	in := make(chan *stan.Msg, 100_000)
	_, err := sc.QueueSubscribe(visits, "workers", func(m *stan.Msg) {
		if strings.Contains(string(m.Data), firstName) {
			return
		}
		_ = m.Ack() // it comes again otherwise
		if strings.Contains(string(m.Data), person) {
			in <- m
		}
	}, stan.DurableName("d"), stan.SetManualAckMode(), stan.MaxInflight(1000), stan.AckWait(time.Second), stan.DeliverAllAvailable())
	if err != nil {
		t.Fatal(err)
	}
	s.reject(t)
	parked := func(name string) int {
		return len(column(t, s.driver, s.source, "SELECT sequence FROM parked_messages WHERE name = '"+name+"'"))
	}
	eventually(t, "the messages are parked", func() bool { return parked("d:workers") == 3 && parked("d:clerks") == 3 })
	return func() found {
		var all strings.Builder
		if _, err := s.admin(t).ReplayParked(patient(t), &eventstorev1.ReplayParkedRequest{Channel: visits, Name: "d:workers", All: true}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			select {
			case m := <-in:
				var e eventstorev1.Event
				if err := proto.Unmarshal(m.Data, &e); err != nil || e.GetErased().GetErasure() != 1 {
					t.Errorf("a parked message that was erased is replayed as %v (%v)", &e, err)
				}
				all.Write(m.Data)
			case <-time.After(harness.Patience):
				t.Fatal("what was parked is not replayed")
			}
		}
		return foundIn(all.String())
	}
}

// reject parks the person's messages with a reason that names her.
func (s *show) reject(t *testing.T) {
	t.Helper()
	stream, err := s.as(t, "clerk").Consume(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.CloseRequest(); _ = stream.CloseResponse() }()
	send := func(req *eventstorev1.ConsumeRequest) {
		t.Helper()
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
	}
	send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Open_{Open: &eventstorev1.ConsumeRequest_Open{
		Channel: visits, ClientId: "clerk", Group: "clerks", Durable: "d", Credit: 10, Start: &eventstorev1.ConsumeRequest_Open_FromSequence{FromSequence: 1},
	}}})
	for rejected := 0; rejected < 3; {
		resp, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range resp.GetDeliveries() {
			sequences := []uint64{d.GetEvent().GetSequence()}
			if d.GetEvent().GetEvent().GetAggregateId() != person {
				send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Ack_{Ack: &eventstorev1.ConsumeRequest_Ack{Sequences: sequences}}})
				continue
			}
			send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Nack_{Nack: &eventstorev1.ConsumeRequest_Nack{
				Sequences: sequences, Action: eventstorev1.ConsumeRequest_Nack_ACTION_PARK, Reason: "no address for " + firstName,
			}}})
			rejected++
		}
	}
}

// publish publishes events of others on both channels until it is stopped.
func (s *show) publish(t *testing.T) (stop func() (events int, longest time.Duration)) {
	t.Helper()
	_, sc := s.connect(t, "publisher")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var mu sync.Mutex // guards the two below
	events, longest := 0, time.Duration(0)
	each := func(publish func(id string) error) {
		running.Go(func() {
			for i := 10; ctx.Err() == nil; i++ {
				began := time.Now()
				if err := publish(fmt.Sprint("n", i)); err != nil && ctx.Err() == nil {
					t.Errorf("publish while a person is erased: %v", err)
					return
				}
				mu.Lock()
				events, longest = events+1, max(longest, time.Since(began))
				mu.Unlock()
			}
		})
	}
	each(func(id string) error {
		data, err := proto.Marshal(visit(id, "c-3", "Dorothea"))
		if err != nil {
			return err
		}
		return sc.Publish(visits, data)
	})
	writer := s.as(t, "writer")
	each(func(id string) error {
		_, err := writer.Append(ctx, &eventstorev1.AppendRequest{Channel: channel, Events: []*eventstorev1.Event{event(id, "c-3", "Dorothea")}})
		return err
	})
	return func() (int, time.Duration) {
		cancel()
		running.Wait()
		return events, longest
	}
}

// tool runs the tool as a principal, and returns what it prints.
func (s *show) tool(t *testing.T, who string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(patient(t), harness.Tool(t), append(args, "--url", "http://"+s.address, "--token", who)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("eventstore %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// backup backs up the events as docs/operate/backup.md says, into a database that its result returns.
func (s *show) backup(t *testing.T) (restore func() string) {
	t.Helper()
	blocks, dir := page.Open(t, "docs/operate/backup.md"), t.TempDir()
	restored := map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL}[s.driver](t)
	if err := os.Symlink(harness.Binary(), filepath.Join(dir, "nats-streaming-server")); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "PATH="+dir+string(filepath.ListSeparator)+os.Getenv("PATH"), "SOURCE="+s.source, "RESTORED="+restored)
	shell := func(name, on string) {
		t.Helper()
		cmd := exec.CommandContext(patient(t), "sh", "-ec", page.Find(t, blocks, "sh", name).Text())
		cmd.Dir, cmd.Env = dir, slices.Clone(env)
		if s.driver == "mysql" {
			cfg, err := mysqldriver.ParseDSN(on)
			if err != nil {
				t.Fatal(err)
			}
			host, port, _ := strings.Cut(cfg.Addr, ":")
			write(t, filepath.Join(dir, "client.cnf"), fmt.Sprintf("[client]\nhost=%s\nport=%s\nuser=%s\npassword=%s\n", host, port, cfg.User, cfg.Passwd))
			restored, err := mysqldriver.ParseDSN(restored)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Env = append(cmd.Env, "DATABASE=events", "RESTORED="+restored.DBName)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	shell(s.driver, s.source)
	return func() string {
		shell(s.driver+" restore", restored)
		return restored
	}
}

// yesterday starts a server on yesterday's backup, with the keys of today. Encrypted fields stay unreadable. The other events are there
// again, as the page says, until they are erased again.
func (s *show) yesterday(t *testing.T, restore func() string) {
	t.Helper()
	source := restore()
	old := &show{house: &house{driver: s.driver, source: source, keys: s.keys, master: s.master, access: s.access}, stream: t.TempDir()}
	old.run(t, "-js", "-sd", old.stream)
	before := old.look(t, old.doors())
	for _, door := range old.doors() {
		if f, want := before[door.name], (found{first: door.before.first}); f != want {
			t.Errorf("yesterday's backup shows %v of the person by %s, want %v", f, door.name, want)
		}
	}
	if got := strings.Count(old.tool(t, "admin", "erase", "ls"), "request 114"); got != 0 {
		t.Errorf("the backup knows of %d erasures", got)
	}
	list := old.tool(t, "clerk", "read", channel, "--aggregate", person)
	if !strings.Contains(list, person) || !isSealed(strings.ReplaceAll(list, " ", ""), lastName) {
		t.Errorf("the encrypted events of yesterday: %s", list)
	}
	old.tool(t, "admin", "erase", "by-tag", "person:"+person, "--reason", "request 114, after a restore", "--yes")
	after := old.look(t, old.doors())
	for _, door := range []string{"API, Read " + visits, "API, Read " + channel, "SQL, all tables"} {
		s.row("yesterday's backup: "+door, before[door], after[door])
	}
	for door, f := range after {
		if f.first || f.last {
			t.Errorf("erased again, yesterday's backup still shows the person by %s", door)
		}
	}
	verified(t, old.house, "-js")
}

// eventually waits until something is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for ctx := patient(t); !is(); {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("it never was so: %s", what)
		}
	}
}
