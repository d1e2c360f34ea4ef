package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// crowd is a durable or a durable queue group of the channel shared, whose members come and go. Members join, close
// their subscription or client, lose their connection, unsubscribe and return at random; some hold messages for a while.
// Whatever the group was sent must be redelivered until a member acknowledges it.
type crowd struct {
	cluster *cluster
	name    string
	queue   bool
	random  *rand.Rand

	mu     sync.Mutex // guards the fields below; held during each step
	places []*place
	group  int     // number of the group; earlier groups were unsubscribed
	begun  bool    // the group exists
	reader *reader // of the group
	steps  map[string]int
}

// places is the maximum number of members of a queue group.
const places = 3

// newCrowds returns a durable and a queue group without members.
func newCrowds(c *cluster, seed uint64) []*crowd {
	durable := &crowd{cluster: c, name: "restless-durable"}
	queue := &crowd{cluster: c, name: "restless-workers", queue: true}
	for i, w := range []*crowd{durable, queue} {
		w.random = rand.New(rand.NewPCG(seed, uint64(clients+2+i)))
		w.steps = map[string]int{}
		w.reader = newReader(w.name, false, 1)
		w.places = []*place{{id: w.name + "-1"}}
	}
	for i := 1; i < places; i++ {
		queue.places = append(queue.places, &place{id: fmt.Sprintf("%s-%d", queue.name, i+1)})
	}
	c.t.Cleanup(func() {
		for _, p := range slices.Concat(durable.places, queue.places) {
			p.vanish()
		}
	})
	return []*crowd{durable, queue}
}

