package eventlog

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"testing"
	"time"

	googleproto "google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// counts is the Metrics of tests.
type counts struct {
	mu       sync.Mutex
	failed   map[string]int
	replayed int
	reads    int
}

func (c *counts) Committed(time.Duration, []stores.Result) {}
func (c *counts) Failed(operation string, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = make(map[string]int)
	}
	c.failed[operation]++
}
func (c *counts) Replayed(messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replayed += messages
	c.reads++
}

// read returns the number of database reads.
func (c *counts) read() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

// nobody is a Users for channels without users.
type nobody struct{}

func (nobody) Retire(_ *Channel, remove func() error) (bool, error) {
	err := remove()
	return err == nil, err
}

// fixture is a log on its own SQLite database.
type fixture struct {
	*Log
	store  *stores.Store
	path   string
	counts *counts
	stop   func() // stops Run and waits for it
}

type setup struct {
	store   stores.Options
	options Options
	path    string         // path of an existing database; "": a new one
	before  func(*fixture) // runs before Run
	bare    bool           // no retention or deadlines: the test calls retention itself
}

func (s setup) open(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{path: s.path, counts: &counts{}}
	if f.path == "" {
		f.path = filepath.Join(t.TempDir(), "events.db")
	}
	s.store.Driver, s.store.Source = "sqlite", f.path
	var err error
	if f.store, err = stores.Open(t.Context(), s.store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.store.Close)
	if held, _, err := f.store.TryLease(t.Context(), "test", stores.Lease{}); err != nil || !held {
		t.Fatal(held, err)
	}
	state, err := f.store.Recover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	if o.StoreTimeout == 0 {
		o.StoreTimeout = time.Minute
	}
	if o.MaxBatchMsgs == 0 {
		o.MaxBatchMsgs = 4096
	}
	o.MaxBatchBytes = 8 << 20
	if o.TailBytes == 0 {
		o.TailBytes = 16 << 20
	}
	o.ReadAheadBytes, o.PublishMemory, o.Connections = 16<<20, 64<<20, 10
	o.MaxPayload = func() int64 { return 1 << 20 }
	f.Log = New(f.store, o, f.counts, slog.New(slog.DiscardHandler))
	f.SetUsers(nobody{})
	f.Recover(state)
	if s.before != nil {
		s.before(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	f.stop = func() {
		cancel()
		if s.bare {
			f.queue.end()
		}
		running.Wait()
	}
	if s.bare {
		running.Go(func() { f.writer.run(ctx) })
		running.Go(f.decoder)
		running.Go(func() { f.creator.run(ctx) })
	} else {
		running.Go(func() { f.Run(ctx) })
	}
	t.Cleanup(f.stop)
	return f
}

// submit submits a message and returns the channel of its result.
func (f *fixture) submit(channel string, payload []byte) <-chan stores.Result {
	result := make(chan stores.Result, 1)
	f.Submit(Submission{
		Channel: channel, Received: time.Now(),
		Decode: func(*Channel) ([]Message, error) { return []Message{{Payload: payload}}, nil },
		Answer: func(results []stores.Result) { result <- results[0] },
	})
	return result
}

// publish stores n messages, one after another.
func (f *fixture) publish(t testing.TB, channel string, n int) {
	t.Helper()
	for i := range n {
		if r := <-f.submit(channel, fmt.Appendf(nil, "message %d", i)); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func event(t testing.TB, id string) []byte {
	t.Helper()
	payload, err := googleproto.Marshal(&eventstorev1.Event{EventId: id, EventType: "T", AggregateId: "a"})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// sequences reads messages until the last sequence.
func sequences(t testing.TB, c *Cursor, last uint64) []uint64 {
	t.Helper()
	var seqs []uint64
	for len(seqs) == 0 || seqs[len(seqs)-1] < last {
		msgs, err := c.Next(math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			seqs = append(seqs, m.Sequence)
		}
		if len(msgs) == 0 {
			<-c.Ready()
		}
	}
	return seqs
}

func TestSubmissions(t *testing.T) {
	t.Parallel()
	events, err := NewEvents([]EventBlock{{Channels: []string{"eventstore.>"}}})
	if err != nil {
		t.Fatal(err)
	}
	f := setup{options: Options{
		Events: events,
		Copies: []CopyRoute{{Channel: "copies", DataOnly: true}},
		Limits: Limits{MaxChannels: 3},
	}}.open(t)
	if r := <-f.submit("eventstore.a", event(t, "1")); r.Err != nil || r.Sequence != 1 || r.Version != 1 || len(r.Copies) != 1 {
		t.Errorf("an event: %+v", r)
	}
	if r := <-f.submit("eventstore.a", []byte("x")); r.Err == nil {
		t.Error("a message that is not an event was stored")
	}
	if r := <-f.submit("eventstore.a", make([]byte, 1<<20)); r.Err == nil || r.Err.Error() != "message is too large to be delivered within the NATS max_payload" {
		t.Errorf("too large: %v", r.Err)
	}
	if r := <-f.submit("EventStore.a", nil); r.Err == nil || r.Err.Error() != `rejecting channel "EventStore.a" because channel "eventstore.a" alreay exists (different cases not allowed)` {
		t.Errorf("a name that differs only in case: %v", r.Err)
	}
	results := make(chan []stores.Result, 1)
	f.Submit(Submission{
		Channel: "eventstore.a", Received: time.Now(), Group: &stores.Group{},
		Decode: func(*Channel) ([]Message, error) {
			return []Message{{Payload: event(t, "2")}, {Payload: event(t, "3")}}, nil
		},
		Answer: func(r []stores.Result) { results <- r },
	})
	if r := <-results; len(r) != 2 || r[1].Err != nil || r[1].Sequence != 3 {
		t.Errorf("a group: %+v", r)
	}
	f.publish(t, "plain", 1)
	if r := <-f.submit("more", nil); r.Err != ErrTooManyChannels { //nolint:errorlint // clients receive it as it is
		t.Errorf("a channel beyond the limit: %v", r.Err)
	}
	if got := f.Channel("copies").Info().Last; got != 3 {
		t.Errorf("%d copies, want 3", got)
	}
	answered := make(chan struct{})
	r := f.submit("plain", nil)
	f.After(func() { close(answered) })
	if <-answered; len(r) != 1 {
		t.Error("the call came before the answer")
	}
	f.stop()
	if r := <-f.submit("plain", nil); r.Err != ErrStopped { //nolint:errorlint
		t.Errorf("after the stop: %v", r.Err)
	}
	if _, err := f.Open(t.Context(), "client", "plain2"); err == nil {
		t.Error("a channel was created after the stop")
	}
	if n := f.admission.Held(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

func BenchmarkLonePublish(b *testing.B) {
	b.Setenv("TMPDIR", "/dev/shm")
	f := setup{}.open(b)
	f.publish(b, "plain", 1)
	for b.Loop() {
		answered := make(chan struct{})
		f.Submit(Submission{
			Channel: "plain", Received: time.Now(), Held: 600,
			Decode: func(*Channel) ([]Message, error) { return []Message{{Payload: []byte("message")}}, nil },
			Answer: func([]stores.Result) { close(answered) },
		})
		<-answered
	}
}

func BenchmarkManyPublishes(b *testing.B) {
	b.Setenv("TMPDIR", "/dev/shm")
	f := setup{}.open(b)
	f.publish(b, "plain", 1)
	const window = 4096
	slots := make(chan struct{}, window)
	for b.Loop() {
		slots <- struct{}{}
		f.Submit(Submission{
			Channel: "plain", Received: time.Now(), Held: 600,
			Decode: func(*Channel) ([]Message, error) { return []Message{{Payload: []byte("message")}}, nil },
			Answer: func([]stores.Result) { <-slots },
		})
	}
	for range window {
		slots <- struct{}{}
	}
}
