package storetest

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func testLease(t *testing.T, o stores.Options) {
	one, two := open(t, o), open(t, o)
	try := func(s *stores.Store, id string, seen stores.Lease) (bool, stores.Lease) {
		t.Helper()
		held, now, err := s.TryLease(testContext(t), id, seen)
		if err != nil {
			t.Fatal(err)
		}
		return held, now
	}
	if held, now := try(one, "one", stores.Lease{}); !held || now.Holder != "one" {
		t.Fatal("a new database has a lease holder:", now)
	}
	if held, _ := try(one, "one", stores.Lease{}); !held {
		t.Fatal("the holder cannot take its own lease")
	}
	held, seen := try(two, "two", stores.Lease{})
	if held || seen.Holder != "one" {
		t.Fatal("two holders:", seen)
	}
	// It is alive.
	if err := one.RenewLease(testContext(t)); err != nil {
		t.Fatal(err)
	}
	held, now := try(two, "two", seen)
	if held || now == seen {
		t.Fatal("took the lease from a live holder")
	}
	// It is dead.
	withoutLock(t, o)
	if held, _ := try(two, "two", now); !held {
		t.Fatal("did not take the lease from a dead holder")
	}
	expectError(t, one.RenewLease(testContext(t)), stores.ErrFenced)
	withoutLock(t, o)
	if held, _ := try(one, "one", stores.Lease{}); held {
		t.Fatal("the old holder took the lease back")
	}
	// A clean stop.
	if err := two.ReleaseLease(testContext(t)); err != nil {
		t.Fatal(err)
	}
	expectError(t, two.RenewLease(testContext(t)), stores.ErrFenced)
	if held, _ := try(one, "one", stores.Lease{}); !held {
		t.Fatal("did not take the lease after its release")
	}
	for _, id := range []string{"", "0123456789012345678901234567890"} {
		if _, _, err := one.TryLease(testContext(t), id, stores.Lease{}); err == nil {
			t.Errorf("no error for lease id %q", id)
		}
	}
	// "One" is not "one".
	if held, _ := try(two, "ONE", stores.Lease{}); held {
		t.Error("IDs that differ in case are the same")
	}
}

func testLeaseIsTakenOnce(t *testing.T, o stores.Options) {
	const servers = 5
	all := make([]*stores.Store, servers)
	var ready sync.WaitGroup
	for i := range all {
		ready.Go(func() { // several may migrate at once
			s, err := stores.Open(testContext(t), o)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(s.Close)
			all[i] = s
		})
	}
	ready.Wait()
	if t.Failed() {
		return
	}
	var seen stores.Lease
	for round := range 3 {
		var won atomic.Int32
		var last sync.Map
		for i, s := range all {
			ready.Go(func() {
				held, now, err := s.TryLease(testContext(t), fmt.Sprint(round, "/", i), seen)
				if err != nil {
					t.Error(err)
				}
				if held {
					won.Add(1)
					last.Store("now", now)
				}
			})
		}
		ready.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d hold the lease", won.Load())
		}
		now, _ := last.Load("now")
		seen = now.(stores.Lease)
	}
}

// withoutLock makes SQLite's lease holder lose its lock, as on a file system without locks, so that only the lease
// identifies it.
func withoutLock(t *testing.T, o stores.Options) {
	t.Helper()
	if o.Driver != "sqlite" {
		return
	}
	if err := os.Remove(o.Source + ".lock"); err != nil {
		t.Fatal(err)
	}
}

func testFencing(t *testing.T, o stores.Options) {
	old, _ := lead(t, o)
	c := channel(t, old, "eventstore.c")
	expect(t, appendAll(t, old, event{aggregate: "a"}.on(t, c)), "1")
	_, seen, err := old.TryLease(testContext(t), "server", stores.Lease{})
	if err != nil {
		t.Fatal(err)
	}

	s := open(t, o)
	ctx := testContext(t)
	expectError(t, s.RenewLease(ctx), stores.ErrFenced) // it never held the lease
	_, err = s.Append(ctx, []stores.Append{event{aggregate: "a"}.on(t, c)})
	expectError(t, err, stores.ErrFenced)
	_, err = s.Recover(ctx)
	expectError(t, err, stores.ErrFenced)
	withoutLock(t, o)
	if held, _, err := s.TryLease(ctx, "standby", seen); err != nil || !held {
		t.Fatal(held, err)
	}
	if _, err := s.Recover(ctx); err != nil {
		t.Fatal(err)
	}
	results, err := old.Append(ctx, []stores.Append{event{aggregate: "a"}.on(t, c), {Channel: c}})
	expectError(t, err, stores.ErrFenced)
	for _, r := range results {
		expectError(t, r.Err, stores.ErrFenced)
	}
	// Nothing is stored, but the refusal comes from memory that is out of date.
	_, err = old.Append(ctx, []stores.Append{event{aggregate: "a", version: 7}.on(t, c)})
	expectError(t, err, stores.ErrFenced)
	sub := &spb.SubState{ClientID: "me"}
	_, err = old.CreateChannel(ctx, "new")
	expectError(t, err, stores.ErrFenced)
	expectError(t, old.CreateSubscription(ctx, c, sub), stores.ErrFenced)
	expectError(t, old.UpdateSubscription(ctx, c, sub), stores.ErrFenced)
	expectError(t, old.DeleteSubscription(ctx, c, 1), stores.ErrFenced)
	expectError(t, old.SaveProgress(ctx, []stores.Progress{{Subscription: 1}}), stores.ErrFenced)
	expectError(t, old.PutClient(ctx, &spb.ClientInfo{ID: "me"}), stores.ErrFenced)
	expectError(t, old.DeleteClient(ctx, "me"), stores.ErrFenced)
	expectError(t, old.SetServerInfo(ctx, &spb.ServerInfo{}), stores.ErrFenced)
	if _, err := old.Read(ctx, c, 1, 1, 1, 1); err != nil {
		t.Errorf("reading needs the lease: %v", err)
	}
	if old.Channel("new") != nil || sub.ID != 0 {
		t.Error("a refused write is in memory")
	}
	expect(t, appendAll(t, s, event{aggregate: "a", version: 2}.on(t, s.Channel("eventstore.c"))), "2")

	// It stands by, and leads again.
	if err := s.ReleaseLease(ctx); err != nil {
		t.Fatal(err)
	}
	if held, _, err := old.TryLease(ctx, "server", stores.Lease{}); err != nil || !held {
		t.Fatal(held, err)
	}
	if _, err := old.Recover(ctx); err != nil {
		t.Fatal(err)
	}
	expectError(t, appendAll(t, old, stores.Append{Channel: c})[0].Err, stores.ErrUnknownChannel)
	c = old.Channel("eventstore.c")
	expect(t, appendAll(t, old, event{aggregate: "a", version: 3}.on(t, c)), "3")
	readAll(t, old, c)
}
