package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// commitFaults returns the COMMIT faults that a client of the database can meet.
func commitFaults(o stores.Options) []CommitFault {
	if o.Driver == "sqlite" {
		return []CommitFault{LostBefore, LostAfter}
	}
	return []CommitFault{LostBefore, LostAfter, LateCommit}
}

// withUnknownOutcome runs a write whose COMMIT meets a fault, and whose context ends before the outcome is known.
func withUnknownOutcome(t *testing.T, faults *Faults, fault CommitFault, write func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	faults.Commits(fault)
	faults.GoneAfterCommit(cancel)
	expectError(t, write(ctx), stores.ErrUnavailable)
	if faults.Left() > 0 {
		t.Fatal("the fault did not happen")
	}
	faults.Clear()
}

// testUnknownChannels: whatever the fate of its creation, a channel exists once, and no other has its ID.
func testUnknownChannels(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	t.Cleanup(faults.Wait)
	s, _ := lead(t, o)
	var names []string
	for _, fault := range commitFaults(o) {
		first, second, other := fmt.Sprint("first", fault), fmt.Sprint("second", fault), fmt.Sprint("other", fault)
		names = append(names, first, second, other)
		withUnknownOutcome(t, &faults, fault, func(ctx context.Context) error {
			_, err := s.CreateChannels(ctx, []string{first, second})
			return err
		})
		if s.Channel(first) != nil {
			t.Fatal("outcome unknown, but in memory")
		}
		channels, err := s.CreateChannels(testContext(t), []string{other, second, first, second})
		if err != nil || len(channels) != 3 {
			t.Fatalf("%d channels, error %v", len(channels), err)
		}
		for _, name := range []string{other, second, first} {
			expect(t, appendAll(t, s, stores.Append{Channel: channels[name], Payload: []byte(name)}), "1")
		}
	}
	faults.Wait()
	db := raw(t, o)
	if got, want := queryText(t, db, "SELECT COUNT(*) FROM Channels"), fmt.Sprint(len(names)); got != want {
		t.Errorf("%s channels, want %s", got, want)
	}
	s, state := restart(t, s, o)
	if len(state.Damaged) > 0 || len(state.Channels) != len(names) {
		t.Fatalf("%d channels, damaged %v", len(state.Channels), state.Damaged)
	}
	for _, name := range names {
		if got := string(readAll(t, s, s.Channel(name))[0].Data); got != name {
			t.Errorf("channel %q holds the message of %q", name, got)
		}
	}
}

