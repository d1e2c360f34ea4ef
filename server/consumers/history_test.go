package consumers

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

var historySeed = flag.Uint64("history.seed", 0, "run the generated history of this seed only")

// TestHistories runs generated histories of groups (joins, leaves, closes, unsubscribes, acks, time-outs, writes that
// succeed, fail, or have an unknown outcome, crashes between any two of these) against a model. At any moment, what a crash
// would leave is this: of each group that was reported to be on record, each message from its start position on was
// acknowledged, or is stored as unacknowledged, or lies above the stored position; and nothing else is on record than what
// was joined and did not end.
func TestHistories(t *testing.T) {
	t.Parallel()
	seeds := []uint64{*historySeed}
	if *historySeed == 0 {
		seeds = nil
		for range 600 {
			seeds = append(seeds, rand.Uint64())
		}
	}
	for _, seed := range seeds {
		history := generate(seed)
		if fault := play(history); fault != "" {
			history = shrink(history)
			t.Fatalf("-history.seed=%d: %s\nthe shortest history with a fault: %s\n%s", seed, fault, play(history), strings.Join(describe(history), "\n"))
		}
	}
}

// step is one event of a history. Its numbers choose among what there is.
type step struct{ what, a, b uint32 }

const (
	publish = iota
	join
	leave
	unsubscribe
	deliver
	ack
	timeout
	begin // a write
	settle
	deadline // of a join
	crash
	steps
)

var stepNames = []string{"publish", "join", "leave", "unsubscribe", "deliver", "ack", "timeout", "begin write", "settle write", "deadline", "crash"}

func generate(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 0))
	weights := []uint32{4, 4, 2, 1, 6, 6, 2, 6, 6, 1, 1}
	if r.IntN(4) == 0 { // a long life without crashes
		weights[crash] = 0
	}
	var bag []uint32
	for what, n := range weights {
		for range n {
			bag = append(bag, uint32(what))
		}
	}
	history := make([]step, 20+r.IntN(200))
	for i := range history {
		history[i] = step{bag[r.IntN(len(bag))], r.Uint32(), r.Uint32()}
	}
	return history
}

func describe(history []step) (lines []string) {
	for _, s := range history {
		lines = append(lines, fmt.Sprintf("%s %d %d", stepNames[s.what], s.a, s.b))
	}
	return lines
}

// shrink removes steps as long as the history has a fault.
func shrink(history []step) []step {
	for size := len(history) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(history); {
			shorter := slices.Delete(slices.Clone(history), from, from+size)
			if play(shorter) != "" {
				history = shorter
			} else {
				from += size
			}
		}
	}
	return history
}

// table is the database.
type table struct {
	subs  map[uint64]spb.SubState
	rows  map[uint64]stores.PositionRow
	parts map[uint64]map[uint64][]stores.Run
}

func (d *table) clone() *table {
	parts := map[uint64]map[uint64][]stores.Run{}
	for id, p := range d.parts {
		parts[id] = maps.Clone(p)
	}
	return &table{subs: maps.Clone(d.subs), rows: maps.Clone(d.rows), parts: parts}
}

func (d *table) apply(c stores.ConsumerChanges) {
	for _, p := range c.Put {
		d.subs[p.State.ID] = *p.State
	}
	for _, p := range c.Positions {
		if p.Row != nil {
			d.rows[p.Consumer] = *p.Row
		}
		for part, runs := range p.Parts {
			if d.parts[p.Consumer] == nil {
				d.parts[p.Consumer] = map[uint64][]stores.Run{}
			}
			if d.parts[p.Consumer][part] = runs; len(runs) == 0 {
				delete(d.parts[p.Consumer], part)
			}
		}
	}
	for _, id := range c.Drop {
		delete(d.rows, id)
		delete(d.parts, id)
	}
	for _, key := range c.Delete {
		delete(d.subs, key.ID)
	}
}

// consumers is what the store recovers.
func (d *table) consumers() (all []*stores.Consumer) {
	for _, id := range slices.Sorted(maps.Keys(d.rows)) {
		c := &stores.Consumer{ID: id, LastSent: d.rows[id].LastSent, Unacked: map[uint64][]uint64{}, Stored: true}
		for _, member := range d.rows[id].Members {
			if sub, ok := d.subs[member]; ok {
				c.Members = append(c.Members, &sub)
			}
		}
		for _, part := range slices.Sorted(maps.Keys(d.parts[id])) {
			for _, run := range d.parts[id][part] {
				for seq := run.First; seq <= run.Last; seq++ {
					c.Unacked[run.Subscription] = append(c.Unacked[run.Subscription], seq)
				}
			}
		}
		all = append(all, c)
	}
	return all
}

// life is what the clients of a group know: from when they were told that it is on record to its end.
type life struct {
	start uint64 // its messages are those above
	acked map[uint64]bool
}

