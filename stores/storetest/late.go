package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// testLateBatch: a text that reaches the server last has no effect, even if the rows that it would collide with are
// gone.
func testLateBatch(t *testing.T, o stores.Options) {
	if o.Driver == "sqlite" {
		return // no network between SQLite and its client
	}
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c, other := channel(t, s, "c"), channel(t, s, "other")
	release := faults.HoldLate()
	t.Cleanup(faults.Wait)
	t.Cleanup(release)
	faults.Commits(LateCommit)
	expect(t, appendAll(t, s, stores.Append{Channel: c, Payload: []byte("x")}, stores.Append{Channel: other, Payload: []byte("y")}), "1", "1")
	if err := s.Prune(testContext(t), c, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(testContext(t), other, 1); err != nil {
		t.Fatal(err)
	}
	release()
	faults.Wait()
	db := raw(t, o)
	if n := queryText(t, db, "SELECT COUNT(*) FROM Messages"); n != "0" {
		t.Errorf("%s messages came back", n)
	}
	if n := queryText(t, db, "SELECT SUM(maxseq) FROM Channels"); n != "2" {
		t.Errorf("the sequences of the channels add up to %s", n)
	}
	expect(t, appendAll(t, s, stores.Append{Channel: c, Payload: []byte("z")}), "2")
}

// testLateAfterReread: a text has no effect if it arrives after a later batch has read its channels again.
func testLateAfterReread(t *testing.T, o stores.Options) {
	if o.Driver == "sqlite" {
		return // no network between SQLite and its client
	}
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c, other, third := channel(t, s, "c"), channel(t, s, "other"), channel(t, s, "third")
	for _, lost := range [][]stores.Append{
		{{Channel: c, Payload: []byte("one")}},
		{{Channel: c, Payload: []byte("x")}, {Channel: other, Payload: []byte("y")}},
	} {
		release := faults.HoldLate()
		t.Cleanup(faults.Wait)
		t.Cleanup(release)
		ctx, cancel := context.WithCancel(testContext(t))
		faults.Commits(LateCommit)
		faults.GoneAfterCommit(cancel)
		_, err := s.Append(ctx, lost)
		expectError(t, err, stores.ErrOutcomeUnknown)
		faults.Clear()
		appendAll(t, s, stores.Append{Channel: third, Payload: []byte("z")})
		release()
		faults.Wait()
		for _, ch := range []*stores.Channel{c, other, third} {
			readAll(t, s, ch)
		}
	}
	db := raw(t, o)
	if n := queryText(t, db, "SELECT COUNT(*) FROM Messages"); n != "2" {
		t.Errorf("%s messages are stored", n)
	}
	if n := queryText(t, db, "SELECT SUM(msgs) FROM Channels"); n != "2" {
		t.Errorf("the channels count %s messages", n)
	}
}

// testLateOfDeleted: a text that arrives after one of its channels was deleted leaves nothing behind.
func testLateOfDeleted(t *testing.T, o stores.Options) {
	if o.Driver == "sqlite" {
		return // no network between SQLite and its client
	}
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c, other := channel(t, s, "c"), channel(t, s, "other")
	release := faults.HoldLate()
	t.Cleanup(faults.Wait)
	t.Cleanup(release)
	ctx, cancel := context.WithCancel(testContext(t))
	faults.Commits(LateCommit)
	faults.GoneAfterCommit(cancel)
	_, err := s.Append(ctx, []stores.Append{{Channel: c, Payload: []byte("x")}, {Channel: other, Payload: []byte("y")}})
	expectError(t, err, stores.ErrOutcomeUnknown)
	faults.Clear()
	if err := s.DeleteChannel(testContext(t), c); err != nil {
		t.Fatal(err)
	}
	release()
	faults.Wait()
	if err := s.PurgeDeleted(testContext(t)); err != nil {
		t.Fatal(err)
	}
	expect(t, appendAll(t, s, stores.Append{Channel: other, Payload: []byte("z")}), "1")
	db := raw(t, o)
	if n := queryText(t, db, "SELECT COUNT(*) FROM Channels"); n != "1" {
		t.Errorf("%s channels remain", n)
	}
	if n := queryText(t, db, "SELECT COUNT(*) FROM Messages"); n != "1" {
		t.Errorf("%s messages are stored", n)
	}
}

// testLateRefused: a late text has no effect either if its repetition was refused and would no longer be.
func testLateRefused(t *testing.T, o stores.Options) {
	if o.Driver == "sqlite" {
		return
	}
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	refuse(t, o)
	release := faults.HoldLate()
	t.Cleanup(faults.Wait)
	t.Cleanup(release)
	faults.Commits(LateCommit)
	if r := appendAll(t, s, event{aggregate: "a", typ: "Forbidden"}.on(t, c))[0]; !errors.Is(r.Err, stores.ErrRefused) {
		t.Fatalf("%+v", r)
	}
	exec(t, raw(t, o), "ALTER TABLE Messages DROP CONSTRAINT forbidden")
	release()
	faults.Wait()
	readAll(t, s, c)
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, c)), "1")
}

// testOtherEpoch: a server in another epoch than the database, for instance one at a promoted replica, begins a new
// one.
func testOtherEpoch(t *testing.T, o stores.Options) {
	if o.Driver == "sqlite" {
		return
	}
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	expect(t, appendAll(t, s, stores.Append{Channel: c, Payload: []byte("x")}), "1")
	epoch := func() string { return queryText(t, raw(t, o), "SELECT epoch FROM StoreLock") }
	exec(t, raw(t, o), "UPDATE StoreLock SET epoch = epoch + 7")
	other := epoch()
	next := uint64(2)
	_, err := s.Append(testContext(t), []stores.Append{{Channel: c, Payload: []byte("y")}})
	switch {
	case errors.Is(err, stores.ErrFenced):
		s, _ = restart(t, s, o)
		c = s.Channel("c")
	case err != nil:
		t.Fatal(err)
	default:
		next++
	}
	begun := epoch()
	if begun == other {
		t.Error("the server did not begin an epoch of its own")
	}
	expect(t, appendAll(t, s, stores.Append{Channel: c, Payload: []byte("z")}), fmt.Sprint(next))
	if now := epoch(); now != begun {
		t.Errorf("epoch %s ended although it was known", begun)
	}
	readAll(t, s, c)
}
