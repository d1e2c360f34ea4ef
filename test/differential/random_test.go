package differential

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// randomScenarios are random sequences of requests and acks, one per seed.
func randomScenarios() []scenario {
	const seeds, steps = 6, 40
	var all []scenario
	for seed := range uint64(seeds) {
		all = append(all, scenario{fmt.Sprintf("seed %d", seed), func(p *play) {
			r := &random{play: p, rand: rand.New(rand.NewPCG(seed, seed)), clients: make(map[string]*wire.Client)}
			for range steps {
				r.step()
			}
		}})
	}
	return all
}

// random takes random steps and records the effects of each step before the next one.
type random struct {
	*play
	rand     *rand.Rand
	clients  map[string]*wire.Client
	subs     []*subscribed
	messages int
	names    int
}

// subscribed is a subscription with the messages that it has not acknowledged.
type subscribed struct {
	*wire.Sub
	name    string
	queue   string
	unacked []uint64
}

func (r *random) step() {
	cl := r.someClient()
	quiet := stepQuiet
	switch n := r.rand.IntN(10); {
	case n < 3:
		r.subscribe(cl)
	case n < 6:
		r.messages++
		r.publish(cl, "c", strconv.Itoa(r.messages))
	case n < 8:
		r.ack()
	case n < 9:
		r.end()
		quiet = leaveQuiet
	case r.rand.IntN(2) == 0:
		r.leave(cl)
		quiet = leaveQuiet
	}
	r.look(quiet)
}

func (r *random) someClient() *wire.Client {
	name := []string{"a", "b", "c"}[r.rand.IntN(3)]
	if r.clients[name] == nil {
		r.clients[name] = r.client(name)
	}
	return r.clients[name]
}

func (r *random) subscribe(cl *wire.Client) {
	max := int32(1 + r.rand.IntN(3))
	pos := pb.StartPosition(r.rand.IntN(5))
	from := uint64(r.rand.IntN(r.messages + 2))
	opts := []wire.Option{wire.Max(max), at(pos, from, 0)}
	queue := ""
	switch r.rand.IntN(4) {
	case 1:
		opts = append(opts, wire.Durable("d"))
	case 2:
		queue = "q"
	case 3:
		queue = "d:q"
		opts = append(opts, wire.Durable("d"))
	}
	if queue != "" {
		opts = append(opts, wire.Queue("q"))
		// With three members, it is undefined which one is next in turn after one has left.
		members := 0
		for _, sub := range r.subs {
			if sub.queue == queue {
				members++
			}
		}
		if members == 2 {
			return
		}
	}
	r.names++
	name := fmt.Sprintf("sub %d", r.names)
	if sub := r.sub(cl, name, "c", opts...); sub != nil {
		r.subs = append(r.subs, &subscribed{Sub: sub, name: name, queue: queue})
	}
}

func (r *random) ack() {
	var with []*subscribed
	for _, sub := range r.subs {
		if len(sub.unacked) > 0 {
			with = append(with, sub)
		}
	}
	if len(with) == 0 {
		return
	}
	sub := with[r.rand.IntN(len(with))]
	i := r.rand.IntN(len(sub.unacked))
	r.note("ack", "%s %d", sub.name, sub.unacked[i])
	sub.Ack(sub.unacked[i])
	sub.unacked = slices.Delete(sub.unacked, i, i+1)
	r.flushAcks(sub.Client)
}

func (r *random) end() {
	if len(r.subs) == 0 {
		return
	}
	i := r.rand.IntN(len(r.subs))
	sub := r.subs[i]
	r.subs = slices.Delete(r.subs, i, i+1)
	if r.rand.IntN(2) == 0 {
		r.result("close "+sub.name, sub.Close())
	} else {
		r.result("unsubscribe "+sub.name, sub.Unsubscribe())
	}
}

func (r *random) leave(cl *wire.Client) {
	r.result("close "+cl.ID, cl.Bye())
	for name, c := range r.clients {
		if c == cl {
			delete(r.clients, name)
		}
	}
	r.subs = slices.DeleteFunc(r.subs, func(sub *subscribed) bool { return sub.Client == cl })
}

// How long to wait for the effects of a step. The messages of a member that leaves are redelivered after 100 ms.
const (
	stepQuiet  = 200 * time.Millisecond
	leaveQuiet = 400 * time.Millisecond
)

// look records the effects of a step.
func (r *random) look(quiet time.Duration) {
	subs := make([]*wire.Sub, len(r.subs))
	for i, sub := range r.subs {
		subs[i] = sub.Sub
	}
	for i, got := range collect(quiet, subs) {
		if len(got) > 0 {
			r.note(r.subs[i].name, "%s", wire.Lines(got))
		}
		for _, m := range got {
			if !slices.Contains(r.subs[i].unacked, m.Sequence) {
				r.subs[i].unacked = append(r.subs[i].unacked, m.Sequence)
			}
		}
	}
}