// world is a server with its database, and what clients know.
type world struct {
	db       *table
	last     uint64
	lastID   uint64
	now      time.Duration
	groups   map[Key]*state
	ending   []*state // ended, and not written as such yet
	starts   map[*state]uint64
	lives    map[Key]*life
	inFlight []flight
	ghost    bool // a durable was kept that nobody was told of
}

// flight is the changes of a group in a write.
type flight struct {
	s       *state
	key     Key
	changes stores.ConsumerChanges
	taken   changed
	joining []*Member // they wait for it
}

var historyKeys = []Key{{Client: "a", Durable: "d"}, {Client: "b", Durable: "d"}, {Queue: "plain"}, {Queue: "d:queue"}}

func newWorld() *world {
	return &world{
		db:     &table{subs: map[uint64]spb.SubState{}, rows: map[uint64]stores.PositionRow{}, parts: map[uint64]map[uint64][]stores.Run{}},
		groups: map[Key]*state{}, starts: map[*state]uint64{}, lives: map[Key]*life{},
		last: 1020, // so that parts are crossed
	}
}

// play returns the first fault of a history, "" if there is none.
func play(history []step) string {
	w := newWorld()
	for i, s := range history {
		w.do(s)
		if fault := w.check(); fault != "" {
			return fmt.Sprintf("after step %d, %s: %s", i+1, stepNames[s.what], fault)
		}
	}
	w.settle(0)
	w.begin()
	w.settle(0)
	w.begin()
	w.settle(0)
	if fault := w.check(); fault != "" {
		return "at the end: " + fault
	}
	return w.stored()
}

func (w *world) do(s step) {
	w.now += time.Duration(s.b%7) * 100 * time.Millisecond
	key := historyKeys[s.a%uint32(len(historyKeys))]
	g := w.groups[key]
	switch s.what {
	case publish:
		w.last += uint64(s.a % 9)
	case join:
		w.join(key, s.b)
	case leave, unsubscribe:
		if g != nil {
			if m := chosen(g.members, s.b); m != nil {
				w.leave(key, g, m, s.what == unsubscribe)
			}
		}
	case deadline:
		if g != nil {
			if m := chosen(g.joining, s.b); m != nil {
				w.leave(key, g, m, false)
				w.ghost = w.ghost || w.lives[key] == nil && g.offline != nil
			}
		}
	case deliver:
		for range s.b % 20 {
			if g == nil || g.lastSent >= w.last {
				return
			}
			if m := g.pick(false); m != nil {
				g.sent(m, g.lastSent+1, w.now)
			}
		}
	case ack:
		if g != nil && w.lives[key] != nil {
			held := slices.Sorted(maps.Keys(g.unacked.held))
			for i := range s.b % 5 {
				if len(held) > 0 {
					seq := held[(s.b/5+i*7)%uint32(len(held))]
					if m := g.unacked.holder(seq); m != nil && m.phase == phaseActive {
						g.ack(seq)
						w.lives[key].acked[seq] = true
					}
				}
			}
		}
	case timeout:
		w.now += 2 * time.Second
		if g != nil {
			for _, d := range g.takeDue(w.now) {
				g.resent(g.pick(true), d.seq, w.now)
			}
		}
	case begin:
		w.begin()
	case settle:
		w.settle(s.a % 4)
	case crash:
		w.settle(1 + s.a%2) // whatever was under way happened, or did not
		w.restart()
	}
}

func chosen(members []*Member, n uint32) *Member {
	if len(members) == 0 {
		return nil
	}
	return members[n%uint32(len(members))]
}

func (w *world) join(key Key, n uint32) {
	g := w.groups[key]
	if g == nil {
		g = &state{queue: key.Queue != "", lastSent: w.last - uint64(n%3)}
		w.groups[key], w.starts[g] = g, g.lastSent
	}
	if !g.queue && len(g.members)+len(g.joining) > 0 || len(g.members)+len(g.joining) > 3 {
		return
	}
	durable := key.Durable != "" || strings.Contains(key.Queue, ":")
	m := &Member{client: &fakeClient{id: "me"}, state: &spb.SubState{ClientID: cmp.Or(key.Client, "me"), QGroup: key.Queue, DurableName: key.Durable, MaxInFlight: int32(1 + n%40), AckWaitInSecs: 1, IsDurable: durable}}
	g.join(m, func() uint64 {
		w.lastID++
		return w.lastID
	}, w.now)
}

func (w *world) leave(key Key, g *state, m *Member, unsubscribe bool) {
	if g.leave(m, unsubscribe, w.now) == ended {
		delete(w.groups, key)
		delete(w.lives, key)
		w.ending = append(w.ending, g)
	}
}

// begin takes what is to be written.
func (w *world) begin() {
	if len(w.inFlight) > 0 {
		return
	}
	take := func(key Key, g *state) {
		if g.changed.any() {
			f := flight{s: g, key: key, joining: slices.Clone(g.joining)}
			f.changes, f.taken = g.take(nil)
			w.inFlight = append(w.inFlight, f)
		}
	}
	for _, key := range historyKeys {
		if g := w.groups[key]; g != nil {
			take(key, g)
		}
	}
	for _, g := range w.ending {
		take(Key{}, g)
	}
}

