package chaos

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// consumerSettings are those of the ordered queue group and of the durable that does not take each event.
const consumerSettings = `streaming {
	consumers: [
		{ channels: ["eventstore.shared"], names: ["d:keyed"], order_by: aggregate }
		{ channels: ["eventstore.shared"], names: [picky], max_deliveries: 3, backoff: ["300ms", "1s"] }
	]
}
`

// writeSettings returns a configuration file.
func writeSettings(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(consumerSettings), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// keyedReader is a reader whose group is ordered by aggregate.
type keyedReader struct {
	*reader

	mu    sync.Mutex        // guards acked, locked before that of reader
	acked map[string]uint64 // versions up to these were acknowledged, by aggregate
}

// order records that a message is about to be acknowledged. Events before it were acknowledged before it was sent.
func (r *keyedReader) order(m *stan.Msg) {
	var e eventstorev1.Event
	if proto.Unmarshal(m.Data, &e) != nil {
		return // the reader tells
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch acked := r.acked[e.AggregateId]; {
	case e.EventVersion == acked+1:
		r.acked[e.AggregateId] = e.EventVersion
	case e.EventVersion > acked:
		r.reader.mu.Lock()
		defer r.reader.mu.Unlock()
		r.wrong = append(r.wrong, fmt.Sprintf("event %d of %s was sent when those up to %d were acknowledged", e.EventVersion, e.AggregateId, acked))
	}
}

// pickyReader is a durable that does not acknowledge some events, which are parked then. So are others, while it is away.
type pickyReader struct {
	*reader
	admin    *administrator
	takesAll atomic.Bool
}

// takes reports whether the durable acknowledges an event.
func (r *pickyReader) takes(m *stan.Msg) bool {
	h := fnv.New32a()
	_, _ = h.Write(m.Data)
	return r.takesAll.Load() || h.Sum32()%16 > 0
}

// startConsumers subscribes two members of an ordered queue group, which is paused now and then, and a durable whose messages are
// parked.
func (c *cluster) startConsumers(ctx context.Context) (keyed *keyedReader, picky *pickyReader, stop func()) {
	c.t.Helper()
	keyed = &keyedReader{reader: newReader("ordered durable queue group", false, 1), acked: map[string]uint64{}}
	picky = &pickyReader{reader: newReader("durable that parks", false, 1), admin: newAdministrator(c)}
	for _, client := range []string{"keyed-1", "keyed-2"} {
		sc := c.mustConnect(client)
		eventually(c.t, func() error {
			_, err := sc.QueueSubscribe(shared, "keyed", func(m *stan.Msg) {
				keyed.receive(m)
				keyed.order(m)
				keyed.acknowledge(m)
			}, stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(ackWait), stan.MaxInflight(16))
			return err
		})
	}
	sc := c.mustConnect("picky")
	eventually(c.t, func() error {
		_, err := sc.Subscribe(shared, func(m *stan.Msg) {
			picky.receive(m)
			if picky.takes(m) {
				picky.acknowledge(m)
			}
		}, stan.DurableName("picky"), stan.DeliverAllAvailable(), stan.SetManualAckMode())
		return err
	})
	ctx, cancel := context.WithCancel(ctx)
	var pausing sync.WaitGroup
	pausing.Go(func() {
		for ctx.Err() == nil {
			picky.admin.pause(ctx)
			picky.admin.resume(ctx)
		}
	})
	return keyed, picky, func() {
		cancel()
		pausing.Wait()
		picky.admin.resume(c.t.Context())
	}
}

// settled waits until each event up to last is acknowledged or parked.
func (r *pickyReader) settled(c *cluster, last uint64) {
	c.t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(20 * time.Millisecond) {
		parked := c.parked()
		missing := uint64(0)
		r.mu.Lock()
		for seq := r.ackedUpTo + 1; seq <= last && missing == 0; seq++ {
			if !r.acked[seq] && !parked[seq] {
				missing = seq
			}
		}
		r.mu.Unlock()
		switch {
		case missing == 0:
			return
		case time.Now().After(deadline):
			c.t.Fatalf("%s: event %d is neither acknowledged nor parked, and does not come", r.name, missing)
		}
	}
}

// replay has all parked messages sent again, and waits until all events are acknowledged.
func (r *pickyReader) replay(c *cluster) {
	c.t.Helper()
	last := c.number(lastShared)
	r.takesAll.Store(true)
	parked := len(c.parked())
	for len(c.parked()) > 0 { // while the durable is away, they are parked again
		r.settled(c, last)
		r.admin.replay(c.t.Context())
	}
	r.await(c.t, last)
	c.t.Logf("%s: %d messages parked, then replayed; paused and resumed %d times", r.name, parked, r.admin.acts.Load()/2)
	if parked == 0 {
		c.t.Errorf("%s: nothing was parked: the test checks nothing", r.name)
	}
}

// parked returns the sequences of the messages that are parked.
func (c *cluster) parked() map[uint64]bool {
	c.t.Helper()
	all := map[uint64]bool{}
	for _, text := range c.data.column("SELECT seq FROM Parked") {
		seq, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			c.t.Fatal(err)
		}
		all[seq] = true
	}
	return all
}

// administrator acts on whichever server leads.
type administrator struct {
	cluster *cluster
	servers []eventstorev1connect.AdminClient
	acts    atomic.Int64
}

// actPatience bounds an attempt. What became of it is not known then, and it is tried again.
const actPatience = time.Second

func newAdministrator(c *cluster) *administrator {
	a := &administrator{cluster: c}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	c.t.Cleanup(transport.CloseIdleConnections)
	for _, port := range c.apis {
		a.servers = append(a.servers, eventstorev1connect.NewAdminClient(
			&http.Client{Transport: transport}, "http://127.0.0.1:"+strconv.Itoa(port), connect.WithGRPC()))
	}
	return a
}

// until tries an act until a server carries it out, or ctx ends.
func (a *administrator) until(ctx context.Context, act func(context.Context, eventstorev1connect.AdminClient) error) {
	for n := 0; ctx.Err() == nil; n++ {
		trial, cancel := context.WithTimeout(ctx, actPatience)
		err := act(trial, a.servers[n%len(a.servers)])
		cancel()
		if err == nil {
			a.acts.Add(1)
			return
		}
		switch connect.CodeOf(err) {
		case connect.CodeInvalidArgument, connect.CodeUnimplemented, connect.CodePermissionDenied, connect.CodeInternal:
			a.cluster.t.Errorf("administration: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // a dead server refuses at once
		}
	}
}

func (a *administrator) pause(ctx context.Context) {
	a.until(ctx, func(ctx context.Context, s eventstorev1connect.AdminClient) error {
		_, err := s.PauseConsumer(ctx, &eventstorev1.PauseConsumerRequest{Channel: shared, Name: "d:keyed"})
		return err
	})
}

func (a *administrator) resume(ctx context.Context) {
	a.until(ctx, func(ctx context.Context, s eventstorev1connect.AdminClient) error {
		_, err := s.ResumeConsumer(ctx, &eventstorev1.ResumeConsumerRequest{Channel: shared, Name: "d:keyed"})
		return err
	})
	select {
	case <-ctx.Done():
	case <-time.After(300 * time.Millisecond): // the group works in between
	}
}

func (a *administrator) replay(ctx context.Context) {
	a.until(ctx, func(ctx context.Context, s eventstorev1connect.AdminClient) error {
		_, err := s.ReplayParked(ctx, &eventstorev1.ReplayParkedRequest{Channel: shared, Client: "picky", Name: "picky", All: true})
		return err
	})
}
