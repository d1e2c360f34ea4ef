package consumers

import (
	"slices"
	"testing"
	"time"
)

// rejoining subscribes again when it learns that its member has left.
type rejoining struct {
	received
	again func()
}

func (r *rejoining) Left() {
	if again := r.again; again != nil {
		r.again = nil
		again()
	}
}

// A member that is dropped by force comes back at once. It finds nothing of what was dropped, and is a consumer as any other.
func TestDropWhileMembersComeBack(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.configure(billing, `{"max_deliveries": 7}`)
	first := &rejoining{}
	r := f.requestOf("events", "me", "q", "d")
	r.Receiver = first
	first.again = func() { f.join(f.requestOf("events", "me", "q", "d")) }
	f.join(r)
	if err := f.Drop(t.Context(), Actor{}, billing, true); err != nil {
		t.Fatal(err)
	}
	if d := f.described(billing); !d.Exists || d.Effective.MaxDeliveries != nil {
		t.Errorf("after the drop: %+v", d)
	}
	f.configure(billing, `{"max_deliveries": 8}`)
	if d := f.described(billing); value(d.Stored.MaxDeliveries) != 8 || value(d.Effective.MaxDeliveries) != 8 {
		t.Errorf("configured after the drop: %+v", d)
	}
	until(t, f.raw(), 1, "SELECT COUNT(*) FROM NamedConsumers")
}

// What a member does after its consumer was dropped, or has ended, changes nothing.
func TestRejectAfterDrop(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.emit("Paid", "a", time.Time{})
	for _, end := range []func(*Member) error{
		func(*Member) error { return f.Drop(t.Context(), Actor{}, billing, true) },
		func(m *Member) error { return f.Leave(t.Context(), m, true) },
	} {
		got := &received{}
		r := f.requestOf("events", "me", "q", "d")
		r.Receiver = got
		m := f.join(r)
		got.wait(t, 1)
		if err := end(m); err != nil {
			t.Fatal(err)
		}
		f.Reject(m, 1, Rejection{Park: true})
		if err := f.flushed(t.Context(), m.group); err != nil {
			t.Fatal(err)
		}
		until(t, f.raw(), 0, "SELECT (SELECT COUNT(*) FROM NamedConsumers) + (SELECT COUNT(*) FROM Parked)")
	}
}

// A member leaves while its consumer is dropped, and the next one is there already.
func TestLeaveAfterDrop(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	for _, durable := range []string{"", "d"} {
		r := f.requestOf("events", "me", "q", durable)
		m := f.join(r)
		name := m.group.named.name
		if err := f.Drop(t.Context(), Actor{}, name, true); err != nil {
			t.Fatal(err)
		}
		next := f.join(f.requestOf("events", "me", "q", durable))
		f.remove(m, false)
		if active, offline := m.group.Size(); active+offline != 0 || f.names[name] != next.group.named {
			t.Errorf("%+v: %d active, %d offline; the next one is known: %v", name, active, offline, f.names[name] == next.group.named)
		}
	}
}

// A write that fails while the consumer is dropped does not bring its parked messages back.
func TestDropDuringWrite(t *testing.T) {
	t.Parallel()
	n := &named{newID: func() uint64 { return 9 }}
	s := &state{queue: true, name: n}
	s.setRules(Settings{}.rules(), 0)
	m := active(s, 1, 10)
	s.sent(m, 1, 0)
	s.park(1, "rejected", 0)
	_, taken := s.takeChanges(nil)
	s.drop()
	n.forget()
	s.changed.putBack(taken)
	changes, _ := s.takeChanges(nil)
	if len(changes.Named)+len(changes.Park) > 0 || !slices.Equal(changes.DropNamed, []uint64{9}) {
		t.Errorf("changes after the drop: %+v", changes)
	}
}
