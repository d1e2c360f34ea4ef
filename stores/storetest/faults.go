package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// testCommitLost: whatever the fate of a COMMIT without an answer, each message is stored once.
func testCommitLost(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c, plain := channel(t, s, "eventstore.c"), channel(t, s, "plain")
	t.Cleanup(faults.Wait)
	stored := 0
	for i, fault := range [][]CommitFault{
		{LostBefore}, {LostAfter}, {LateCommit}, {LostBefore, LostBefore}, {LostAfter, LostAfter}, {LostBefore, LostAfter},
		{LostAfter, LostBefore}, {LateCommit, LostAfter, LostBefore}, {LateCommit, LateCommit},
	} {
		if o.Driver == "sqlite" {
			fault = slices.DeleteFunc(fault, func(f CommitFault) bool { return f == LateCommit })
		}
		faults.Commits(fault...)
		results := appendAll(t, s,
			event{id: fmt.Sprint("1-", i), aggregate: "a"}.on(t, c), stores.Append{Channel: plain, Payload: []byte{byte(i)}},
			event{aggregate: "a", version: uint64(2*i + 2)}.on(t, c),
		)
		expect(t, results, fmt.Sprint(stored+1), fmt.Sprint(i+1), fmt.Sprint(stored+2))
		stored += 2
		if faults.Left() > 0 {
			t.Fatalf("%v: %d faults did not happen", fault, faults.Left())
		}
	}
	if n := len(readAll(t, s, c)); n != stored {
		t.Fatalf("%d events, want %d", n, stored)
	}
	// So are the other writes.
	ctx := testContext(t)
	for i, fault := range []CommitFault{LostBefore, LostAfter, LateCommit} {
		if o.Driver == "sqlite" && fault == LateCommit {
			fault = LostAfter
		}
		faults.Commits(fault)
		name := fmt.Sprint("new", i)
		created := channel(t, s, name)
		expect(t, appendAll(t, s, stores.Append{Channel: created}), "1")
		sub := &spb.SubState{ClientID: "me"}
		for _, write := range []func() error{
			func() error { return s.CreateSubscription(ctx, created, sub) },
			func() error {
				return s.SaveProgress(ctx, []stores.Progress{{Subscription: sub.ID, LastSent: 1, Unacked: []uint64{1}}})
			},
			func() error { return s.PutClient(ctx, &spb.ClientInfo{ID: name}) },
			func() error { return s.RenewLease(ctx) },
		} {
			faults.Commits(fault)
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := c.Info()
	s, state := restart(t, s, o)
	if got := s.Channel("eventstore.c").Info(); got != before {
		t.Errorf("recovered %+v, want %+v", got, before)
	}
	if len(state.Clients) != 3 || len(state.Channels) != 5 || len(state.Channels[4].Subscriptions) != 1 {
		t.Errorf("recovered %+v", state)
	}
	readAll(t, s, s.Channel("eventstore.c"))
	readAll(t, s, s.Channel("plain"))
}

// testOutcomeUnknown: if there is no time to find out, the caller learns that, and the next Append finds out.
func testOutcomeUnknown(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c, other := channel(t, s, "eventstore.c"), channel(t, s, "eventstore.other")
	next := 0
	t.Cleanup(faults.Wait)
	for i, fault := range []CommitFault{LostAfter, LostBefore, LateCommit} {
		if o.Driver == "sqlite" && fault == LateCommit {
			fault = LostAfter
		}
		ctx, cancel := context.WithCancel(testContext(t))
		faults.Commits(fault)
		faults.GoneAfterCommit(cancel) // no time is left when the database turns out to be gone
		e := event{id: fmt.Sprint(i), aggregate: "a"}
		results, err := s.Append(ctx, []stores.Append{e.on(t, c), {Channel: other}})
		cancel()
		expectError(t, err, stores.ErrUnavailable)
		expectError(t, err, stores.ErrOutcomeUnknown)
		expectError(t, results[0].Err, stores.ErrOutcomeUnknown)
		faults.Clear()
		faults.Wait()
		if info := c.Info(); info.Last != uint64(next) {
			t.Fatalf("outcome unknown, but memory advanced: %+v", info)
		}
		// Sent again, the batch is stored once in either case.
		results = appendAll(t, s, e.on(t, c), event{aggregate: "a"}.on(t, c))
		if fault == LostBefore {
			expect(t, results, fmt.Sprint(next+1), fmt.Sprint(next+2))
		} else {
			expect(t, results, fmt.Sprint("dup ", next+1), fmt.Sprint(next+2))
		}
		next += 2
		readAll(t, s, c)
	}
	readAll(t, s, other)
	s, _ = restart(t, s, o)
	readAll(t, s, s.Channel("eventstore.c"))
	readAll(t, s, s.Channel("eventstore.other"))
}

// testConnectionLost: lost connections are replaced, and a database that does not answer is an error in time.
func testConnectionLost(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	faults.Begins(io.EOF, syscall.ECONNRESET, io.ErrUnexpectedEOF)
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, c)), "1")
	for range 3 {
		endSessions(t, o)
		expect(t, appendAll(t, s, event{id: "same", aggregate: "a"}.on(t, c))[:0])
	}
	readAll(t, s, c)

	never := make([]error, 1000)
	for i := range never {
		never[i] = syscall.ECONNREFUSED
	}
	faults.Begins(never...)
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	before := c.Info()
	_, err := s.Append(ctx, []stores.Append{event{aggregate: "a"}.on(t, c)})
	expectError(t, err, stores.ErrUnavailable)
	if o.Driver == "sqlite" && errors.Is(err, stores.ErrOutcomeUnknown) { // on the others a text that commits itself was lost
		t.Error("the outcome is known: no COMMIT was sent")
	}
	expectError(t, err, context.DeadlineExceeded)
	expectError(t, s.RenewLease(ctx), stores.ErrUnavailable)
	if c.Info() != before {
		t.Error("memory advanced")
	}
	faults.Clear()
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, c)), fmt.Sprint(before.Last+1))
}

