package admin_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestEraseOddly: whatever an identifier looks like, just its events are erased. What tells readers of erasures is not, although its
// aggregates are numbers. The same is asked for many times at once, and done once.
func TestEraseOddly(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-wildcards")
		ids := []string{"1", "2", "%", "_", "'; DROP TABLE Messages; --", `"`, `\`, "ä", "Ä", "a", "A", " a", "a ", "a*", ">", "日本 語", "{}", strings.Repeat("x", 255)}
		tagged := func(id string) m {
			e := personal(id, "Named", fmt.Sprintf("by-%x", sha256.Sum256([]byte(id))))
			e["tags"] = []string{id}
			return e
		}
		for _, id := range ids {
			s.appendAll(t, orders, tagged(id))
		}
		erased := func() (all []string) {
			rows := table(t, driver, source, "SELECT aggregate_id FROM events WHERE erased IS NOT NULL ORDER BY position")
			return append(all, rows...)
		}
		var want []string
		for i, id := range ids {
			request := m{"aggregateId": id, "reason": "request " + id}
			if i%2 == 1 {
				request = m{"tag": id, "reason": "request " + id}
			}
			answer := s.do(t, "EraseEvents", request)
			if e := answer["erasure"].(m); e["events"] != "1" || e["copies"] != nil && e["copies"] != "0" {
				t.Errorf("%q: %v", id, answer)
			}
			want = append(want, id)
			if got := erased(); !slices.Equal(got, want) {
				t.Fatalf("after %q: %q", id, got[len(want)-1:])
			}
		}
		s.refused(t, "EraseEvents", m{"channel": "eventstore.erasures", "sequence": "1", "reason": "x"}, "not_found", "nothing to erase")
		s.refused(t, "EraseEvents", m{"aggregateId": "17", "aggregateType": "Erasure", "reason": "x"}, "not_found", "nothing to erase")
		for name, request := range map[string]m{
			"the events are missing":        {"tag": "", "reason": "x"},
			"reason is missing":             {"tag": "a", "reason": " \n\t"},
			"is not a channel":              {"channel": "a..b", "sequence": "1", "reason": "x"},
			"aggregate_type is only for ev": {"tag": "a", "aggregateType": "Order", "reason": "x"},
		} {
			s.refused(t, "EraseEvents", request, "invalid_argument", name)
		}
		for _, request := range []m{
			{"tag": strings.Repeat("t", 100_000)}, {"aggregateId": strings.Repeat("a", 100_000)}, {"aggregateId": "a\x00b"}, {"tag": "a\x00b"},
			{"channel": "eventstore.nothing", "tag": "a"}, {"channel": "eventstore.nothing", "sequence": "1"}, {"channel": orders, "sequence": "18446744073709551615"},
		} {
			request["reason"] = "x"
			_, answer, err := s.call(patient(t), "Admin/EraseEvents", request)
			if err != nil || answer["code"] != "not_found" && answer["code"] != "invalid_argument" {
				t.Errorf("%.60v: %v %v", request, answer, err)
			}
		}
		if got := table(t, driver, source, "SELECT DISTINCT state FROM Erasures"); len(got) != 1 || got[0] != "done" {
			t.Errorf("states %v", got)
		}

		// Many times at once, with a reason that is too long.
		for i := range 200 {
			s.appendAll(t, orders, personal("much-wanted", "Named", fmt.Sprint("w", i)))
		}
		var running sync.WaitGroup
		var mu sync.Mutex // guards the next
		codes := map[string]int{}
		for i := range 8 {
			running.Go(func() {
				status, answer, err := s.call(patient(t), "Admin/EraseEvents", m{"aggregateId": "much-wanted", "reason": strings.Repeat("because ", 10_000) + strconv.Itoa(i)})
				mu.Lock()
				defer mu.Unlock()
				if status == http.StatusOK {
					codes[fmt.Sprint(answer["erasure"].(m)["events"])]++
				} else {
					codes[fmt.Sprint(answer["code"], err)]++
				}
			})
		}
		running.Wait()
		if codes["200"] != 1 || codes["not_found<nil>"] != 7 {
			t.Errorf("the same erasure 8 times at once: %v", codes)
		}
		s.Stop()
		harness.Verify(t, driver, source)
	})
}

// TestEraseAmongOthers erases while retention removes copies, events are published, and the database is backed up and verified. Counters
// stay right, and a backup has all that was erased, or nothing.
func TestEraseAmongOthers(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(`streaming {
	store_limits { channels { copies { max_msgs: 300 } } }
	routes: [ { channel: copies }, { channel: kept } ]
}`), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, driver, source, "-sc", file, "-c", file)
		const events = 2000
		var batch []m
		for i := range events {
			batch = append(batch, personal("customer-17", "Named", fmt.Sprint("c", i)))
		}
		s.appendAll(t, orders, batch[:events/2]...)
		s.appendAll(t, orders, batch[events/2:]...)
		stop := s.publishing(t, orders)
		ended := make(chan struct{})
		var running sync.WaitGroup
		verified, folder := 0, t.TempDir()
		running.Go(func() {
			for last := false; !last; verified++ {
				select {
				case <-ended:
					last = true
				default:
				}
				if driver != "sqlite" { // it sees one state of the database
					harness.Verify(t, driver, source, "-c", file)
					continue
				}
				backup := filepath.Join(folder, fmt.Sprint("backup-", verified))
				if out, err := exec.CommandContext(t.Context(), harness.Binary(), "backup", backup, "-store", "SQL", "-sql_driver", driver, "-sql_source", source).CombinedOutput(); err != nil {
					t.Errorf("backup: %v\n%s", err, out)
					continue
				}
				harness.Verify(t, driver, backup, "-c", file)
				if n := query(t, driver, backup, "SELECT COUNT(*) FROM Messages WHERE erased IS NOT NULL AND aggregate_id = 'customer-17'")[0]; n != "0" && n != strconv.Itoa(events) {
					t.Errorf("a backup has %s of %d events erased", n, events)
				}
			}
		})
		answer := s.do(t, "EraseEvents", m{"aggregateId": "customer-17", "reason": "request 114"})
		if e := answer["erasure"].(m); e["events"] != strconv.Itoa(events) {
			t.Errorf("erased %v", e)
		}
		close(ended)
		running.Wait()
		stop()
		eventually(t, func() bool { return query(t, driver, source, "SELECT state FROM Erasures")[0] == "done" })
		t.Logf("verified %d times meanwhile", verified)
		s.Stop()
		harness.Verify(t, driver, source, "-c", file)
	})
}
