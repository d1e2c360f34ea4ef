package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
)

// lock holds the database's write lock, as another process would, until unlock.
func (f *fixture) lock(t *testing.T) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+f.path+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	unlock = sync.OnceFunc(func() {
		_ = tx.Rollback()
		db.Close()
	})
	t.Cleanup(unlock)
	return unlock
}

// However much waits during an outage, each submission is refused at its own deadline, not batch by batch. The same
// holds for new channels. Afterwards, everything works again.
func TestOutageIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	f := setup{options: Options{StoreTimeout: timeout, MaxBatchMsgs: 16}}.open(t)
	f.publish(t, "old", 1)
	unlock := f.lock(t)
	start := time.Now()
	var answers []<-chan stores.Result
	for i := range 4000 {
		channel := "old"
		if i%2 == 0 {
			channel = fmt.Sprintf("new.%d", i%400)
		}
		answers = append(answers, f.submit(channel, nil))
	}
	for i, a := range answers {
		if r := <-a; !errors.Is(r.Err, stores.ErrUnavailable) || errors.Is(r.Err, stores.ErrOutcomeUnknown) {
			t.Fatalf("publish %d: %v", i, r.Err)
		}
	}
	// Batch by batch, or channel by channel, this would take minutes.
	if took := time.Since(start); took < timeout || took > 20*timeout {
		t.Errorf("all were refused after %v, want about %v", took, timeout)
	}
	unlock()
	for _, channel := range []string{"old", "new.0"} {
		for r := (stores.Result{}); r.Sequence == 0; {
			if r = <-f.submit(channel, nil); r.Err != nil && !errors.Is(r.Err, stores.ErrUnavailable) {
				t.Fatal(r.Err)
			}
		}
	}
	f.stop()
	if n := f.Queued(); n != 0 {
		t.Errorf("%d submissions are unanswered", n)
	}
}

// A stop does not wait for a locked database.
func TestStopDuringAnOutage(t *testing.T) {
	t.Parallel()
	f := setup{options: Options{StoreTimeout: time.Hour, MaxBatchMsgs: 16}}.open(t)
	f.publish(t, "old", 1)
	f.lock(t)
	var answers []<-chan stores.Result
	for i := range 100 {
		answers = append(answers, f.submit("old", nil), f.submit(fmt.Sprintf("new.%d", i), nil))
	}
	called := make(chan struct{})
	f.After(func() { close(called) })
	f.stop()
	<-called
	for _, a := range answers {
		if r := <-a; r.Err == nil {
			t.Fatal("stored without the lock")
		}
	}
}

// A message that was committed although its answer was lost is announced once that is known. Its publisher gets an
// unknown outcome.
func TestUnknownOutcomeIsAnnounced(t *testing.T) {
	t.Parallel()
	var faults storetest.Faults
	f := setup{
		store:   stores.Options{WrapConnector: faults.Wrap},
		options: Options{StoreTimeout: 300 * time.Millisecond},
	}.open(t)
	f.publish(t, "c", 1)
	ch := f.Channel("c")
	c := ch.Cursor(1)
	defer c.Close()
	sequences(t, c, 1)
	var refused atomic.Bool
	faults.GoneAfterCommit(func() { refused.Store(true) })
	faults.Commits(storetest.LostAfter)
	if r := <-f.submit("c", nil); !errors.Is(r.Err, stores.ErrOutcomeUnknown) {
		t.Fatalf("%+v, want an unknown outcome", r)
	}
	if got := ch.Info().Last; got != 1 {
		t.Errorf("last sequence %d before the database is back", got)
	}
	faults.Clear()
	sequences(t, c, 2)
	if !refused.Load() {
		t.Error("the database was never away")
	}
}

// stalled creates channels only once it is released.
type stalled struct {
	channelStore
	began   chan []string
	release chan struct{}
}

func (s *stalled) CreateChannels(ctx context.Context, names []string) (map[string]*stores.Channel, error) {
	s.began <- names
	select {
	case <-s.release:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", stores.ErrUnavailable, ctx.Err())
	}
	return s.channelStore.CreateChannels(ctx, names)
}

// A new channel delays only its own messages. Waiting channels are created together.
func TestCreationDelaysNobody(t *testing.T) {
	t.Parallel()
	s := &stalled{began: make(chan []string, 10), release: make(chan struct{})}
	f := setup{before: func(f *fixture) {
		s.channelStore = f.creator.store
		if _, err := f.store.CreateChannel(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		f.add(f.store.Channel("old"))
		f.creator.store = s
	}}.open(t)
	first := f.submit("new", nil)
	if got := <-s.began; len(got) != 1 {
		t.Fatalf("creates %q", got)
	}
	var more []<-chan stores.Result
	for i := range 100 {
		more = append(more, f.submit(fmt.Sprintf("new.%d", i), nil), f.submit(fmt.Sprintf("new.%d", i), nil))
	}
	f.publish(t, "old", 10)
	if len(first) > 0 {
		t.Error("a message was stored in a channel that does not exist yet")
	}
	close(s.release)
	if r := <-first; r.Sequence != 1 {
		t.Errorf("%+v", r)
	}
	for i, a := range more {
		if r := <-a; r.Err != nil || r.Sequence != uint64(1+i%2) {
			t.Errorf("message %d: %+v", i, r)
		}
	}
	if a, b := len(<-s.began), len(<-s.began); a != creatorNames || a+b != 100 {
		t.Errorf("created %d and %d channels together", a, b)
	}
}

// A caller that gives up waiting for a channel does not stop its creation for others.
func TestOpenIsNotCancelledForOthers(t *testing.T) {
	t.Parallel()
	s := &stalled{began: make(chan []string, 10), release: make(chan struct{})}
	f := setup{before: func(f *fixture) {
		s.channelStore, f.creator.store = f.creator.store, s
	}}.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error)
	go func() {
		_, err := f.Open(ctx, "client", "c")
		opened <- err
	}()
	<-s.began
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r := f.submit("c", nil)
	other := f.submit("d", nil)
	close(s.release)
	if ch, err := f.Open(t.Context(), "client", "c"); err != nil || ch.Name() != "c" {
		t.Errorf("%v, %v", ch, err)
	}
	if r := <-r; r.Err != nil {
		t.Error(r.Err)
	}
	if r := <-other; r.Err != nil {
		t.Error(r.Err)
	}
}

// A payload that takes long to decode delays only its own channel, which keeps its order.
func TestDecodingDelaysNobody(t *testing.T) {
	t.Parallel()
	f := setup{}.open(t)
	f.publish(t, "heavy", 1)
	f.publish(t, "light", 1)
	release, began := make(chan struct{}), make(chan struct{})
	result := make(chan stores.Result, 1)
	f.Submit(Submission{
		Channel: "heavy", Received: time.Now(),
		Decode: func(*Channel) ([]Message, error) {
			close(began)
			<-release
			return []Message{{}}, nil
		},
		Answer: func(r []stores.Result) { result <- r[0] },
	})
	<-began
	behind := f.submit("heavy", nil)
	called := make(chan struct{})
	f.After(func() { close(called) })
	f.publish(t, "light", 10)
	if len(result)+len(behind) > 0 {
		t.Error("answered before the payload was decoded")
	}
	select {
	case <-called:
		t.Error("the call came before the answers")
	default:
	}
	close(release)
	if a, b := <-result, <-behind; a.Sequence != 2 || b.Sequence != 3 {
		t.Errorf("sequences %d and %d", a.Sequence, b.Sequence)
	}
	<-called
}
