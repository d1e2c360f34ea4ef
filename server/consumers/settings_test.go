package consumers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// settings parses JSON.
func settings(t *testing.T, text string) Settings {
	t.Helper()
	s, err := parseSettings(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// configure gives a consumer settings at run time.
func (f *fixture) configure(name stores.ConsumerName, text string) {
	f.t.Helper()
	s := settings(f.t, text)
	if err := f.Configure(f.t.Context(), Actor{"admin", "here"}, name, ActConfigure, func(to *Settings) error {
		*to = s
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
}

// handler receives messages as an application: it answers each as handle says, at once.
type handler struct {
	f      *fixture
	m      chan *Member
	handle func(seq uint64, deliveries uint32) Rejection
	got    received
	queue  chan func()
}

var acked = Rejection{Reason: "acked"}

// consume joins a group as a handler.
func (f *fixture) consume(r Request, handle func(seq uint64, deliveries uint32) Rejection) *handler {
	h := &handler{f: f, m: make(chan *Member, 1), handle: handle, queue: make(chan func(), 1<<16)}
	r.Receiver = h
	m := f.join(r)
	go func() {
		for answer := range h.queue {
			answer()
		}
	}()
	f.t.Cleanup(func() {
		f.stop() // nothing is received any more
		close(h.queue)
	})
	h.m <- m
	return h
}

func (h *handler) Receive(m stores.Message, deliveries uint32) {
	h.got.Receive(m, deliveries)
	h.queue <- func() {
		member := <-h.m
		h.m <- member
		if r := h.handle(m.Sequence, deliveries); r == acked {
			h.f.Ack(member, m.Sequence)
		} else if r != (Rejection{Reason: "silence"}) {
			h.f.Reject(member, m.Sequence, r)
		}
	}
}

func (*handler) Waits(uint64) bool { return false }
func (*handler) Left()             {}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(what)
}

var billing = stores.ConsumerName{Line: "events", Name: "d:q"}

func (f *fixture) described(name stores.ConsumerName) Description {
	f.t.Helper()
	d, err := f.Describe(name)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// A poison message is delivered as often as it may be, then parked, while the others go on. It survives a crash with its count, is
// sent again as for the first time when it is replayed, and all of that is in the audit table.
func TestPoisonIsParked(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.configure(billing, `{"max_deliveries": 3, "backoff": ["20ms", "10ms"]}`)
	for i := range 10 {
		f.emit("Paid", fmt.Sprint("a", i), time.Time{})
	}
	poison := func(seq uint64, _ uint32) Rejection {
		if seq == 4 {
			return Rejection{Reason: "silence"}
		}
		return acked
	}
	h := f.consume(f.requestOf("events", "me", "q", "d"), poison)
	eventually(t, "nothing was parked", func() bool { return f.described(billing).Parked == 1 })
	if got := h.got.wait(t, 12); !slices.Contains(got, "4*3") || slices.Contains(got, "4*4") {
		t.Errorf("deliveries: %v", got)
	}
	eventually(t, "others are not acknowledged", func() bool { return f.described(billing).Backlog.Msgs == 0 })
	parked, err := f.Parked(t.Context(), billing, 0, 10)
	if err != nil || len(parked) != 1 || parked[0].Seq != 4 || parked[0].Deliveries != 3 || parked[0].First > parked[0].Last || parked[0].First == 0 || !strings.Contains(parked[0].Reason, "3 times") {
		t.Fatalf("parked: %+v, error %v", parked, err)
	}

	after := open(t, f, Options{Interval: time.Millisecond}, nil)
	if d := after.described(billing); d.Parked != 1 || value(d.Effective.MaxDeliveries) != 3 {
		t.Errorf("after a crash: %+v", d)
	}
	again := after.consume(after.requestOf("events", "me", "q", "d"), func(uint64, uint32) Rejection { return acked })
	if _, err := after.Replay(t.Context(), Actor{"admin", "here"}, billing, []uint64{4, 5}); !errors.Is(err, ErrUnknownMessage) {
		t.Errorf("replay of a message that is not parked: %v", err)
	}
	if n, err := after.Replay(t.Context(), Actor{"admin", "here"}, billing, nil); n != 1 || err != nil {
		t.Fatalf("replayed %d, error %v", n, err)
	}
	eventually(t, "the replayed message did not come", func() bool { return slices.Contains(again.got.wait(t, 1), "4*1") })
	eventually(t, "it is not acknowledged", func() bool { d := after.described(billing); return d.Parked == 0 && d.Unacked == 0 })
	until(t, after.raw(), 0, "SELECT COUNT(*) FROM Parked")
	until(t, after.raw(), 1, "SELECT COUNT(*) FROM AuditEntries WHERE action = 'replay' AND principal = 'admin'")
}

// A rejected message is sent again after its delay, also after a crash, or parked, or skipped.
func TestRejections(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	for i := range 4 {
		f.emit("Paid", fmt.Sprint("a", i), time.Time{})
	}
	began := time.Now()
	f.consume(f.requestOf("events", "me", "q", "d"), func(seq uint64, deliveries uint32) Rejection {
		switch {
		case seq == 1 && deliveries == 1:
			return Rejection{Delay: 2 * time.Second}
		case seq == 2:
			return Rejection{Park: true, Reason: "no such account"}
		case seq == 3:
			return Rejection{Skip: true}
		}
		return acked
	})
	eventually(t, "not as rejected", func() bool { d := f.described(billing); return d.Parked == 1 && d.Unacked == 1 && d.Waiting == 1 })
	until(t, f.raw(), 1, "SELECT COUNT(*) FROM ConsumersRedelivered")
	after := open(t, f, Options{}, nil)
	h := after.consume(after.requestOf("events", "me", "q", "d"), func(uint64, uint32) Rejection { return acked })
	if got := h.got.wait(t, 1); !slices.Equal(got, []string{"1*2"}) || time.Since(began) < 2*time.Second {
		t.Errorf("after a crash: %v, %v after the rejection", got, time.Since(began))
	}
	if parked, err := after.Parked(t.Context(), billing, 0, 10); err != nil || len(parked) != 1 || parked[0].Reason != "no such account" {
		t.Errorf("parked: %+v, error %v", parked, err)
	}
}

// In an ordered group, a message that fails holds back those of its aggregate. When it is parked, they are parked behind it, and
// later ones too, until all are replayed, in order.
func TestOrderBehindParked(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.configure(billing, `{"max_deliveries": 2, "order_by": "aggregate", "ack_wait": "10ms"}`)
	for i := range 12 {
		f.emit("Paid", fmt.Sprint("a", i%3), time.Time{})
	}
	broken := true
	h := f.consume(f.requestOf("events", "me", "q", "d"), func(seq uint64, _ uint32) Rejection {
		if seq == 4 && broken {
			return Rejection{} // at once again
		}
		return acked
	})
	eventually(t, "not parked with what is behind it", func() bool { return f.described(billing).Parked == 3 })
	f.emit("Paid", "a0", time.Time{})
	f.emit("Paid", "a1", time.Time{})
	eventually(t, "the next one is not parked", func() bool { d := f.described(billing); return d.Parked == 4 && d.Backlog.Msgs == 0 })
	if got := h.got.wait(t, 11); slices.ContainsFunc(got, func(s string) bool {
		return strings.HasPrefix(s, "7*") || strings.HasPrefix(s, "10*") || strings.HasPrefix(s, "13*")
	}) {
		t.Errorf("sent although parked: %v", got)
	}
	before := len(h.got.wait(t, 0))
	until(t, f.raw(), 4, "SELECT COUNT(*) FROM Parked")
	after := open(t, f, Options{}, nil)
	after.configure(billing, `{"order_by": "aggregate"}`)
	again := after.consume(after.requestOf("events", "me", "q", "d"), func(uint64, uint32) Rejection { return acked })
	if n, err := after.Replay(t.Context(), Actor{}, billing, nil); n != 4 || err != nil {
		t.Fatalf("replayed %d, error %v", n, err)
	}
	eventually(t, "what was replayed is not acknowledged", func() bool { d := after.described(billing); return d.Parked == 0 && d.Unacked == 0 })
	got := slices.DeleteFunc(again.got.wait(t, 4), func(s string) bool { return strings.HasPrefix(s, "14*") }) // perhaps not stored before the crash
	if want := []string{"4*1", "7*1", "10*1", "13*1"}; !slices.Equal(got, want) {
		t.Errorf("replayed %v, want %v (before the crash there were %d)", got, want, before)
	}
}

// A delayed event comes at its time, and not before, to each consumer, also after a crash; one that is cancelled does not come. In an
// ordered group, later events of its aggregate wait for it.
func TestDelays(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.configure(billing, `{"order_by": "aggregate"}`)
	at := time.Now().Add(3 * time.Second)
	f.emit("Reminder", "a", at)
	f.emit("Paid", "a", time.Time{})
	f.emit("Paid", "b", time.Time{})
	f.emit("Reminder", "c", at)
	f.emit("Paid", "d", time.Now().Add(-time.Hour))
	h := f.consume(f.requestOf("events", "me", "q", "d"), func(uint64, uint32) Rejection { return acked })
	atOnce := h.got.wait(t, 2)
	var b Backlog
	eventually(t, "others are not acknowledged", func() bool {
		b = f.described(billing).Backlog
		return b.Msgs == 3 || !time.Now().Before(at)
	})
	if want := []string{"3*1", "5*1"}; time.Now().Before(at) && (!slices.Equal(atOnce, want) || b != Backlog{Msgs: 3, First: 2}) {
		t.Errorf("received %v at once, want %v; backlog %+v: a delayed event is not late, but what waits behind it is", atOnce, want, b)
	}
	if err := f.CancelDelivery(t.Context(), Actor{}, f.eventlog.Channel("events").Stored(), 4, "x"); err != nil {
		t.Fatal(err)
	}
	until(t, f.raw(), 2, "SELECT json_array_length(pending) + (SELECT COUNT(*) FROM CancelledDeliveries) FROM ConsumersPending")
	after := open(t, f, Options{Interval: time.Millisecond}, nil)
	again := after.consume(after.requestOf("events", "me", "q", "d"), func(uint64, uint32) Rejection { return acked })
	other := after.consume(after.requestOf("events", "you", "", "plain"), func(uint64, uint32) Rejection { return acked })
	if got, want := again.got.wait(t, 2), []string{"1*1", "2*1"}; !slices.Equal(got, want) || time.Now().Before(at) {
		t.Errorf("received %v, want %v after %v", got, want, at)
	}
	if got := other.got.wait(t, 4); !slices.Contains(got, "1*1") || slices.Contains(got, "4*1") {
		t.Errorf("another consumer received %v", got)
	}
	eventually(t, "the cancelled event still waits", func() bool { return after.described(billing).Unacked == 0 })
}

// A paused consumer gets nothing until it is resumed; a stalled one shows where, and goes on when that message is skipped; one with a
// filter passes the rest; the position can be set.
func TestPauseStallFilterMove(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.configure(billing, `{"paused": true, "max_deliveries": 1, "on_limit": "stall", "ack_wait": "10ms", "max_inflight": 1, "filter": {"types": ["Paid.*"], "tags": ["eu"]}}`)
	f.emit("Paid.a", "a", time.Time{}, "eu")
	f.emit("Lost.b", "a", time.Time{}, "eu")
	f.emit("Paid.c", "a", time.Time{}, "us")
	f.emit("Paid.d", "a", time.Time{}, "us", "eu")
	f.emit("Paid.e", "a", time.Time{}, "eu")
	h := f.consume(f.requestOf("events", "me", "q", "d"), func(seq uint64, _ uint32) Rejection {
		if seq == 4 {
			return Rejection{Reason: "silence"}
		}
		return acked
	})
	if d := f.described(billing); !value(d.Effective.Paused) || d.LastSent != 0 {
		t.Errorf("paused: %+v", d)
	}
	f.configure(billing, `{"max_deliveries": 1, "on_limit": "stall", "ack_wait": "10ms", "max_inflight": 1, "filter": {"types": ["Paid.*"], "tags": ["eu"]}}`)
	eventually(t, "not stalled", func() bool { d := f.described(billing); return d.StalledAt == 4 && !d.StalledSince.IsZero() })
	if err := f.Skip(t.Context(), Actor{}, billing, 9, ""); !errors.Is(err, ErrUnknownMessage) {
		t.Errorf("skip of a message to come: %v", err)
	}
	if err := f.Skip(t.Context(), Actor{}, billing, 4, "broken"); err != nil {
		t.Fatal(err)
	}
	if got, want := h.got.wait(t, 3), []string{"1*1", "4*1", "5*1"}; !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
	if err := f.SetPosition(t.Context(), Actor{}, billing, 7); !errors.Is(err, ErrInvalidPosition) {
		t.Errorf("a position beyond the end: %v", err)
	}
	if err := f.SetPosition(t.Context(), Actor{}, billing, 5); err != nil {
		t.Fatal(err)
	}
	if got := h.got.wait(t, 4); got[3] != "5*1" {
		t.Errorf("received %v after the position was set", got)
	}
	if err := f.Drop(t.Context(), Actor{}, billing, false); !errors.Is(err, ErrActiveMembers) {
		t.Errorf("dropped with members: %v", err)
	}
	if err := f.Drop(t.Context(), Actor{}, billing, true); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Describe(billing); !errors.Is(err, ErrUnknownConsumer) {
		t.Errorf("described after a drop: %v", err)
	}
	until(t, f.raw(), 0, "SELECT (SELECT COUNT(*) FROM Consumers) + (SELECT COUNT(*) FROM Subscriptions WHERE deleted = FALSE) + (SELECT COUNT(*) FROM NamedConsumers)")
	until(t, f.raw(), 5, "SELECT COUNT(*) FROM AuditEntries")
}

// An act during an outage fails, and does nothing by half.
func TestActsDuringOutage(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{StoreTimeout: 100 * time.Millisecond}, nil)
	f.emit("Paid", "a", time.Time{})
	h := f.consume(f.requestOf("events", "me", "q", "d"), func(uint64, uint32) Rejection { return Rejection{Reason: "silence"} })
	h.got.wait(t, 1)
	db := f.raw()
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := f.Skip(ctx, Actor{}, billing, 1, ""); !errors.Is(err, stores.ErrUnavailable) {
		t.Errorf("skipped: %v", err)
	}
	if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	// Its outcome is unknown: where the lock goes before the statement is interrupted, it is stored. Memory and database agree on it.
	if f.described(billing).Unacked == 1 {
		if err := f.Skip(t.Context(), Actor{}, billing, 1, ""); err != nil {
			t.Fatal(err)
		}
	}
	until(t, db, 1, "SELECT COUNT(*) FROM AuditEntries WHERE action = 'skip' AND NOT EXISTS (SELECT 1 FROM ConsumersPending)")
}

func TestSettingsValidate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"max_deliveries": -1}`:             "max_deliveries is -1",
		`{"backoff": ["1ns"]}`:               "backoff: 1ns is out of range",
		`{"backoff": ["soon"]}`:              `"soon" is not a duration`,
		`{"ack_wait": "-1s"}`:                "ack_wait: -1s is out of range",
		`{"max_inflight": 4294967296}`:       "max_inflight is 4294967296",
		`{"order_by": "tag:"}`:               `order_by is "tag:"`,
		`{"order_by": "customer"}`:           `order_by is "customer"`,
		`{"on_limit": "explode"}`:            `on_limit is "explode"`,
		`{"behind_parked": "x"}`:             `behind_parked is "x"`,
		`{"filter": {"types": ["a.>.b"]}}`:   "filter: ",
		`{"filter": {"tags": ["a\u0000b"]}}`: "NUL",
		`{"max_deliveries": 5, "ack_wait": "0s", "order_by": "tag:customer:"}`: "",
	} {
		_, err := parseSettings(json.RawMessage(text))
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", text, got, want)
		}
	}
}

// Of the rules that match a consumer, later ones override earlier ones field by field, and both give way to what was set at run time.
func TestRules(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Rules: []Rule{
		{Settings: settings(t, `{"max_deliveries": 5, "ack_wait": "1m"}`)},
		{Channels: []string{"events"}, Names: []string{"d:*"}, Settings: settings(t, `{"max_deliveries": 7}`)},
		{Names: []string{"other"}, Settings: settings(t, `{"max_deliveries": 9}`)},
	}}, nil)
	f.configure(billing, `{"on_limit": "skip"}`)
	f.join(f.requestOf("events", "me", "q", "d"))
	got, err := json.Marshal(f.described(billing).Effective)
	if want := `{"max_deliveries":7,"ack_wait":"1m0s","on_limit":"skip"}`; err != nil || string(got) != want {
		t.Errorf("settings %s, want %s", got, want)
	}
	f.SetRules(nil)
	if got, _ := json.Marshal(f.described(billing).Effective); string(got) != `{"on_limit":"skip"}` {
		t.Errorf("settings without rules: %s", got)
	}
	for pattern, matches := range map[string]bool{"*": true, "d:q": true, "d*q": true, "*q": true, "d:": false, "d:*x": false} {
		if matchesName(pattern, "d:q") != matches {
			t.Errorf("%q: %v", pattern, !matches)
		}
	}
}
