package admin_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

const orders = "eventstore.orders"

var workers = m{"channel": orders, "name": "d:workers"}

// shown are the commands of the page of consumers.
type shown struct {
	t      *testing.T
	blocks []*page.Block
	define string // the shell function that they call
	s      *server
}

// run runs the commands with a name, and compares the output with what the page shows.
func (p *shown) run(name string) string {
	p.t.Helper()
	for i, b := range p.blocks {
		if b.Language != "sh" || b.Name != name {
			continue
		}
		text := strings.ReplaceAll(p.define+b.Text(), "localhost:4280", p.s.address)
		out, err := exec.CommandContext(patient(p.t), "sh", "-e", "-c", text).CombinedOutput()
		if err != nil || strings.Contains(string(out), `"code":`) {
			p.t.Fatalf("%s: %v\n%s\n%s", b.Place, err, b.Text(), out)
		}
		if i+1 < len(p.blocks) {
			if next := p.blocks[i+1]; next.Language == "" && next.Follows && !next.Matches(string(out)) {
				p.t.Errorf("%s: the page shows\n%s\nwhere the commands print\n%s", next.Place, next.Text(), out)
			}
		}
		return string(out)
	}
	p.t.Fatalf("the page has no commands %q", name)
	return ""
}

// sql returns the first row of a statement of the page.
func (p *shown) sql(name, driver, source string) string {
	p.t.Helper()
	return strings.Join(query(p.t, driver, source, page.Find(p.t, p.blocks, "sql", name).Text()), "|")
}

// TestAdministration does each act by the command that the page shows, beside an unmodified client of NATS Streaming.
func TestAdministration(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/reference/consumers.md")
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-c", configuration(t, `events { channels: ["eventstore.>"], delays: true }`))
		patience := patient(t)
		p := &shown{t, blocks, page.Find(t, blocks, "sh", "").Text(), s}
		ids := []string{"e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10", "e11"}
		s.append(t, orders, ids...)
		sc := s.connect(t, "worker", stan.Pings(1, 3))
		_, in := work(t, sc, orders, "workers", stan.AckWait(time.Second))
		first := in.next(t) // and not acknowledged
		p.run("list")
		p.run("get")

		// Pause: what was sent can be acknowledged, and nothing follows.
		p.run("pause")
		if err := first.Ack(); err != nil {
			t.Fatal(err)
		}
		s.until(t, workers, "unacked", nil)
		if c := s.consumer(t, workers); c["lastSent"] != "1" || c["lagMessages"] != "10" {
			t.Errorf("paused: %v", c)
		}
		p.run("resume")
		in.sequences(t, 2)
		if seq := in.next(t).Sequence; seq != 3 {
			t.Fatalf("got message %d, want 3", seq)
		}
		p.run("skip") // 3, which is not acknowledged

		// Two deliveries, 50 ms apart, and all others are parked.
		p.run("configure")
		s.until(t, workers, "parked", "8")
		s.until(t, workers, "unacked", nil)
		for len(in) > 0 {
			<-in
		}
		if got, want := p.sql("parked", driver, source), orders+"||d:workers|4|2|delivered 2 times without acknowledgement|e4"; got != want {
			t.Errorf("SQL shows %s, want %s", got, want)
		}
		p.run("parked")
		p.run("clear")
		p.run("replay")
		in.sequences(t, 4)
		p.run("discard") // 5
		p.run("replay all")
		in.sequences(t, 6, 7, 8, 9, 10, 11)
		s.until(t, workers, "unacked", nil)
		p.run("discard all") // none

		p.run("sequence")
		in.sequences(t, 3, 4, 5, 6, 7, 8, 9, 10, 11)
		p.run("position")
		in.sequences(t, 7, 8, 9, 10, 11)
		p.run("time")
		in.sequences(t, 1)
		p.run("end")
		for len(in) > 0 {
			<-in
		}

		// The reminder is due long before the test ends, if it is not cancelled.
		event := m{"eventId": "reminder-1", "eventType": "Reminder", "aggregateId": "r", "metadata": m{"deliver_at": "2099-01-01T00:00:00Z"}}
		if _, answer, err := s.call(patient(t), "EventStore/Append", m{"channel": orders, "events": []m{event}}); err != nil || answer["code"] != nil {
			t.Fatalf("append: %v %v", answer, err)
		}
		s.until(t, workers, "waiting", "1")
		p.run("cancel")
		s.until(t, workers, "waiting", nil)
		s.append(t, orders, "e13")
		in.sequences(t, 13)

		for want := orders + "||d:workers|durable queue group|13|0|0|0|"; ; { // positions are written in the background
			got := p.sql("status", driver, source)
			if strings.HasPrefix(got, want) && strings.Contains(got, "on_limit") {
				break
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-patience.Done():
				t.Fatalf("SQL shows %s, want %s", got, want)
			}
		}
		p.run("clients")
		p.run("kick")
		p.run("audit")
		if got := p.sql("audit", driver, source); !strings.Contains(got, "127.0.0.1|kick|worker|hangs") {
			t.Errorf("SQL shows %s", got)
		}
		p.run("drop")
		s.refused(t, "GetConsumer", workers, "not_found", "unknown consumer")
	})
}
