package consumers

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A parked message does not hold up the erasure of its event: a replay passes over it, and sends the others.
func TestReplayAfterErasure(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.configure(billing, `{"order_by": "aggregate"}`)
	for i := range 6 {
		f.emit("Paid", fmt.Sprint("a", i%2), time.Time{})
	}
	f.consume(f.requestOf("events", "me", "q", "d"), func(seq uint64, _ uint32) Rejection {
		if seq == 3 || seq == 4 {
			return Rejection{Park: true, Reason: "no such account"}
		}
		return acked
	})
	eventually(t, "nothing was parked", func() bool { d := f.described(billing); return d.Parked == 4 && d.Backlog.Msgs == 0 })
	db := f.raw()
	until(t, db, 4, "SELECT COUNT(*) FROM Parked")
	for _, text := range []string{ // docs/operate/erasure.md has the rest of it
		"DROP TRIGGER events_are_immutable_delete",
		"UPDATE Channels SET msgs = msgs - 3, bytes = bytes - (SELECT SUM(size) FROM Messages WHERE aggregate_id = 'a0')",
		"DELETE FROM Messages WHERE aggregate_id = 'a0'",
	} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}

	after := open(t, f, Options{Interval: time.Millisecond}, nil)
	if d := after.described(billing); d.Parked != 4 {
		t.Errorf("%d are parked", d.Parked)
	}
	h := after.consume(after.requestOf("events", "me", "q", "d"), func(uint64, uint32) Rejection { return acked })
	if n, err := after.Replay(t.Context(), Actor{"admin", "here"}, billing, nil); n != 4 || err != nil {
		t.Fatalf("replayed %d, error %v", n, err)
	}
	if got := h.got.wait(t, 2); !slices.Equal(got, []string{"4*1", "6*1"}) {
		t.Errorf("deliveries: %v", got)
	}
	eventually(t, "something is left", func() bool {
		d := after.described(billing)
		return d.Parked == 0 && d.Unacked == 0 && d.Backlog.Msgs == 0
	})
	until(t, after.raw(), 0, "SELECT COUNT(*) FROM Parked")
}
