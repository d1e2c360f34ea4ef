package stan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// rowsOfClients is a table of clients that fails as it is told to.
type rowsOfClients struct {
	mu      sync.Mutex
	rows    map[string]bool
	fail    func(put []*spb.ClientInfo) error // nil: does not
	batches int
}

func (r *rowsOfClients) SaveClients(_ context.Context, put []*spb.ClientInfo, deleted []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches++
	if r.fail != nil {
		if err := r.fail(put); err != nil {
			return err
		}
	}
	for _, id := range deleted {
		delete(r.rows, id)
	}
	for _, info := range put {
		r.rows[info.ID] = true
	}
	return nil
}

func (r *rowsOfClients) setFail(f func([]*spb.ClientInfo) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

func startRegistrar(t *testing.T) (*registrar, *rowsOfClients) {
	rows := &rowsOfClients{rows: make(map[string]bool)}
	r := newRegistrar(rows, time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r, rows
}

// TestRegistrarWritesTogether: what waits is one transaction.
func TestRegistrarWritesTogether(t *testing.T) {
	t.Parallel()
	r, rows := startRegistrar(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	rows.setFail(func([]*spb.ClientInfo) error {
		first.Do(func() {
			close(entered)
			<-release
		})
		return nil
	})
	waits := []<-chan error{r.queue("first", &spb.ClientInfo{ID: "first"})}
	<-entered
	for i := range 300 {
		id := fmt.Sprint("c", i)
		waits = append(waits, r.queue(id, &spb.ClientInfo{ID: id}))
	}
	close(release)
	for _, w := range waits {
		if err := <-w; err != nil {
			t.Fatal(err)
		}
	}
	rows.mu.Lock()
	defer rows.mu.Unlock()
	if len(rows.rows) != 301 || rows.batches != 2 {
		t.Errorf("%d clients in %d transactions, want 301 in 2", len(rows.rows), rows.batches)
	}
}

// TestRegistrarComesToAgree: a registration that its client gave up is removed, and a removal that failed is made, once the
// database is back.
func TestRegistrarComesToAgree(t *testing.T) {
	t.Parallel()
	r, rows := startRegistrar(t)
	c := newClients(r)
	if _, ok, err := c.register(t.Context(), &spb.ClientInfo{ID: "old"}, ""); err != nil || !ok {
		t.Fatal(ok, err)
	}
	rows.setFail(func([]*spb.ClientInfo) error { return fmt.Errorf("locked: %w", stores.ErrUnavailable) })
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.register(impatient, &spb.ClientInfo{ID: "new"}, ""); !errors.Is(err, stores.ErrUnavailable) {
		t.Errorf("registered in an outage: %v", err)
	}
	old := c.get("old")
	unregistered, ok := c.remove(old)
	if _, again := c.remove(old); !ok || again {
		t.Error("a client is removed once")
	}
	if err := await(impatient, unregistered); !errors.Is(err, stores.ErrUnavailable) {
		t.Errorf("unregistered in an outage: %v", err)
	}
	rows.setFail(nil)
	if err := r.set(t.Context(), "last", &spb.ClientInfo{ID: "last"}); err != nil {
		t.Fatal(err)
	}
	rows.mu.Lock()
	defer rows.mu.Unlock()
	if len(rows.rows) != 1 || !rows.rows["last"] {
		t.Errorf("rows after the outage: %v, want that of the last client alone", rows.rows)
	}
}

// TestSuccessorStays: a client that takes the ID of one which has just been removed keeps its row.
func TestSuccessorStays(t *testing.T) {
	t.Parallel()
	r, rows := startRegistrar(t)
	c := newClients(r)
	if _, ok, err := c.register(t.Context(), &spb.ClientInfo{ID: "a"}, ""); err != nil || !ok {
		t.Fatal(ok, err)
	}
	unregistered, _ := c.remove(c.get("a"))
	if _, ok, err := c.register(t.Context(), &spb.ClientInfo{ID: "a"}, ""); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := await(t.Context(), unregistered); err != nil {
		t.Error(err)
	}
	rows.mu.Lock()
	defer rows.mu.Unlock()
	if !rows.rows["a"] {
		t.Error("the row of the second client is gone")
	}
}

// TestRegistrarRefusesOne: a client that the database refuses harms no other.
func TestRegistrarRefusesOne(t *testing.T) {
	t.Parallel()
	r, rows := startRegistrar(t)
	refused := errors.New("value too long")
	rows.setFail(func(put []*spb.ClientInfo) error {
		if slices.ContainsFunc(put, func(i *spb.ClientInfo) bool { return i.ID == "bad" }) {
			return refused
		}
		return nil
	})
	waits := map[string]<-chan error{}
	for _, id := range []string{"a", "bad", "b"} {
		waits[id] = r.queue(id, &spb.ClientInfo{ID: id})
	}
	for id, w := range waits {
		if err := <-w; errors.Is(err, refused) != (id == "bad") {
			t.Errorf("client %s: %v", id, err)
		}
	}
}

// TestRegistrarKeepsWhatAnOutageLeaves: while it looks for the one that the database refuses, the database goes away.
func TestRegistrarKeepsWhatAnOutageLeaves(t *testing.T) {
	t.Parallel()
	r, rows := startRegistrar(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	calls := 0
	rows.setFail(func(put []*spb.ClientInfo) error {
		first.Do(func() {
			close(entered)
			<-release
		})
		switch calls++; {
		case len(put) > 1:
			return errors.New("refused")
		case calls == 3: // the first of those that are written alone
			return fmt.Errorf("%w: locked", stores.ErrUnavailable)
		}
		return nil
	})
	waits := []<-chan error{r.queue("first", &spb.ClientInfo{ID: "first"})}
	<-entered
	for i := range 10 {
		id := fmt.Sprint(i)
		waits = append(waits, r.queue(id, &spb.ClientInfo{ID: id}))
	}
	close(release)
	for i, wait := range waits {
		if err := <-wait; err != nil {
			t.Errorf("registration %d: %v", i, err)
		}
	}
}
