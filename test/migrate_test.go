package test

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// has checks that a command's output contains each line.
func has(t *testing.T, out string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
}

// command runs a command that must succeed.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, status := runBinary(t, args...)
	if status != 0 {
		t.Fatalf("%s: status %d, output\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

const allEvents = "SELECT sequence, event_id, aggregate_id, event_version FROM events WHERE channel = 'old' ORDER BY sequence"

// Messages stored before their channel became an event channel become events.
func TestMigrateBackfills(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		migrate := []string{"migrate", "-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-event_channels", "old,eventstore.>"}
		s := start(t, driver, source)
		sc := s.connect("client")
		payloads := [][]byte{
			event(t, "A", "T"), []byte("no event"), event(t, "A", "T", withID("e1")), event(t, "A", "T", withID("e1")),
			event(t, "A", "U", withID("e1")), event(t, "A", "T", withVersion(3)), event(t, "A", "T", withVersion(9)),
			event(t, "B", "T"), event(t, "A", "T"),
		}
		publish(t, sc, "old", payloads...)
		publish(t, sc, "other", []byte("no event"))
		publish(t, sc, orders, event(t, "A", "T"))
		for _, args := range [][]string{migrate, {"import", "-from_dir", t.TempDir()}} {
			if out, status := runBinary(t, args...); status != 1 || strings.Contains(out, "Done") {
				t.Errorf("%v with a running server: status %d, output\n%s", args, status, out)
			}
		}
		if out, _ := runBinary(t, migrate...); !strings.Contains(out, "a server is running on this database: stop it first") {
			t.Errorf("with a running server: %s", out)
		}
		s.Stop()

		const data = "SELECT m.seq, m.size, m.data FROM Messages m JOIN Channels c ON c.id = m.id ORDER BY m.id, m.seq"
		before := query(t, driver, source, data)
		has(t, command(t, append(migrate, "-dry_run")...),
			`Channel "old": 8 messages would become events, 1 stay as they are.`,
			`channel "old" sequence 2: invalid event: `, "Nothing was changed.")
		if rows := query(t, driver, source, allEvents); len(rows) > 0 {
			t.Errorf("the dry run stored events: %q", rows)
		}
		left := []string{
			`channel "old" sequence 2: invalid event: `,
			`channel "old" sequence 4: event_id "e1" already belongs to sequence 3, with the same content`,
			`channel "old" sequence 5: event_id "e1" already stored with different content`,
			`channel "old" sequence 7: wrong expected version: aggregate "A" is at version 3, event has version 9`,
		}
		has(t, command(t, migrate...), append(left, `Channel "old": 5 messages became events in `, ", 4 stay as they are.", "Done.")...)
		want := []string{"1|<null>|A|1", "3|e1|A|2", "6|<null>|A|3", "8|<null>|B|1", "9|<null>|A|4"}
		if got := query(t, driver, source, allEvents); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("events %q, want %q", got, want)
		}
		if after := query(t, driver, source, data); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Error("the messages changed")
		}
		rerun := command(t, append(migrate, "-report", "1")...)
		has(t, rerun, left[0], `Channel "old": 0 messages became events in `, ", 4 stay as they are.", "and 3 more")

		// Versions and event_ids continue, and subscribers receive the messages as they were published.
		s = start(t, driver, source, "-event_channels", "old")
		sc = s.connect("client-2")
		publish(t, sc, "old", event(t, "A", "T", withVersion(5)), event(t, "A", "T", withID("e1")))
		if err := sc.Publish("old", event(t, "B", "T", withVersion(1))); err == nil {
			t.Error("a stored version was accepted again")
		}
		_, in := subscribe(t, sc, "old", stan.DeliverAllAvailable())
		for _, payload := range payloads {
			if got := in.next(t).Data; string(got) != string(payload) {
				t.Errorf("got %q, want %q", got, payload)
			}
		}
		if m := in.next(t); m.Sequence != 10 {
			t.Errorf("got %d, want 10", m.Sequence)
		}
		s.Stop()
		has(t, command(t, append(migrate, "-event_versions", "old=unique")...), `Channel "old": 1 messages became events`, "3 stay as they are")
	})
}

// The server logs that a channel holds messages from before it was an event channel, because new events take versions
// from 1.
func TestOldMessagesAreAnnounced(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	s := start(t, "sqlite", source)
	publish(t, s.connect("client"), "old", event(t, "A", "T"))
	s.Stop()
	s = start(t, "sqlite", source, "-event_channels", "old")
	s.WaitLog(t, `Channel "old" holds messages that are not events, from sequence 1 on: nats-streaming-server migrate makes events of them`)
}

// A killed migration continues when it is run again.
func TestMigrateInterrupted(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		const n = 6000
		s := start(t, driver, source)
		sc := s.connect("client")
		acks := make(chan error, n)
		for i := range n {
			if _, err := sc.PublishAsync("old", event(t, fmt.Sprint(i%10), "T"), func(_ string, err error) { acks <- err }); err != nil {
				t.Fatal(err)
			}
		}
		for range n {
			if err := <-acks; err != nil {
				t.Fatal(err)
			}
		}
		s.Stop()
		args := []string{"migrate", "-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-event_channels", "old"}
		p, err := process.Start(exec.Command(harness.Binary(), args...), nil, syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		count := func() string { return query(t, driver, source, "SELECT COUNT(*) FROM events")[0] }
		eventually(t, func() bool { return count() != "0" })
		p.Signal(syscall.SIGKILL)
		<-p.Done()
		t.Logf("killed after %s events", count())
		has(t, command(t, args...), "Done.")
		if got := query(t, driver, source, "SELECT COUNT(*), MIN(event_version), MAX(event_version) FROM events")[0]; got != "6000|1|600" {
			t.Errorf("events %s", got)
		}
	})
}
