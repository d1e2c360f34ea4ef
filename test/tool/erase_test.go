package tool_test

import (
	"path/filepath"
	"testing"
)

// TestErase: what is to be erased is counted first, and nothing happens without a reason and an agreement. Whoever reads sees what was erased.
func TestErase(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		_, u := server(t, driver, source)
		u.fill()
		contains(t, u.ok("erase", "aggregate", "o1", "--dry-run"), "would erase "+orders+": 3 events")
		u.fails(usage, "--reason", "erase", "aggregate", "o1", "--yes")
		u.fails(refused, "--yes", "erase", "aggregate", "o1", "--reason", "request 1") // nobody can be asked
		u.fails(usage, "is not a sequence", "erase", "event", orders, "x", "--reason", "request 1", "--yes")
		u.fails(notFound, "nothing to erase", "erase", "by-tag", "customer:nobody", "--reason", "request 1", "--yes")
		contains(t, u.ok("read"), "12.50")

		contains(t, u.ok("erase", "by-tag", "customer:c9", "--reason", "request 1", "--yes"), "erased "+orders+": 2 events (erasure 1)")
		contains(t, u.ok("erase", "aggregate", "o1", "--type", "Order", "--channel", orders, "--reason", "request 2", "--yes"), "erased "+orders+": 1 events (erasure 2)")
		u.fails(notFound, "nothing to erase", "erase", "event", orders, "1", "--reason", "request 3", "--yes")
		contains(t, u.ok("read"), "(erased)", "99999999999999999999")
		all := u.objects("read", orders)
		for i, erasure := range []any{1.0, 1.0, nil, 2.0} {
			if e := all[i]; e["erased"] != erasure || (e["data"] == nil) != (erasure != nil) || (erasure != nil && (e["tags"] != nil || e["metadata"] != nil)) {
				t.Errorf("event %d: %v", i, e)
			}
		}
		// An import does not make an event of a tombstone.
		for _, format := range []string{"ndjson", "csv", "cloudevents"} {
			file := filepath.Join(t.TempDir(), "export")
			u.ok("export", "--format", format, "-o", file)
			u.fails(usage, "erased is set by the server", "import", file, "--channel", "eventstore.imported")
		}
		if got := column(u.objects("erase", "ls"), "reason"); got != "request 2 request 1" {
			t.Errorf("erasures %s", got)
		}
	})
}
