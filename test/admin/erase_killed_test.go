package admin_test

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

var erasedEvents = flag.Int("erased_events", 6000, "events that TestEraseKilledWhileReplacing erases, in one transaction")

// TestEraseKilledWhileReplacing kills the server again and again in the transaction that replaces all events, a little later each time.
// Before it commits, nobody sees a part of it: no row, no tag, no counter is another. Each server resumes what the one before left.
func TestEraseKilledWhileReplacing(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		n := *erasedEvents
		s := start(t, driver, source)
		s.appendAll(t, orders, personal("keep", "Named", "k1"))
		for i := 0; i < n; i += 1000 {
			var batch []m
			for j := range min(1000, n-i) {
				batch = append(batch, personal("customer-17", "Named", fmt.Sprint("c", i+j)))
			}
			s.appendAll(t, orders, batch...)
		}
		// state is what a reader of the database sees of the erasure.
		state := func() string {
			return strings.Join(query(t, driver, source, `SELECT (SELECT COUNT(*) FROM Messages WHERE erased IS NOT NULL), (SELECT COUNT(*) FROM Messages WHERE aggregate_id = 'customer-17' AND event_data IS NULL),
				(SELECT COUNT(*) FROM EventTags), (SELECT bytes - (SELECT SUM(size) FROM Messages AS m WHERE m.id = Channels.id) FROM Channels WHERE name = '`+orders+`')`), "|")
		}
		whole, erased := fmt.Sprintf("0|0|%d|0", 2*(n+1)), fmt.Sprintf("%d|%d|2|0", n, n)
		if got := state(); got != whole {
			t.Fatalf("before: %s, want %s", got, whole)
		}
		listed := strconv.Itoa(n)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			_, _, _ = s.call(ctx, "Admin/EraseEvents", m{"aggregateId": "customer-17", "reason": "killed"})
		}()
		eventually(t, func() bool { return query(t, driver, source, "SELECT COUNT(*) FROM ErasedMessages")[0] == listed })
		within := 0
		for after := 10 * time.Millisecond; ; after = after * 8 / 5 {
			time.Sleep(after) // whenever it is, all is as it was or all is erased
			s.Kill()
			got := state()
			if got != whole && got != erased {
				t.Fatalf("killed after %v: %s, want %s or %s", after, got, whole, erased)
			}
			s.Restart()
			if got == erased {
				break
			}
			within++
			s.WaitLog(t, "Resuming an erasure")
		}
		t.Logf("%d events: killed %d times between the list and the commit", n, within)
		if within < 3 {
			t.Errorf("killed only %d times before the commit", within)
		}
		eventually(t, func() bool {
			return query(t, driver, source, "SELECT COUNT(*) FROM Erasures WHERE state = 'done'")[0] == "1"
		})
		if got := state(); got != erased {
			t.Errorf("in the end: %s, want %s", got, erased)
		}
		s.Stop()
		harness.Verify(t, driver, source)
	})
}
