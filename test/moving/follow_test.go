package moving_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// publisher publishes one event after another, each again until it is acknowledged, and remembers the longest time between two.
type publisher struct {
	prefix  string
	publish func(id string) error
	stop    chan struct{}
	done    sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	acked int
	last  time.Time     // of the last acknowledgement
	pause time.Duration // the longest time between two
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked
}

// measure begins anew to look for the longest pause.
func (p *publisher) measure() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = 0
}

func (p *publisher) start() {
	p.stop = make(chan struct{})
	p.done.Go(func() {
		for {
			id := fmt.Sprintf("%s-%d", p.prefix, p.count())
			if err := p.publish(id); err == nil {
				p.mu.Lock()
				p.acked++
				if !p.last.IsZero() {
					p.pause = max(p.pause, time.Since(p.last))
				}
				p.last = time.Now()
				p.mu.Unlock()
			}
			select {
			case <-p.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
}

func (p *publisher) end() {
	close(p.stop)
	p.done.Wait()
}

// A store moves from SQLite to PostgreSQL while a client of NATS Streaming and one of the API publish, and a durable receives: nothing that
// was acknowledged is missing or there twice, the durable goes on where it was, and the clients need no new connection. The copy is killed
// on the way.
func TestMoveWhileServing(t *testing.T) {
	t.Parallel()
	from, to := newPlace(t, "sqlite"), newPlace(t, "postgres")
	api, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	old := harness.Start(t, from.driver, from.source, "-store_timeout", "20s", "-grpc_host", "127.0.0.1", "-grpc_port", fmt.Sprint(api))
	sc := connect(t, old, "app", stan.PubAckWait(2*time.Second), stan.Pings(5, 100))
	nats := &publisher{prefix: "nats", publish: func(id string) error {
		data, err := proto.Marshal(&eventstorev1.Event{EventId: id, EventType: "OrderPlaced", AggregateId: "n", EventData: []byte(`{"of":"nats"}`), Tags: []string{"by:nats"}})
		if err != nil {
			return err
		}
		return sc.Publish(orders, data)
	}}
	client, err := eventstore.New(eventstore.Options{URLs: []string{fmt.Sprintf("http://127.0.0.1:%d", api)}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	http := &publisher{prefix: "http", publish: func(id string) error {
		ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
		defer cancel()
		_, err := client.Append(ctx, "eventstore.payments", []eventstore.NewEvent{{ID: id, Type: "Paid", AggregateID: "h", Data: []byte(`{"of":"http"}`)}})
		return err
	}}
	var mu sync.Mutex
	received := map[uint64]int{}
	if _, err := sc.Subscribe(orders, func(m *stan.Msg) {
		mu.Lock()
		received[m.Sequence]++
		mu.Unlock()
		_ = m.Ack() // sent again if it is lost
	}, stan.DurableName("d"), stan.SetManualAckMode(), stan.DeliverAllAvailable(), stan.AckWait(time.Second)); err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 { // enough that the copy takes a while
		if _, err := sc.PublishAsync("bulk", fmt.Appendf(nil, "message %d", i), func(string, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	nats.start()
	http.start()

	begin := func() (wait func() error, level *bufio.Scanner, kill func()) {
		cmd := tool(t, copyArgs(from, to, "--follow")...)
		out, in := io.Pipe()
		cmd.Stdout, cmd.Stderr = in, in
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			err := cmd.Wait()
			_ = in.Close()
			ended <- err
		}()
		return func() error { return <-ended }, bufio.NewScanner(out), func() { _ = cmd.Process.Kill() }
	}
	wait, _, kill := begin()
	db := to.open(t)
	for copied := 0; copied == 0; { // until it has copied something
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM Messages").Scan(&copied); err != nil {
			copied = 0 // there is no table yet
		}
	}
	kill()
	if err := wait(); err == nil {
		t.Fatal("the copy had ended before it was killed")
	}
	unfinished := harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", to.driver, "-sql_source", to.source)
	unfinished.Launch()
	unfinished.WaitLog(t, "eventstore copy, again")

	wait, lines, _ := begin()
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), "Level: stop the server") {
			break
		}
	}
	nats.measure()
	http.measure()
	began := time.Now()
	old.Stop()
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := wait(); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(said, "\n"))
	}
	contains(t, strings.Join(said, "\n"), "Continuing an interrupted copy", "-cluster_id test-cluster", "marked as moved")
	renewed := harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", to.driver, "-sql_source", to.source, "-store_timeout", "20s",
		"-p", fmt.Sprint(old.Port), "-grpc_host", "127.0.0.1", "-grpc_port", fmt.Sprint(api))
	renewed.Launch()
	renewed.Ready()
	moved := time.Since(began)
	a, b := nats.count(), http.count()
	for deadline := time.Now().Add(harness.Patience); nats.count() < a+20 || http.count() < b+20; {
		if time.Now().After(deadline) {
			t.Fatal("the publishers do not go on")
		}
		time.Sleep(10 * time.Millisecond)
	}
	nats.end()
	http.end()
	t.Logf("the servers changed in %v; the client of NATS Streaming published nothing for %v, that of the API for %v", moved, nats.pause, http.pause)

	for channel, p := range map[string]*publisher{orders: nats, "eventstore.payments": http} {
		var stored, distinct, last int
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*), COUNT(DISTINCT event_id), MAX(sequence) FROM events WHERE channel = $1", channel).Scan(&stored, &distinct, &last); err != nil {
			t.Fatal(err)
		}
		if stored != distinct || stored != last || stored < p.acked || stored > p.acked+1 {
			t.Errorf("channel %s has %d events, %d of them different, up to sequence %d; %d were acknowledged", channel, stored, distinct, last, p.acked)
		}
	}
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		n := len(received)
		mu.Unlock()
		if n >= nats.acked {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the durable has received %d messages of %d", n, nats.acked)
		}
	}
	harness.Verify(t, to.driver, to.source)
	again := harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", from.driver, "-sql_source", from.source)
	again.Launch()
	again.WaitLog(t, "was moved to another one")
	contains(t, run(t, 0, "--dsn", from.source, "channels"), orders) // it can be read
}
