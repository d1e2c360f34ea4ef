package console_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// operator does the tasks of docs/operate/tasks.md in a shell.
type operator struct {
	t      *testing.T
	blocks []*page.Block
	dir    string
	env    []string
	told   *strings.Replacer // of what the page says in place of what is so in the test
}

// runs runs a block of the page, and compares the output with that on the page, if there is one.
func (o *operator) runs(name string) string {
	o.t.Helper()
	text := o.told.Replace(page.Find(o.t, o.blocks, "sh", name).Text())
	cmd := exec.CommandContext(o.t.Context(), "sh", "-ec", text)
	cmd.Dir, cmd.Env = o.dir, o.env
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		o.t.Fatalf("%s: %v\n%s%s", text, err, &out, &log)
	}
	for _, b := range o.blocks {
		if b.Language == "text" && b.Name == name && !b.Matches(out.String()) {
			o.t.Errorf("%s: the page shows\n%s\nwhere the commands print\n%s", b.Place, b.Text(), &out)
		}
	}
	return out.String()
}

// leaves makes a durable that nobody uses.
func (s *server) leaves(t *testing.T, client, durable string) {
	t.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sc, err := stan.Connect("test-cluster", client, stan.NatsConn(nc), stan.ConnectWait(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sc.Subscribe("eventstore.orders", func(*stan.Msg) {}, stan.DurableName(durable)); err != nil {
		t.Fatal(err)
	}
	if err := sc.Close(); err != nil {
		t.Fatal(err)
	}
}

// consumer returns what the API says about the durable queue group.
func (s *server) workers(t *testing.T) object {
	t.Helper()
	return s.call(t, "Admin/GetConsumer", object{"channel": "eventstore.orders", "name": "d:workers"})["consumer"].(object)
}

// TestTasks does the tasks of docs/operate/tasks.md, by command and by clicks.
func TestTasks(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/tasks.md")
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		placed := func(id string) object {
			return object{
				"eventId": id + "-placed", "eventType": "OrderPlaced", "aggregateType": "Order", "aggregateId": id, "contentType": "application/json",
				"eventData": `{"customer":"c-9","total":24.90,"lines":[{"product":"p-1","quantity":2}]}`, "tags": []string{"customer:c-9"},
			}
		}
		s.store(t, "eventstore.orders", placed("o-17"))
		tuesday := time.Now()
		s.store(t, "eventstore.orders", object{"eventType": "OrderPaid", "aggregateType": "Order", "aggregateId": "o-17", "eventData": `{"paid":true,"total":19.90}`})
		for i := range 6 {
			s.store(t, "eventstore.orders", placed(fmt.Sprintf("o-%d", 20+i)))
			switch i {
			case 1:
				s.leaves(t, "reports", "old-report")
			case 3:
				s.leaves(t, "reports", "older-report")
			}
		}
		var broken atomic.Bool
		broken.Store(true)
		s.worker(t, "warehouse-1", func(m *stan.Msg) {
			if n := m.Sequence; !broken.Load() || n != 3 && n != 4 && n != 6 {
				_ = m.Ack()
			}
		})
		until := func(what string, is func(object) bool) {
			t.Helper()
			for end := time.Now().Add(harness.Patience / 2); ; time.Sleep(50 * time.Millisecond) {
				c := s.workers(t)
				if is(c) {
					return
				}
				if time.Now().After(end) {
					t.Fatalf("the consumer does not %s: %v", what, c)
				}
			}
		}
		sent := func(n string) func(object) bool {
			return func(c object) bool { return c["lastSent"] == n && c["unacked"] == "1" }
		}

		dir := t.TempDir()
		model, err := os.ReadFile("../../examples/projections/orders-sqlite.yaml")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "orders.yaml"), model, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		o := &operator{
			t: t, blocks: blocks, dir: dir, told: strings.NewReplacer("2026-11-24 18:00", tuesday.UTC().Format(time.RFC3339Nano)),
			env: append(os.Environ(), "PATH="+filepath.Dir(harness.Tool(t))+":"+os.Getenv("PATH"), "EVENTSTORE_URL="+s.url, "HOME="+dir, "DSN="+source, "GORACE=atexit_sleep_ms=0"),
		}
		p := browser(t, s)
		p.as(desktop)
		picture := func(name string) {
			t.Helper()
			if driver == "sqlite" {
				p.picture("task-" + name)
			}
			p.checks(name)
		}
		const workers = "/console/consumer?channel=eventstore.orders&name=d%3Aworkers"

		until("stop at message 3", sent("3"))
		o.runs("stuck")
		p.open("/console/consumers")
		p.sees("d:workers", "old-report", "offline")
		picture("consumers")
		p.open("/console/")
		p.click("d:workers")
		p.sees("It gets nothing more until its members acknowledge what they have: 1 message.")
		picture("stuck")
		p.click("message 3")
		p.sees("OrderPlaced", "o-20-placed")
		p.open(workers)
		p.click("skip the message")
		p.fill("reason", "cannot be parsed")
		p.click("Skip")
		p.sees("Skipped.")
		until("stop at message 4", sent("4"))
		o.runs("skip")
		until("stop at message 6", sent("6"))
		p.open(workers)
		p.click("limit deliveries")
		p.fill("deliveries", "2")
		p.click("Limit")
		p.sees("The limit counts from now on.")
		parked := func(c object) bool { return c["parked"] == "1" }
		until("park message 6", parked)
		o.runs("parked")
		p.open(workers)
		p.sees("delivered", "OrderPlaced of o-23")
		picture("parked")
		broken.Store(false)
		p.click("Replay")
		p.sees("message 6")
		p.click("Replay")
		p.sees("Replayed.")
		caught := func(c object) bool { return c["lagMessages"] == nil && c["parked"] == nil }
		until("catch up", caught)
		broken.Store(true)
		o.runs("park") // and once more by commands, with the message before
		s.call(t, "Admin/SetConsumerPosition", object{"channel": "eventstore.orders", "name": "d:workers", "sequence": 6})
		until("park message 6 again", parked)
		broken.Store(false)
		o.runs("replay")
		until("catch up", caught)

		o.runs("state")
		p.open("/console/aggregate")
		p.fill("id", "o-17")
		p.fill("time", tuesday.UTC().Format(time.RFC3339Nano))
		p.click("Show")
		p.sees("State at version 1", `"total": 24.90`)
		picture("state")

		o.runs("customer")
		p.open("/console/events")
		p.fill("tag", "customer:c-9")
		p.click("Show")
		p.until("location.search.includes('tag=customer')", "did not search")
		p.sees("o-25", "New events appear here")
		p.lacks("OrderPaid")
		s.store(t, "eventstore.orders", placed("o-26"))
		p.sees("o-26")
		picture("customer")

		o.runs("clients")
		p.open("/console/clients")
		p.sees("warehouse-1", "answers")
		picture("clients")

		o.command("eventstore project -f orders.yaml --into orders.db --once")
		s.store(t, "eventstore.orders", placed("o-27"), placed("o-28"))
		o.runs("projection")

		until("catch up", caught)
		p.open(workers)
		p.click("Reset")
		p.do(clickOn("input[value=time]"))
		p.fill("value", time.Now().UTC().Add(-24*time.Hour).Format("2006-01-02 15:04"))
		picture("reset")
		p.click("Reset")
		p.sees("Reset.")
		until("get everything again", caught)
		o.runs("reset")
		until("get everything again", caught)

		o.runs("drop")
		p.open("/console/consumers")
		p.lacks("old-report of")
		p.click("older-report")
		p.click("Drop")
		p.click("Drop")
		p.sees("Dropped.")
		if all := s.call(t, "Admin/ListConsumers", object{})["consumers"].([]any); len(all) != 1 {
			t.Errorf("%d consumers are left, want 1: %v", len(all), all)
		}

		o.runs("export")
		p.open("/console/events?channel=eventstore.orders")
		p.sees("Download as JSON lines")
		downloaded, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`fetch(document.querySelector("a[download]").href).then((r) => r.text())`, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "events.ndjson"), []byte(downloaded), 0o600); err != nil {
			t.Fatal(err)
		}
		o.command("eventstore read eventstore.orders -o json | cmp - events.ndjson")

		o.runs("verify")
		p.open("/console/damage")
		p.click("Verify now")
		p.sees("No faults.")
		picture("verify")
		o.command("eventstore import events.ndjson --channel eventstore.downloaded && test $(eventstore read eventstore.downloaded -o json | wc -l) = $(wc -l <events.ndjson)")
	})
}

// command runs a command that the page does not show.
func (o *operator) command(text string) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), "sh", "-ec", text)
	cmd.Dir, cmd.Env = o.dir, o.env
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Fatalf("%s: %v\n%s", text, err, out)
	}
}
