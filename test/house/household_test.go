package house_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

const (
	shop   = "shop"              // an ordinary channel
	orders = "eventstore.orders" // an event channel
)

// household is the clients of a server: publishers that never stop, and subscribers that acknowledge.
type household struct {
	t   *testing.T
	url string

	over    atomic.Bool // connections may end
	stop    chan struct{}
	publish sync.WaitGroup
	acked   guarded[ackedState]
	readers []*reader
}

type ackedState struct {
	payloads map[string]map[string]bool // by channel: what was acknowledged, by the text in it
	count    int
	last     time.Time
	pause    time.Duration // the longest time without an acknowledgement
}

// connect connects a client that outlives its server.
func (h *household) connect(id string, patient bool) stan.Conn {
	h.t.Helper()
	nc, err := nats.Connect(h.url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		h.over.Store(true)
		nc.Close()
	})
	sc, err := stan.Connect(cluster, id, stan.NatsConn(nc), stan.Pings(1, 1000), stan.PubAckWait(2*time.Second),
		stan.SetConnectionLostHandler(func(_ stan.Conn, err error) {
			if patient && !h.over.Load() {
				h.t.Errorf("client %s lost its connection: %v", id, err)
			}
		}))
	if err != nil {
		h.t.Fatal(err)
	}
	return sc
}

func settle(t *testing.T, url string) *household {
	return &household{t: t, url: url, stop: make(chan struct{}), acked: guarded[ackedState]{v: ackedState{payloads: map[string]map[string]bool{shop: {}, orders: {}}}}}
}

