package test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// make show-consumers CONSUMERS='-deliveries 1000000 -order_seed 7'
var (
	deliveries = flag.Int("deliveries", 3000, "number of events for the test of order by key")
	orderSeed  = flag.Uint64("order_seed", 0, "seed of the test of order by key; 0: random")
)

const (
	orderedGroup   = "workers"
	orderedDurable = "ordered"
	// orderedAckWait is short: members that are slow or fail see their events go to others.
	orderedAckWait = 700 * time.Millisecond
	stuckAggregate = "stuck" // its first event is not acknowledged until all others are
)

// In a queue group that is ordered by aggregate, the events of one aggregate are with one member at a time, in the order of their
// versions, whatever happens: members fail, are slow, join, leave and vanish, and the server is killed. An aggregate that fails holds back only
// itself. The members are unmodified.
func TestOrderByKey(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := databases.SQLite(t)
			if driver == "postgres" {
				source = databases.Postgres(t)
			}
			seed := *orderSeed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("-order_seed %d", seed)
			newOrdered(t, driver, source, seed).run()
		})
	}
}

// ordered is a queue group of unmodified clients, and what disturbs it.
type ordered struct {
	t      *testing.T
	nats   *natsd.Server // outlives the server
	server *server
	judge  *orderJudge
	random *rand.Rand
	size   int // members

	members  []*orderedMember
	joins    int
	released atomic.Bool // events of the stuck aggregate are acknowledged
	slow     atomic.Int64
	failed   atomic.Int64
	did      map[string]int // how often each disturbance took place
}

// orderedMember is a client with a subscription.
type orderedMember struct {
	conn stan.Conn
	nats *nats.Conn
	sub  stan.Subscription
}

func newOrdered(t *testing.T, driver, source string, seed uint64) *ordered {
	ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: natsd.RANDOM_PORT, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(ns.Shutdown)
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the NATS server did not start")
	}
	o := &ordered{t: t, nats: ns, random: rand.New(rand.NewPCG(seed, 0)), size: 6, did: map[string]int{}}
	settings := fmt.Sprintf(`consumers: [{channels: [%q], names: ["%s:%s"], order_by: aggregate, ack_wait: "%v"}]`, orders, orderedDurable, orderedGroup, orderedAckWait)
	args := []string{"-c", config(t, settings), "-ns", ns.ClientURL(), "-hbi", "2s", "-hbt", "2s", "-hbf", "1"}
	if *deliveries > 100_000 {
		o.size = 16
		o.server = measured(t, driver, source, args...)
	} else {
		o.server = start(t, driver, source, args...)
	}
	return o
}

func (o *ordered) run() {
	o.judge = newOrderJudge(o.t, o.nats.ClientURL(), orders)
	events := o.plan()
	half := len(events) / 2
	o.publish(events[:half])
	began := time.Now()
	for range o.size {
		o.join()
	}
	var publishing sync.WaitGroup
	publishing.Go(func() { o.publish(events[half:]) })
	stuck := int(o.judge.aggregates[stuckAggregate].last)
	o.disturb(len(events), stuck)
	publishing.Wait()
	o.judge.verdict()
	// All other aggregates are done.
	o.released.Store(true)
	o.await(len(events))
	took := time.Since(began)
	for _, m := range o.members {
		m.nats.Close()
	}
	o.server.Stop()
	o.judge.verdict()
	harness.Verify(o.t, o.server.driver, o.server.source)
	o.t.Logf("%s: %d events of %d aggregates, %d sent in %v (%.0f/s), %d of them redelivered, %d back after crashes; %d slow and %d failed handlers; %v",
		o.server.driver, len(events), len(o.judge.aggregates), o.judge.sends, took.Round(time.Second), float64(o.judge.sends)/took.Seconds(), o.judge.again, o.judge.goneBack,
		o.slow.Load(), o.failed.Load(), o.did)
}

// plan chooses the aggregates of all events.
func (o *ordered) plan() (aggregates []string) {
	keys := max(10, *deliveries/100)
	for i := range *deliveries {
		id := fmt.Sprint("A", o.random.IntN(keys))
		if i%100 == 0 {
			id = stuckAggregate
		}
		o.judge.expect(id)
		aggregates = append(aggregates, id)
	}
	return aggregates
}