// settle ends a write: 0, 3: it succeeds; 1: it fails; 2: it is stored, and the answer is lost.
func (w *world) settle(outcome uint32) {
	for _, f := range w.inFlight {
		if outcome != 1 {
			w.db.apply(f.changes)
		}
		if outcome == 1 || outcome == 2 {
			f.s.changed.add(f.taken)
			continue
		}
		w.ending = slices.DeleteFunc(w.ending, func(g *state) bool { return g == f.s && !g.changed.any() })
		for _, m := range f.joining {
			if f.s.activate(m) && w.lives[f.key] == nil {
				w.lives[f.key] = &life{start: w.starts[f.s], acked: map[uint64]bool{}}
			}
		}
	}
	w.inFlight = nil
}

// recovered is what a server would make of the database.
func (w *world) recovered() map[Key]*state {
	groups := map[Key]*state{}
	for _, c := range w.db.clone().consumers() {
		g := &state{queue: c.Members[0].QGroup != ""}
		g.recover(c, w.now, func(id string) Client { return &fakeClient{id: id} }, func(cl Client) *Member { return &Member{client: cl} })
		groups[keyOf(c.Members[0])] = g
	}
	return groups
}

func (w *world) restart() {
	w.groups, w.ending = w.recovered(), nil
	w.lastID = 0
	for id := range w.db.subs {
		w.lastID = max(w.lastID, id)
	}
	for key, g := range w.groups {
		w.lastID = max(w.lastID, g.id)
		if w.lives[key] == nil { // its clients were not told, or it did not end in time: what they acknowledged is not known
			w.lives[key] = &life{start: 1000, acked: map[uint64]bool{}}
			for seq := uint64(1001); seq <= g.lastSent; seq++ {
				w.lives[key].acked[seq] = g.unacked.holder(seq) == nil
			}
		}
		for _, m := range g.members {
			for _, seq := range g.unacked.sequences(m) {
				g.dueAfter(m, seq, w.now, 0)
			}
			m.recovered = false
		}
	}
}

// check returns what is wrong with what a crash would leave now.
func (w *world) check() string {
	if w.ghost {
		return "a durable is kept though its first join failed"
	}
	groups := w.recovered()
	for key, l := range w.lives {
		g := groups[key]
		if g == nil || g.ended {
			return fmt.Sprintf("group %v is gone", key)
		}
		for seq := l.start + 1; seq <= w.last; seq++ {
			if !l.acked[seq] && g.unacked.holder(seq) == nil && seq <= g.lastSent {
				return fmt.Sprintf("group %v: message %d is lost: the position is %d", key, seq, g.lastSent)
			}
		}
	}
	for key, g := range w.groups { // and with what is in memory
		n := 0
		for _, m := range g.all() {
			n += len(g.unacked.sequences(m))
		}
		if n != g.unacked.len() {
			return fmt.Sprintf("group %v: members hold %d of %d messages", key, n, g.unacked.len())
		}
		if l := w.lives[key]; l != nil {
			for seq := l.start + 1; seq <= g.lastSent; seq++ {
				if !l.acked[seq] && g.unacked.holder(seq) == nil {
					return fmt.Sprintf("group %v: nobody holds message %d", key, seq)
				}
			}
		}
	}
	return ""
}

// stored compares the database with memory when all is written.
func (w *world) stored() string {
	groups := w.recovered()
	for key, g := range w.groups {
		stored := groups[key]
		if len(g.joining) > 0 || stored == nil {
			return fmt.Sprintf("group %v: %d members are not on record", key, len(g.joining))
		}
		if stored.lastSent != g.lastSent || stored.id != g.id || len(stored.members) != len(g.members) || (stored.offline == nil) != (g.offline == nil) {
			return fmt.Sprintf("group %v: stored %+v\nin memory %+v", key, stored, g)
		}
		for seq, h := range g.unacked.held {
			if other := stored.unacked.holder(seq); other == nil || other.state.ID != h.by.state.ID {
				return fmt.Sprintf("group %v: message %d is not stored with its holder", key, seq)
			}
		}
		if stored.unacked.len() != g.unacked.len() {
			return fmt.Sprintf("group %v: %d messages are stored, want %d", key, stored.unacked.len(), g.unacked.len())
		}
		delete(groups, key)
	}
	for key := range groups {
		return fmt.Sprintf("group %v is a ghost", key)
	}
	subs := 0
	for _, row := range w.db.rows {
		subs += len(row.Members)
	}
	if subs != len(w.db.subs) || len(w.db.parts) > len(w.db.rows) {
		return fmt.Sprintf("%d subscriptions are stored, of which groups know %d", len(w.db.subs), subs)
	}
	return ""
}