// payload is a message of a channel that carries a text.
func payload(t testing.TB, channel, text string) []byte {
	if channel != orders {
		return []byte(text)
	}
	b, err := proto.Marshal(&eventstorev1.Event{EventId: text, EventType: "Ordered", AggregateId: "a" + text[:1], AggregateType: "order", EventData: []byte(`{"n":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// textOf is the text that a message carries.
func textOf(t testing.TB, channel string, data []byte) string {
	if channel != orders {
		return string(data)
	}
	ev := &eventstorev1.Event{}
	if err := proto.Unmarshal(data, ev); err != nil {
		t.Fatal(err)
	}
	return ev.GetEventId()
}

func (h *household) note(channel, text string) {
	h.acked.with(func(a *ackedState) {
		a.payloads[channel][text] = true
		now := time.Now()
		if !a.last.IsZero() {
			a.pause = max(a.pause, now.Sub(a.last))
		}
		a.last = now
		a.count++
	})
}

// fill publishes n messages to a channel at once.
func (h *household) fill(channel string, n int) {
	h.t.Helper()
	sc := h.connect("filler", false)
	var wg sync.WaitGroup
	for i := range n {
		text := fmt.Sprintf("0-%d", i)
		wg.Add(1)
		if _, err := sc.PublishAsync(channel, payload(h.t, channel, text), func(_ string, err error) {
			if err != nil {
				h.t.Error(err)
			}
			wg.Done()
		}); err != nil {
			h.t.Fatal(err)
		}
		h.note(channel, text)
	}
	wg.Wait()
	if err := sc.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.acked.with(func(a *ackedState) { a.last, a.pause = time.Time{}, 0 })
}

// publishers start to publish. What fails is published again until it is acknowledged. connect makes a new connection when one is lost.
func (h *household) publishers(n int, patient bool) {
	for i := range n {
		id := fmt.Sprintf("publisher-%d", i+1)
		sc := h.connect(id, patient)
		h.publish.Go(func() {
			for k := 0; ; k++ {
				channel := []string{shop, orders}[k%2]
				text := fmt.Sprintf("%d-%d", i+1, k)
				for {
					if err := sc.Publish(channel, payload(h.t, channel, text)); err == nil {
						h.note(channel, text)
						break
					}
					select {
					case <-h.stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
				}
				select {
				case <-h.stop:
					return
				case <-time.After(20 * time.Millisecond): // so that a copy on a busy machine is faster than all of them
				}
			}
		})
	}
}

// count waits until so many more messages are acknowledged.
func (h *household) count(more int) {
	h.t.Helper()
	from := -1
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		now := 0
		h.acked.with(func(a *ackedState) { now = a.count })
		if from < 0 {
			from = now
		}
		if now >= from+more {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%d of %d messages are acknowledged", now-from, more)
		}
	}
}

// reader is a durable or a durable queue group. It acknowledges everything.
type reader struct {
	name    string
	channel string
	got     guarded[readState]
}

type readState struct {
	sequences map[uint64]string // what came with which sequence
	texts     map[string]int
	again     int // deliveries of what had been acknowledged
	last      uint64
	disorder  int
}

func (r *reader) handle(t *testing.T) stan.MsgHandler {
	return func(m *stan.Msg) {
		text := textOf(t, r.channel, m.Data)
		r.got.with(func(s *readState) {
			if before, ok := s.sequences[m.Sequence]; ok {
				if before != text {
					t.Errorf("%s: sequence %d was %q, and is %q", r.name, m.Sequence, before, text)
				}
				s.again++
			} else if m.Sequence < s.last {
				s.disorder++
			}
			s.last = max(s.last, m.Sequence)
			s.sequences[m.Sequence] = text
			s.texts[text]++
		})
		_ = m.Ack() // while no server is there, it is lost, and the message comes again
	}
}

// subscribers start a durable and a durable queue group with two members on each channel.
func (h *household) subscribers(patient bool) {
	one, two := h.connect("reader-1", patient), h.connect("reader-2", patient)
	for _, channel := range []string{shop, orders} {
		durable := &reader{name: "durable on " + channel, channel: channel}
		group := &reader{name: "group on " + channel, channel: channel}
		for _, r := range []*reader{durable, group} {
			r.got.v = readState{sequences: map[uint64]string{}, texts: map[string]int{}}
			h.readers = append(h.readers, r)
		}
		options := []stan.SubscriptionOption{stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(2 * time.Second), stan.MaxInflight(64)}
		if _, err := one.Subscribe(channel, durable.handle(h.t), append(options, stan.DurableName("books"))...); err != nil {
			h.t.Fatal(err)
		}
		for _, sc := range []stan.Conn{one, two} {
			if _, err := sc.QueueSubscribe(channel, "crew", group.handle(h.t), append(options, stan.DurableName("work"))...); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// sleeper leaves a durable that has acknowledged 1 to 4 of 10 messages.
func (h *household) sleeper() {
	h.t.Helper()
	sc := h.connect("sleeper", false)
	came := make(chan *stan.Msg, 100)
	if _, err := sc.Subscribe(shop, func(m *stan.Msg) { came <- m }, stan.DeliverAllAvailable(), stan.SetManualAckMode(),
		stan.MaxInflight(10), stan.AckWait(time.Minute), stan.DurableName("sleeps")); err != nil {
		h.t.Fatal(err)
	}
	for n := range 10 {
		m := <-came
		if n < 4 {
			if err := m.Ack(); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	if err := sc.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// wakes checks that the durable of sleeper goes on exactly where it was: 5 to 10 or later ones that were on their way.
func (h *household) wakes() {
	h.t.Helper()
	sc := h.connect("sleeper", true)
	came := make(chan *stan.Msg, 100)
	if _, err := sc.Subscribe(shop, func(m *stan.Msg) { came <- m }, stan.SetManualAckMode(), stan.MaxInflight(20), stan.AckWait(time.Minute),
		stan.DurableName("sleeps")); err != nil {
		h.t.Fatal(err)
	}
	for want := uint64(5); want <= 20; want++ {
		select {
		case m := <-came:
			if m.Sequence != want {
				h.t.Errorf("the durable that slept got %d, want %d", m.Sequence, want)
			}
		case <-time.After(harness.Patience):
			h.t.Fatalf("the durable that slept did not get %d", want)
		}
	}
	if err := sc.Close(); err != nil {
		h.t.Error(err)
	}
}

// settled stops the publishers, and checks that nothing is lost.
func (h *household) settled(driver, source string) {
	h.t.Helper()
	close(h.stop)
	h.publish.Wait()
	defer h.over.Store(true)
	var want map[string]map[string]bool
	h.acked.with(func(a *ackedState) {
		want = a.payloads
		h.t.Logf("%d messages acknowledged; the longest pause was %v", a.count, a.pause.Round(time.Millisecond))
	})
	for _, r := range h.readers {
		deadline := time.Now().Add(harness.Patience)
		for missing := "?"; missing != ""; {
			missing = ""
			r.got.with(func(s *readState) {
				for text := range want[r.channel] {
					if s.texts[text] == 0 {
						missing = text
						return
					}
				}
			})
			if missing != "" && time.Now().After(deadline) {
				h.t.Errorf("%s did not get %q, which was acknowledged", r.name, missing)
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		r.got.with(func(s *readState) {
			h.t.Logf("%s: %d messages, %d of them again", r.name, len(s.sequences), s.again)
		})
	}
	for _, channel := range []string{shop, orders} {
		numbers := query(h.t, driver, source, "SELECT CONCAT(COUNT(*), ' ', MIN(seq), ' ', MAX(seq)) FROM Messages WHERE id = (SELECT id FROM Channels WHERE name = '"+channel+"')")
		var count, first, last int
		if _, err := fmt.Sscan(numbers[0], &count, &first, &last); err != nil || first != 1 || count != last {
			h.t.Errorf("channel %s: %s messages, first and last sequence", channel, numbers[0])
		}
		for _, r := range h.readers {
			if r.channel == channel {
				r.got.with(func(s *readState) {
					if len(s.sequences) != count || s.last != uint64(last) {
						h.t.Errorf("%s got %d messages up to %d, the database has %d up to %d", r.name, len(s.sequences), s.last, count, last)
					}
				})
			}
		}
	}
	events := query(h.t, driver, source, "SELECT COUNT(DISTINCT event_id) FROM events")[0]
	if want := len(want[orders]); events != fmt.Sprint(want) {
		h.t.Errorf("%s events, want %d", events, want)
	}
	harness.Verify(h.t, driver, source)
}
