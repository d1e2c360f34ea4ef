package consumers

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"
	_ "modernc.org/sqlite" // the driver of raw

	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
)

// sink records sent messages, in order, as "inbox sequence", with an r after redelivered ones. It is the Sender and the
// Metrics of tests.
type sink struct {
	mu   sync.Mutex
	cond *sync.Cond
	sent []string
}

func newSink() *sink {
	s := &sink{}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *sink) Send(inbox string, data []byte) {
	var m pb.MsgProto
	if err := m.Unmarshal(data); err != nil {
		panic(err)
	}
	text := fmt.Sprintf("%s %d", inbox, m.Sequence)
	if m.Redelivered {
		text += "r"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, text)
	s.cond.Broadcast()
}

func (*sink) Sent(int, int)        {}
func (*sink) Resent(int)           {}
func (*sink) Acked()               {}
func (*sink) Limited(string)       {}
func (*sink) Slowed()              {}
func (*sink) Failed(string, error) {}
func (*sink) PublishReceived(int)  {}
func (*sink) Replayed(int)         {}

func (*sink) Committed(time.Duration, []stores.Result) {}

// wait waits until n messages were sent and returns all.
func (s *sink) wait(t *testing.T, n int) []string {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, s.cond.Broadcast)
	defer timer.Stop()
	end := time.Now().Add(20 * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.sent) < n {
		if time.Now().After(end) {
			t.Fatalf("%d messages were sent, want %d: %v", len(s.sent), n, s.sent)
		}
		s.cond.Wait()
	}
	return slices.Clone(s.sent)
}

// fixture is a server without doors on a SQLite database.
type fixture struct {
	*Consumers
	t      *testing.T
	store  *stores.Store
	state  *stores.State
	sink   *sink
	path   string
	faults *storetest.Faults
	log    *strings.Builder
	active []*Member
	run    func()
	stop   func() // a clean stop
}