// publish publishes an event of each aggregate. It publishes again what is not answered: a killed server does not answer.
func (o *ordered) publish(aggregates []string) {
	conn, err := nats.Connect(o.nats.ClientURL())
	if err != nil {
		o.t.Error(err)
		return
	}
	defer conn.Close()
	var sc stan.Conn
	for deadline := time.Now().Add(patience); sc == nil; { // a request is lost with the server that is killed
		if sc, err = stan.Connect("test-cluster", "publisher-"+nuid.Next(), stan.NatsConn(conn), stan.Pings(5, 1000),
			stan.MaxPubAcksInflight(1024), stan.PubAckWait(3*time.Second), stan.ConnectWait(2*time.Second)); err != nil && time.Now().After(deadline) {
			o.t.Error(err)
			return
		}
	}
	defer func() { _ = sc.Close() }() // the server may just be killed
	left := make([]int, len(aggregates))
	for i := range left {
		left[i] = i
	}
	prefix := nuid.Next()
	for deadline := time.Now().Add(patience); len(left) > 0; {
		n := min(len(left), 1024)
		var mu sync.Mutex // guards missing
		var missing []int
		var answered sync.WaitGroup
		for _, i := range left[:n] {
			answered.Add(1)
			_, err := sc.PublishAsync(orders, event(o.t, aggregates[i], "T", withID(fmt.Sprint(prefix, "-", i))), func(_ string, err error) {
				defer answered.Done()
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					missing = append(missing, i)
				}
			})
			if err != nil {
				o.t.Error(err)
				return
			}
		}
		answered.Wait()
		if len(missing) < n {
			deadline = time.Now().Add(patience)
		} else if time.Now().After(deadline) {
			o.t.Error("the publisher makes no progress")
			return
		}
		left = append(missing, left[n:]...)
	}
}

// join adds a member.
func (o *ordered) join() {
	o.t.Helper()
	o.joins++
	conn, err := nats.Connect(o.nats.ClientURL())
	if err != nil {
		o.t.Fatal(err)
	}
	sc, err := stan.Connect("test-cluster", fmt.Sprint("member-", o.joins), stan.NatsConn(conn), stan.Pings(5, 1000), stan.ConnectWait(patience),
		stan.SetConnectionLostHandler(func(_ stan.Conn, err error) {
			if !conn.IsClosed() {
				o.t.Errorf("a member: %v", err)
			}
		}))
	if err != nil {
		o.t.Fatal(err)
	}
	m := &orderedMember{conn: sc, nats: conn}
	m.subscribe(o)
	o.members = append(o.members, m)
}

func (m *orderedMember) subscribe(o *ordered) {
	o.t.Helper()
	var err error
	m.sub, err = m.conn.QueueSubscribe(orders, orderedGroup, o.handle, stan.DurableName(orderedDurable), stan.DeliverAllAvailable(),
		stan.SetManualAckMode(), stan.MaxInflight(64), stan.AckWait(time.Minute))
	if err != nil {
		o.t.Fatal(err)
	}
}

// handle is a member's handler. Now and then it fails, or takes longer than AckWait.
func (o *ordered) handle(m *stan.Msg) {
	id, version := versionOf(o.t, m.Data)
	switch n := rand.IntN(2000); {
	case id == stuckAggregate && !o.released.Load():
		return
	case n < 10:
		o.failed.Add(1)
		return
	case n == 10:
		o.slow.Add(1)
		time.Sleep(orderedAckWait * 3 / 2)
	}
	o.judge.acked(id, version)
	_ = m.Ack() // the member may be gone by now, or the server
}

// disturb disturbs the group until all events but those of the stuck aggregate are acknowledged.
func (o *ordered) disturb(events, stuck int) {
	const crashes = 4 // one disturbance in so many
	step := max(150, min(events/12, 8000))
	for next := step; o.await(min(next, events-stuck)) < events-stuck; next += step {
		if o.random.IntN(crashes) == 0 {
			o.crash()
			continue
		}
		i := o.random.IntN(len(o.members))
		m := o.members[i]
		kind := []string{"vanish", "close", "unsubscribe", "leave", "join"}[o.random.IntN(5)]
		o.did[kind]++
		switch kind {
		case "vanish":
			m.nats.Close() // as if it was killed
		case "close":
			o.must(m.sub.Close())
			m.subscribe(o)
			continue
		case "unsubscribe":
			o.must(m.sub.Unsubscribe())
			m.subscribe(o)
			continue
		case "leave":
			o.must(m.conn.Close())
			m.nats.Close()
		case "join":
			if len(o.members) > o.size {
				continue
			}
		}
		if kind != "join" {
			o.members = append(o.members[:i], o.members[i+1:]...)
		}
		for o.join(); len(o.members) < o.size/2; {
			o.join()
		}
	}
}

func (o *ordered) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// crash kills the server and starts it again.
func (o *ordered) crash() {
	o.t.Helper()
	o.did["crash"]++
	o.server.Kill()
	eventually(o.t, func() bool { // it has passed on all that the server sent
		connections, err := o.nats.Connz(nil)
		o.must(err)
		for _, c := range connections.Conns {
			if strings.HasPrefix(c.Name, "_NSS-") {
				return false
			}
		}
		return true
	})
	o.judge.crashed()
	o.server.Restart()
}

// await waits until so many events are acknowledged. It returns how many are.
func (o *ordered) await(acks int) int {
	o.t.Helper()
	quiet := time.NewTimer(patience)
	defer quiet.Stop()
	for {
		done, _, changed := o.judge.progress()
		if done >= acks {
			return done
		}
		quiet.Reset(patience)
		select {
		case <-changed:
		case <-quiet.C:
			o.judge.verdict()
			o.t.Fatalf("%d of %d events are acknowledged, and no others come", done, acks)
		}
	}
}
