package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
)

// rarely is an interval at which a test writes nothing, except when a request waits.
const rarely = time.Hour

// A join stores the group's position, so it also stores what other members hold.
func TestCrashAfterJoin(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: rarely}, nil)
	f.publish("c", 100)
	f.join(f.request("a", "q", "d"))
	f.sink.wait(t, 100)
	f.join(f.request("b", "q", "d"))
	if lost := f.lost(100); len(lost) > 0 {
		t.Errorf("a crash now loses messages: %v", lost)
	}
}

// The same holds when a durable closes or a member leaves.
func TestCrashAfterLeave(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"", "q"} {
		f := open(t, nil, Options{Interval: rarely}, nil)
		f.publish("c", 100)
		m := f.join(f.request("a", queue, "d"))
		if queue != "" {
			f.join(f.request("b", queue, "d"))
		}
		f.sink.wait(t, 100)
		if err := f.Leave(t.Context(), m, false); err != nil {
			t.Fatal(err)
		}
		if lost := f.lost(100); len(lost) > 0 {
			t.Errorf("queue %q: a crash now loses messages: %v", queue, lost)
		}
	}
}

// A member that unsubscribes during an outage gets an error, and is gone once the database is back.
func TestUnsubscribeDuringOutage(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{StoreTimeout: 100 * time.Millisecond}, nil)
	f.publish("c", 10)
	a, b := f.join(f.request("a", "q", "d")), f.join(f.request("b", "q", "d"))
	f.sink.wait(t, 10)
	db := f.raw()
	rival, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rival.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.Leave(ctx, a, true); !errors.Is(err, stores.ErrUnavailable) {
		t.Errorf("unsubscribed: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Join(ctx, f.request("late", "q", "d"), func(*Member) { t.Error("joined") }); !errors.Is(err, stores.ErrUnavailable) {
		t.Errorf("joined: %v", err)
	}
	if _, err := rival.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := rival.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, db, 1, "SELECT COUNT(*) FROM Subscriptions")
	until(t, db, 1, "SELECT COUNT(*) FROM Consumers WHERE members = '[2]'")
	if err := f.Leave(t.Context(), a, true); err != nil {
		t.Errorf("leaving twice: %v", err)
	}
	f.stop()
	after := open(t, f, Options{}, nil)
	if len(after.active) != 1 || after.active[0].ClientID() != b.ClientID() || after.active[0].Status().PendingCount != 10 {
		t.Errorf("recovered %+v", after.Groups(after.eventlog.Channel("c"))[0].Status())
	}
}

// A join whose write had an unknown outcome leaves nothing behind.
func TestJoinWithUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, fault := range []storetest.CommitFault{storetest.LostBefore, storetest.LostAfter} {
		f := open(t, nil, Options{StoreTimeout: 100 * time.Millisecond}, nil)
		f.publish("c", 3)
		r := f.request("a", "", "d")
		ctx, cancel := context.WithCancel(t.Context())
		f.faults.GoneAfterCommit(cancel)
		f.faults.Commits(fault)
		if _, err := f.Join(ctx, r, func(*Member) { t.Error("joined") }); !errors.Is(err, stores.ErrUnavailable) {
			t.Fatalf("joined: %v", err)
		}
		f.faults.Clear()
		db := f.raw()
		until(t, db, 0, "SELECT COUNT(*) FROM Subscriptions")
		until(t, db, 0, "SELECT COUNT(*) FROM Consumers")
		m := f.join(r)
		f.sink.wait(t, 3)
		f.Ack(m, 2)
		f.stop()
		after := open(t, f, Options{}, nil)
		if n := after.Count(after.eventlog.Channel("c")); n != 1 || after.active[0].Status().PendingCount != 2 {
			t.Errorf("recovered %d subscriptions", n)
		}
		after.stop()
	}
}