// testLocked: while someone else holds the lock that all writers need, a writer waits for its context's deadline and no
// longer.
func testLocked(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	rival, err := raw(t, o).Conn(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer rival.Close()
	begin := []string{"BEGIN", "UPDATE StoreLock SET tick = tick + 1"}
	if o.Driver == "sqlite" {
		begin = []string{"BEGIN IMMEDIATE"}
	}
	for _, text := range begin {
		if _, err := rival.ExecContext(testContext(t), text); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(testContext(t), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	e := event{id: "locked", aggregate: "a"}
	_, err = s.Append(ctx, []stores.Append{e.on(t, c)})
	expectError(t, err, stores.ErrUnavailable)
	if waited := time.Since(start); waited > 5*time.Second { // the driver's own limit for a lock is 10 s or more
		t.Errorf("waited for %v", waited)
	}
	if _, err := rival.ExecContext(testContext(t), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	// The database may have kept waiting, and stored it.
	if again := appendAll(t, s, e.on(t, c))[0]; again.Err != nil || again.Sequence != 1 {
		t.Errorf("published again: %+v", again)
	}
}

// endSessions ends all other sessions on the database, as an administrator does.
func endSessions(t *testing.T, o stores.Options) {
	t.Helper()
	db := raw(t, o)
	switch o.Driver {
	case "postgres":
		queryText(t, db, "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	case "mysql":
		var ids []string
		rows, err := db.QueryContext(testContext(t), "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if _, err := db.ExecContext(testContext(t), "KILL "+id); err != nil && !strings.Contains(err.Error(), "Unknown thread") {
				t.Fatal(err)
			}
		}
	}
}

func testClosed(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	for range 2 {
		s.Close()
	}
	ctx := testContext(t)
	_, err := s.Append(ctx, []stores.Append{{Channel: c}})
	expectError(t, err, stores.ErrClosed)
	_, err = s.Read(ctx, c, 1, 1, 1, 1)
	expectError(t, err, stores.ErrClosed)
	_, _, err = s.TryLease(ctx, "server", stores.Lease{})
	expectError(t, err, stores.ErrClosed)
	expectError(t, s.RenewLease(ctx), stores.ErrClosed)
	expectError(t, s.PutClient(ctx, &spb.ClientInfo{ID: "me"}), stores.ErrClosed)
	_, err = s.Recover(ctx)
	expectError(t, err, stores.ErrClosed)
}