// testCreateChannels creates several at once. Some exist already, and the database refuses one.
func testCreateChannels(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	old := channel(t, s, "old")
	long := make([]byte, 5000)
	for i := range long {
		long[i] = 'x'
	}
	names := []string{"a", "old", "b", "a"}
	if o.Driver != "sqlite" { // SQLite has no limit on a text
		names = append(names, string(long))
	}
	channels, err := s.CreateChannels(testContext(t), names)
	if (err != nil) != (o.Driver != "sqlite") || errors.Is(err, stores.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if len(channels) != 3 || channels["old"] != old || channels["a"] != s.Channel("a") || channels["b"] != s.Channel("b") {
		t.Fatalf("%v", channels)
	}
	expect(t, appendAll(t, s, stores.Append{Channel: channels["a"]}, stores.Append{Channel: channels["b"]}), "1", "1")
	// A channel that someone else inserted is found by name.
	exec(t, raw(t, o), "INSERT INTO Channels (id, name, maxseq) VALUES (1000, 'beside', 7)")
	expect(t, appendAll(t, s, stores.Append{Channel: channel(t, s, "beside")}), "8")
}

// testUnknownOutcomes: each write can be repeated after an unknown outcome, and takes effect once.
func testUnknownOutcomes(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	t.Cleanup(faults.Wait)
	s, _ := lead(t, o)
	for i, fault := range commitFaults(o) {
		name := func(what string) string { return fmt.Sprint(what, i) }
		writeTwice := func(write func(ctx context.Context) error) {
			t.Helper()
			withUnknownOutcome(t, &faults, fault, write)
			if err := write(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
		writeTwice(func(ctx context.Context) error {
			return s.SetServerInfo(ctx, &spb.ServerInfo{ClusterID: name("cluster")})
		})
		writeTwice(func(ctx context.Context) error { return s.PutClient(ctx, &spb.ClientInfo{ID: name("gone")}) })
		writeTwice(func(ctx context.Context) error { return s.PutClient(ctx, &spb.ClientInfo{ID: name("client")}) })
		writeTwice(func(ctx context.Context) error { return s.DeleteClient(ctx, name("gone")) })
		writeTwice(func(ctx context.Context) error { return s.SaveRelay(ctx, name("stream"), []byte("position")) })
		writeTwice(s.RenewLease)

		c := channel(t, s, name("pruned"))
		appendAll(t, s, stores.Append{Channel: c}, stores.Append{Channel: c}, stores.Append{Channel: c})
		writeTwice(func(ctx context.Context) error { return s.Prune(ctx, c, 2) })
		if info := c.Info(); info.First != 3 || info.Last != 3 || info.Msgs != 1 {
			t.Errorf("pruned: %+v", info)
		}

		restored := channel(t, s, name("restored"))
		messages := []*pb.MsgProto{{Sequence: 4, Timestamp: 1}, {Sequence: 6, Timestamp: 2}}
		writeTwice(func(ctx context.Context) error { return s.Restore(ctx, restored, messages, 9) })
		if info := restored.Info(); info.First != 4 || info.Last != 9 || info.Msgs != 2 {
			t.Errorf("restored: %+v", info)
		}
		expect(t, appendAll(t, s, stores.Append{Channel: restored}), "10")
		writeTwice(func(ctx context.Context) error { return s.DeleteSubscriptions(ctx, restored) })

		// A message that comes between the two is not stored in a channel that may be deleted.
		deleted := channel(t, s, name("deleted"))
		appendAll(t, s, stores.Append{Channel: deleted})
		withUnknownOutcome(t, &faults, fault, func(ctx context.Context) error { return s.DeleteChannel(ctx, deleted) })
		if r := appendAll(t, s, stores.Append{Channel: deleted})[0]; fault == LostBefore {
			expect(t, []stores.Result{r}, "2")
		} else {
			expectError(t, r.Err, stores.ErrUnknownChannel)
			expect(t, appendAll(t, s, stores.Append{Channel: channel(t, s, name("deleted"))}), "1")
		}
		if err := s.DeleteChannel(testContext(t), s.Channel(name("deleted"))); err != nil {
			t.Fatal(err)
		}
		writeTwice(s.PurgeDeleted)
	}
	s, state := restart(t, s, o)
	n := len(commitFaults(o))
	if len(state.Clients) != n || len(state.Channels) != 2*n || len(state.Damaged) > 0 || state.Server.ClusterID != fmt.Sprint("cluster", n-1) {
		t.Errorf("recovered %+v", state)
	}
	for _, c := range state.Channels {
		messages, err := s.Read(testContext(t), c.Channel, 1, 100, 100, 1<<20)
		if info := c.Channel.Info(); err != nil || uint64(len(messages)) != info.Msgs {
			t.Errorf("%s: %d messages of %+v (%v)", c.Channel.Name(), len(messages), info, err)
		}
	}
	if got, want := queryText(t, raw(t, o), "SELECT COUNT(*) FROM Channels"), fmt.Sprint(2*n); got != want {
		t.Errorf("%s channels, want %s", got, want)
	}
}

// testDamagedInDoubt: if a channel's row is damaged while an outcome is unknown, only that channel goes out of service.
func testDamagedInDoubt(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c, gone, other := channel(t, s, "c"), channel(t, s, "gone"), channel(t, s, "other")
	withUnknownOutcome(t, &faults, LostBefore, func(ctx context.Context) error {
		_, err := s.Append(ctx, []stores.Append{{Channel: c}, {Channel: gone}, {Channel: other}})
		return err
	})
	db := raw(t, o)
	wrong := "-1"
	if o.Driver == "mysql" { // the column does not accept negative numbers
		wrong = "NULL"
	}
	exec(t, db, fmt.Sprintf("UPDATE Channels SET maxseq = %s WHERE id = %d", wrong, c.ID()))
	exec(t, db, fmt.Sprintf("DELETE FROM Channels WHERE id = %d", gone.ID()))
	for n := range 2 {
		group := &stores.Group{}
		results := appendAll(t, s, stores.Append{Channel: c}, stores.Append{Channel: other}, stores.Append{Channel: gone},
			stores.Append{Channel: other, Group: group}, stores.Append{Channel: c, Group: group})
		for _, i := range []int{0, 2, 3, 4} {
			if damaged := (*stores.DamagedError)(nil); !errors.As(results[i].Err, &damaged) || damaged.Table != "Channels" {
				t.Errorf("message %d: %s", i, outcome(results[i]))
			}
		}
		expect(t, results[1:2], fmt.Sprint(n+1))
	}
	exec(t, db, fmt.Sprintf("UPDATE Channels SET maxseq = 0 WHERE id = %d", c.ID()))
	s, _ = restart(t, s, o)
	expect(t, appendAll(t, s, stores.Append{Channel: s.Channel("c")}), "1")
}