// A recovered client is sent nothing until it is back, then its due messages. Other members are sent new messages.
func TestRecoveredClientIsAway(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	f.publish("c", 4)
	r := f.request("a", "q", "d")
	r.AckWaitInSecs = 3 // then b is sent what a holds
	f.join(r)
	f.sink.wait(t, 4)
	other := f.request("b", "q", "d")
	other.MaxInFlight = 3 // no room for the messages of a
	f.join(other)
	f.stop()

	away := &fakeClient{id: "a"}
	away.unreachable.Store(true)
	after := open(t, f, Options{}, func(id string) Client {
		if id == "a" {
			return away
		}
		return &fakeClient{id: id}
	})
	after.publish("c", 3)
	want := []string{"b 5", "b 6", "b 7"}
	if got := after.sink.wait(t, 3); !slices.Equal(got, want) {
		t.Fatalf("sent %v, want %v", got, want)
	}
	away.unreachable.Store(false)
	after.Wake(away)
	want = append(want, "a 1r", "a 2r", "a 3r", "a 4r")
	if got := after.sink.wait(t, 7)[:7]; !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// What a recovered client holds that does not come back goes to others of its group after its AckWait, as after any other
// time-out, and not only when its heartbeats have failed.
func TestRecoveredClientStaysAway(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	f.publish("c", 4)
	r := f.request("a", "q", "d")
	r.AckWaitInSecs = 1
	f.join(r)
	f.sink.wait(t, 4)
	f.join(f.request("b", "q", "d"))
	f.stop()

	after := open(t, f, Options{}, func(id string) Client {
		c := &fakeClient{id: id}
		c.unreachable.Store(id == "a")
		return c
	})
	want := []string{"b 1r", "b 2r", "b 3r", "b 4r"}
	if got := after.sink.wait(t, 4)[:4]; !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// A member counts for the next message once its client has the answer.
func TestMemberCountsFromItsAnswer(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	for _, id := range []string{"a", "b"} {
		if _, err := f.Join(t.Context(), f.request(id, "q", "d"), func(m *Member) {
			if !slices.Contains(m.group.state.members, m) {
				t.Errorf("%s has its answer and is not yet a member", id)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A resumed durable is first sent its unacknowledged messages, each once.
func TestResume(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	f.publish("c", 3)
	m := f.join(f.request("a", "", "d"))
	f.sink.wait(t, 3)
	if _, err := f.Join(t.Context(), f.request("a", "", "d"), nil); !errors.Is(err, ErrDuplicateDurable) {
		t.Errorf("joined twice: %v", err)
	}
	f.Ack(m, 2)
	if err := f.Leave(t.Context(), m, false); err != nil {
		t.Fatal(err)
	}
	f.publish("c", 1)
	f.join(f.request("a", "", "d"))
	if got, want := f.sink.wait(t, 6), []string{"a 1", "a 2", "a 3", "a 1r", "a 3r", "a 4"}; !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
	if m := f.Durable(f.Line("c"), "a", "d"); m == nil || f.ByInbox(f.Line("c"), "a") != m || f.ByInbox(f.Line("c"), m.AckInbox()) != m {
		t.Error("the durable is not found")
	}
}

// A request for a larger window gets the server's limit.
func TestMaxInflightIsBounded(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{MaxInflight: 5}, nil)
	f.publish("c", 10)
	m := f.join(f.request("a", "", ""))
	if s := m.Status(); s.MaxInflight != 5 {
		t.Errorf("MaxInflight %d, want 5", s.MaxInflight)
	}
	f.sink.wait(t, 5)
	f.Ack(m, 1)
	if got := f.sink.wait(t, 6); got[5] != "a 6" || len(got) != 6 {
		t.Errorf("sent %v", got)
	}
	f.stop()
	if n := strings.Count(f.log.String(), "MaxInflight"); n != 1 {
		t.Errorf("%d log lines about it:\n%s", n, f.log.String())
	}
}

// A channel with an active subscription is not deleted. Its offline durables go with it, and no client can join it
// afterwards.
func TestRetire(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: rarely}, nil)
	f.publish("c", 1)
	r := f.request("a", "", "d")
	m := f.join(r)
	ch := f.eventlog.Channel(r.Line.Name())
	if retired, err := f.Retire(ch, func() error { panic("in use") }); retired || err != nil {
		t.Error(retired, err)
	}
	if err := f.Leave(t.Context(), m, false); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("no")
	if retired, err := f.Retire(ch, func() error { return failure }); retired || !errors.Is(err, failure) {
		t.Error(retired, err)
	}
	m = f.join(r)
	if err := f.Leave(t.Context(), m, false); err != nil {
		t.Fatal(err)
	}
	retired, err := f.Retire(ch, func() error {
		if _, err := f.Join(t.Context(), r, nil); !errors.Is(err, ErrChannelDeleted) {
			t.Errorf("joined while the channel is deleted: %v", err)
		}
		return f.store.DeleteChannel(t.Context(), ch.Stored())
	})
	if !retired || err != nil || len(f.Groups(ch)) != 0 {
		t.Error(retired, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := f.Join(ctx, r, func(*Member) {}); !errors.Is(err, ErrChannelDeleted) {
		t.Errorf("joined a deleted channel: %v", err)
	}
}

// At the start, groups of NATS Streaming and of earlier releases get their own position.
func TestConversion(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	f.publish("c", 30)
	ch := f.store.Channel("c")
	first := f.request("a", "q", "d")
	f.stop()
	for i, last := range []uint64{0, 20} { // the second joined at 20; the first one's progress is stored up to 10
		st := stateOf(first, fmt.Sprint("client", i), last)
		if err := f.store.CreateSubscription(t.Context(), ch, st); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.store.SaveProgress(t.Context(), []stores.Progress{{Subscription: 1, LastSent: 10, Unacked: []uint64{7, 10}}}); err != nil {
		t.Fatal(err)
	}
	after := open(t, f, Options{}, nil)
	until(t, after.raw(), 0, "SELECT COUNT(*) FROM SubsPending")
	got := after.sink.wait(t, 20)
	for i := range got {
		got[i] = got[i][strings.Index(got[i], " ")+1:]
	}
	for seq := 11; seq <= 30; seq++ {
		if !slices.Contains(got, fmt.Sprint(seq)) {
			t.Errorf("message %d was not sent: %v", seq, got)
		}
	}
	after.stop()
	last := open(t, after, Options{}, nil)
	c := last.state.Channels[0].Consumers
	if len(c) != 1 || !c[0].Stored || c[0].LastSent != 30 || len(c[0].Unacked[1])+len(c[0].Unacked[2]) != 22 {
		t.Errorf("recovered %+v", c[0])
	}
}

// After concurrent joins, leaves and unsubscribes, each durable exists once, and memory and database agree.
func TestConcurrentMembership(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	f.publish("c", 50)
	var workers sync.WaitGroup
	var rejected atomic.Int32
	for worker := range 8 {
		workers.Go(func() {
			for i := range 40 {
				r := f.request(fmt.Sprint("client", (worker+i)%3), []string{"", "q"}[i%2], "d")
				m, err := f.Join(t.Context(), r, func(*Member) {})
				switch {
				case errors.Is(err, ErrDuplicateDurable):
					rejected.Add(1)
				case err != nil:
					t.Error(err)
				default:
					f.Ack(m, uint64(i))
					if err := f.Leave(t.Context(), m, i%5 == 0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	workers.Wait()
	keys := map[Key]bool{}
	ch := f.eventlog.Channel("c")
	for _, g := range f.Groups(ch) {
		if active, offline := g.Size(); active != 0 || offline != 1 || keys[g.Key()] {
			t.Errorf("group %+v: %d active and %d offline", g.Key(), active, offline)
		}
		keys[g.Key()] = true
	}
	n := f.Count(ch)
	f.stop()
	db := f.raw()
	until(t, db, n, "SELECT COUNT(*) FROM Subscriptions")
	until(t, db, n, "SELECT COUNT(*) FROM Consumers")
	t.Logf("%d durables are left, %d requests were refused", n, rejected.Load())
}
