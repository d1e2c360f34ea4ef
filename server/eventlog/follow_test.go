package eventlog

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// A log that follows another server wakes its cursors, of channels and by position, after what they read has become known.
func TestFollow(t *testing.T) {
	t.Parallel()
	leader := setup{options: withEvents(t, Options{})}.open(t)
	leader.publishEvents(t, 1)
	store, err := stores.Open(t.Context(), stores.Options{Driver: "sqlite", Source: leader.path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	follower, err := store.Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(follower.Close)
	log := New(follower.Store, withEvents(t, Options{
		StoreTimeout: time.Minute, ReadAheadBytes: 16 << 20, PublishMemory: 64 << 20, Connections: 10,
	}), &counts{}, slog.New(slog.DiscardHandler))
	log.Know(follower.Channels())

	all, err := log.EventCursor(stores.Query{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	one := log.Channel("eventstore.1").Cursor(1)
	defer one.Close()
	<-all.Ready()
	<-one.Ready()
	read := uint64(0)
	for _, n := range []int{0, 1, 4, 30} { // the second makes channels that the log does not know
		leader.publishEvents(t, n)
		before := log.Position()
		changed, err := follower.Look(t.Context(), log.Know)
		if err != nil {
			t.Fatal(err)
		}
		log.Appended(changed, before)
		if n > 0 {
			<-all.Ready()
		}
		if n > 1 {
			<-one.Ready()
		}
		if log.Position() != leader.Position() {
			t.Fatalf("position %d, want %d", log.Position(), leader.Position())
		}
		for read < log.Position() {
			events, err := all.ReadTo(t.Context(), log.Position(), 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if read++; e.Position != read {
					t.Fatalf("read position %d, want %d", e.Position, read)
				}
			}
		}
		last := leader.Channel("eventstore.1").Info().Last
		for one.Position() <= last {
			if _, err := one.ReadTo(t.Context(), last, 100); err != nil {
				t.Fatal(err)
			}
		}
	}
}