// open starts a server. If before is set, it starts on a copy of that server's database, as after a crash.
func open(t *testing.T, before *fixture, o Options, client func(id string) Client) *fixture {
	t.Helper()
	f := &fixture{t: t, sink: newSink(), faults: &storetest.Faults{}, log: &strings.Builder{}}
	f.path = filepath.Join(t.TempDir(), "events.db")
	var seen stores.Lease
	if before != nil {
		if _, err := before.raw().ExecContext(t.Context(), "VACUUM INTO ?", f.path); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	var err error
	if f.store, err = stores.Open(ctx, stores.Options{Driver: "sqlite", Source: f.path, WrapConnector: f.faults.Wrap}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.store.Close)
	holder := fmt.Sprint("server ", time.Now().UnixNano())
	held := false
	for range 3 {
		if held, seen, err = f.store.TryLease(ctx, holder, seen); held || err != nil {
			break
		}
	}
	if !held {
		t.Fatal("no lease:", err)
	}
	if f.state, err = f.store.Recover(ctx); err != nil {
		t.Fatal(err)
	}
	log := eventlog.New(f.store, eventlog.Options{
		StoreTimeout: time.Minute, MaxBatchMsgs: 1000, MaxBatchBytes: 8 << 20, TailBytes: 16 << 20, ReadAheadBytes: 16 << 20,
		PublishMemory: 64 << 20, Connections: 4, MaxPayload: func() int64 { return 1 << 20 }, Events: eventChannels(t),
	}, f.sink, slog.New(slog.DiscardHandler))
	logger := slog.New(slog.NewTextHandler(&syncWriter{to: f.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.Consumers = New(f.store, log, f.sink, o, f.sink, logger)
	log.SetUsers(f.Consumers)
	log.Recover(f.state)
	if client == nil {
		client = func(id string) Client { return &fakeClient{id: id} }
	}
	if f.active, err = f.Recover(ctx, f.state, func(sub *spb.SubState) Client { return client(sub.ClientID) }); err != nil {
		t.Fatal(err)
	}
	running, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	f.run = sync.OnceFunc(func() {
		tasks.Go(func() { log.Run(running) })
		tasks.Go(func() { f.Run(running) })
	})
	f.stop = sync.OnceFunc(func() {
		cancel()
		tasks.Wait()
	})
	t.Cleanup(f.stop)
	f.run()
	return f
}

type syncWriter struct {
	mu sync.Mutex
	to *strings.Builder
}

func (w *syncWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// eventChannels are those of tests: their events may be delayed.
func eventChannels(t *testing.T) eventlog.Events {
	t.Helper()
	events, err := eventlog.NewEvents([]eventlog.EventBlock{{Channels: []string{"events"}, Delays: true}})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// publish stores n messages, one after another.
func (f *fixture) publish(channel string, n int) {
	f.t.Helper()
	for range n {
		f.storeOne(channel, []byte("x"))
	}
}

// emit stores an event of an aggregate. It is delivered at a time, unless that is zero.
func (f *fixture) emit(eventType, aggregate string, at time.Time, tags ...string) {
	f.t.Helper()
	e := &eventstorev1.Event{EventType: eventType, AggregateId: aggregate, EventData: []byte("{}"), Tags: tags}
	if !at.IsZero() {
		e.Metadata = map[string]string{eventlog.DeliverAt: at.Format(time.RFC3339Nano)}
	}
	payload, err := proto.Marshal(e)
	if err != nil {
		f.t.Fatal(err)
	}
	f.storeOne("events", payload)
}

// storeOne stores a message.
func (f *fixture) storeOne(channel string, payload []byte) {
	f.t.Helper()
	result := make(chan stores.Result, 1)
	f.eventlog.Submit(eventlog.Submission{
		Channel: channel, Received: time.Now(),
		Decode: func(*eventlog.Channel) ([]eventlog.Message, error) {
			return []eventlog.Message{{Payload: payload}}, nil
		},
		Answer: func(results []stores.Result) { result <- results[0] },
	})
	if r := <-result; r.Err != nil {
		f.t.Fatal(r.Err)
	}
}

// request returns a client's request for channel c. The inbox has the client's name.
func (f *fixture) request(client, queue, durable string) Request {
	f.t.Helper()
	return f.requestOf("c", client, queue, durable)
}

func (f *fixture) requestOf(channel, client, queue, durable string) Request {
	f.t.Helper()
	ch, err := f.eventlog.Open(f.t.Context(), "client", channel)
	if err != nil {
		f.t.Fatal(err)
	}
	return Request{
		Client: &fakeClient{id: client}, Line: ch, Inbox: client, AckInbox: "ack." + client + time.Now().String(),
		QGroup: queue, DurableName: durable, MaxInFlight: 1000, AckWaitInSecs: 3600, Start: First,
	}
}

func (f *fixture) join(r Request) *Member {
	f.t.Helper()
	m, err := f.Join(f.t.Context(), r, func(*Member) {})
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// raw opens the database beside the server.
func (f *fixture) raw() *sql.DB {
	f.t.Helper()
	db, err := sql.Open("sqlite", f.path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return db
}

// until waits until a query returns want.
func until(t *testing.T, db *sql.DB, want int, text string) {
	t.Helper()
	got := 0
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := db.QueryRowContext(t.Context(), text).Scan(&got); err == nil && got == want {
			return
		}
	}
	t.Fatalf("%s: %d, want %d", text, got, want)
}

// lost returns the messages up to last that a crash now would lose: those up to the stored position that are not stored
// as unacknowledged. Channel c must have one group.
func (f *fixture) lost(last uint64) (lost []uint64) {
	f.t.Helper()
	after := open(f.t, f, Options{}, nil)
	defer after.stop()
	for _, c := range after.state.Channels[0].Consumers {
		held := map[uint64]bool{}
		for _, seqs := range c.Unacked {
			for _, seq := range seqs {
				held[seq] = true
			}
		}
		for seq := uint64(1); seq <= min(last, c.LastSent); seq++ {
			if !held[seq] {
				lost = append(lost, seq)
			}
		}
	}
	if len(after.state.Channels[0].Consumers) != 1 {
		f.t.Fatalf("%d groups are stored", len(after.state.Channels[0].Consumers))
	}
	return lost
}

func stateOf(r Request, client string, lastSent uint64) *spb.SubState {
	return &spb.SubState{
		ClientID: client, QGroup: r.key().Queue, Inbox: r.Inbox, AckInbox: client, MaxInFlight: r.MaxInFlight,
		AckWaitInSecs: r.AckWaitInSecs, LastSent: lastSent, IsDurable: true,
	}
}