// run takes steps until ctx ends.
func (w *crowd) run(ctx context.Context, reached func() uint64) {
	for ctx.Err() == nil {
		w.mu.Lock()
		p := w.places[w.random.IntN(len(w.places))]
		step := w.step(p, w.random.IntN(100), reached)
		w.steps[step]++
		pause := time.Duration(w.random.IntN(150)) * time.Millisecond
		w.mu.Unlock()
		select { // leave the servers time for others
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// step does something that the place can do, and describes it.
func (w *crowd) step(p *place, choice int, reached func() uint64) string {
	switch {
	case p.sub == nil:
		return w.join(p, choice < 50)
	case choice < 25:
		return "release " + p.release()
	case choice < 45:
		return w.leave(p, "close subscription", p.sub.Close)
	case choice < 60:
		return w.leave(p, "close client", p.conn.Close)
	case choice < 70:
		p.vanish()
		return "lose connection"
	case choice < 90 && w.queue && w.members() > 1:
		return w.leave(p, "unsubscribe", p.sub.Unsubscribe)
	case choice >= 97:
		return w.renew(reached())
	}
	return "nothing"
}

func (w *crowd) members() int {
	n := 0
	for _, p := range w.places {
		if p.sub != nil {
			n++
		}
	}
	return n
}

// groupName is the name of the current group.
func (w *crowd) groupName() string { return fmt.Sprintf("%s-%d", w.name, w.group) }

// join makes the place a member. With hold, the member acknowledges nothing until it is released.
func (w *crowd) join(p *place, hold bool) string {
	if !w.connect(p) {
		return "fail to connect"
	}
	options := []stan.SubscriptionOption{stan.DurableName(w.groupName()), stan.SetManualAckMode(), stan.AckWait(ackWait), stan.MaxInflight(16 + w.random.IntN(100))}
	if !w.begun { // the start position of an existing group is ignored; without the group, it prevents a gap
		options = append(options, stan.StartAtSequence(w.reader.first))
	}
	m := &member{reader: w.reader, hold: hold}
	var err error
	if w.queue {
		p.sub, err = p.conn.QueueSubscribe(shared, w.groupName(), m.receive, options...)
	} else {
		p.sub, err = p.conn.Subscribe(shared, m.receive, options...)
	}
	if err != nil {
		// The server may have added the member. It then stays until its client ends.
		p.sub, p.refused = nil, err
		p.vanish()
		return "fail to join"
	}
	p.member, w.begun = m, true
	if hold {
		return "join and acknowledge nothing"
	}
	return "join"
}

// leave ends a membership. It retries a request that gets no answer.
func (w *crowd) leave(p *place, how string, end func() error) string {
	var err error
	for range 5 {
		err = end()
		if !errors.Is(err, stan.ErrUnsubReqTimeout) && !errors.Is(err, stan.ErrCloseReqTimeout) {
			break
		}
	}
	p.sub, p.member = nil, nil
	if how == "close client" || errors.Is(err, stan.ErrUnsubReqTimeout) || errors.Is(err, stan.ErrCloseReqTimeout) {
		p.vanish()
	}
	if err != nil {
		return "fail to " + how
	}
	return how
}

// renew unsubscribes the whole group, which is owed nothing from then on. The next group starts at the next event or a
// little earlier.
func (w *crowd) renew(reached uint64) string {
	for _, p := range w.places {
		if p.sub != nil {
			w.leave(p, "unsubscribe", p.sub.Unsubscribe)
		}
	}
	w.group, w.begun = w.group+1, false
	first := uint64(1)
	if back := w.random.Uint64N(100); reached > back {
		first = reached - back
	}
	w.reader = newReader(w.name, false, first)
	return "unsubscribe the group"
}

// catchUp makes every place a member that acknowledges everything, and waits until the group has acknowledged all events
// up to last.
func (w *crowd) catchUp(last uint64) {
	w.cluster.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := time.Now().Add(harness.Patience); ; {
		missing := ""
		for _, p := range w.places {
			if p.sub == nil {
				if step := w.join(p, false); p.sub == nil {
					missing = fmt.Sprintf("%s: %s: %v", p.id, step, p.refused)
				}
			}
			if p.sub != nil {
				p.release()
			}
		}
		if missing == "" {
			break
		}
		if time.Now().After(end) {
			w.cluster.t.Fatal(missing)
		}
	}
	w.reader.await(w.cluster.t, last)
}

// disperse closes all clients. This also ends subscriptions that only the server has, because the client missed the
// answer to its request.
func (w *crowd) disperse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closeAll()
}

func (w *crowd) closeAll() {
	for _, p := range w.places {
		if p.conn != nil {
			w.leave(p, "close client", p.conn.Close)
		}
	}
}

// minHeld is the least number of messages that a holding member must have received.
const minHeld = 10

// hold makes the first place the only member, one that has just received messages and acknowledges none. The other
// places are connected clients. The caller holds w.mu.
func (w *crowd) hold() *place {
	w.cluster.t.Helper()
	w.closeAll()
	holder := w.places[0]
	for end := time.Now().Add(harness.Patience); ; {
		if time.Now().After(end) {
			w.cluster.t.Fatalf("%s cannot join", w.name)
		}
		if slices.ContainsFunc(w.places, func(p *place) bool { return !w.connect(p) }) {
			continue
		}
		if w.join(holder, true); holder.sub != nil {
			break
		}
	}
	w.cluster.burst(2 * minHeld)
	for end := time.Now().Add(harness.Patience); holder.member.holds() < minHeld; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.cluster.t.Fatalf("%s received only %d messages", holder.id, holder.member.holds())
		}
	}
	return holder
}

// connect connects the place and reports success.
func (w *crowd) connect(p *place) bool {
	if p.conn == nil {
		var err error
		if p.conn, p.nats, err = w.cluster.connect(p.id); err != nil {
			p.conn, p.nats = nil, nil
		}
	}
	return p.conn != nil
}

// rejoin makes a member leave and return, or another client join.
func (w *crowd) rejoin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.places[w.random.IntN(len(w.places))]
	if p.sub != nil {
		w.leave(p, "close subscription", p.sub.Close)
	}
	w.join(p, false)
	return nil
}

// reconnect makes a client lose its connection and return.
func (w *crowd) reconnect() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.places[w.random.IntN(len(w.places))]
	p.vanish()
	w.join(p, false)
	return nil
}
