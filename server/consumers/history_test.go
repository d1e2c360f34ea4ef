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

// TestHistories runs generated histories of groups against a model: joins, leaves, closes, unsubscribes, acks,
// timeouts, writes that succeed, fail or have an unknown outcome, and crashes between any two steps. At any moment, a
// crash must leave every message of a stored group acknowledged, stored as unacknowledged, or above the stored
// position. Nothing else may be stored than groups that were joined and have not ended.
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
			t.Fatalf("-history.seed=%d: %s\nshortest history with a fault: %s\n%s", seed, fault, play(history), strings.Join(describe(history), "\n"))
		}
	}
}

// step is one event of a history. Its numbers choose among what exists.
type step struct{ what, a, b uint32 }

const (
	publish = iota
	join
	leave
	unsubscribe
	deliver
	ack
	timeout
	beginWrite
	endWrite
	deadline // of a join
	configure
	waiting // messages are sent that no member held
	reject
	replay
	move // the position is set
	crash
	steps
)

var stepNames = []string{"publish", "join", "leave", "unsubscribe", "deliver", "ack", "timeout", "begin write", "end write", "deadline", "configure", "waiting", "reject", "replay", "move", "crash"}

func generate(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 0))
	weights := []uint32{4, 4, 2, 1, 6, 6, 2, 6, 6, 1, 1, 4, 3, 1, 1, 1}
	switch r.IntN(4) {
	case 0: // a long history without crashes
		weights[crash] = 0
	case 1: // groups without settings
		weights[configure], weights[reject] = 0, 0
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

// shrink removes steps while the history still has a fault.
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

// table models the database.
type table struct {
	subs  map[uint64]spb.SubState
	rows  map[uint64]stores.PositionRow
	parts map[uint64]map[uint64][]stores.Run
	again map[uint64]map[uint64][]stores.RedeliveredRun
	// By name.
	settings map[Key]*rules
	parked   map[uint64]map[uint64]stores.ParkedMessage // by ID and sequence
	names    map[uint64]Key
}

func (d *table) clone() *table {
	parts := map[uint64]map[uint64][]stores.Run{}
	for id, p := range d.parts {
		parts[id] = maps.Clone(p)
	}
	again, parked := map[uint64]map[uint64][]stores.RedeliveredRun{}, map[uint64]map[uint64]stores.ParkedMessage{}
	for id, p := range d.again {
		again[id] = maps.Clone(p)
	}
	for id, p := range d.parked {
		parked[id] = maps.Clone(p)
	}
	return &table{maps.Clone(d.subs), maps.Clone(d.rows), parts, again, maps.Clone(d.settings), parked, maps.Clone(d.names)}
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
		for part, runs := range p.Redelivered {
			if d.again[p.Consumer] == nil {
				d.again[p.Consumer] = map[uint64][]stores.RedeliveredRun{}
			}
			if d.again[p.Consumer][part] = runs; len(runs) == 0 {
				delete(d.again[p.Consumer], part)
			}
		}
	}
	for _, n := range c.Named {
		d.names[n.ID] = keyed(n.ConsumerName)
	}
	for _, p := range c.Park {
		if d.parked[p.Consumer] == nil {
			d.parked[p.Consumer] = map[uint64]stores.ParkedMessage{}
		}
		d.parked[p.Consumer][p.Seq] = p
	}
	for _, k := range c.Unpark {
		delete(d.parked[k.Consumer], k.Seq)
	}
	for _, id := range c.Drop {
		delete(d.rows, id)
		delete(d.parts, id)
		delete(d.again, id)
	}
	for _, key := range c.Delete {
		delete(d.subs, key.ID)
	}
}

// consumers returns what the store would recover.
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
		for _, part := range slices.Sorted(maps.Keys(d.again[id])) {
			c.Redelivered = append(c.Redelivered, d.again[id][part]...)
		}
		all = append(all, c)
	}
	return all
}

// parkedOf returns the parked messages of a name, and its ID, or 0.
func (d *table) parkedOf(key Key) (uint64, map[uint64]stores.ParkedMessage) {
	for id, k := range d.names {
		if k == key {
			return id, d.parked[id]
		}
	}
	return 0, nil
}

// life is what the clients of a group know, from the first answer to the end of the group.
type life struct {
	start uint64          // the group gets messages above it
	acked map[uint64]bool // or skipped, or not wanted
	// sent are first deliveries in order: the highest sequence of each key that was sent; since the last crash.
	sent     map[string]uint64
	replayed map[uint64]bool
}

func newLife(start uint64) *life {
	return &life{start: start, acked: map[uint64]bool{}, sent: map[string]uint64{}, replayed: map[uint64]bool{}}
}

// world is a server, its database, and what clients know.
type world struct {
	db       *table
	last     uint64
	lastID   uint64
	now      time.Duration
	groups   map[Key]*state
	ending   []*state // ended, but not yet written
	starts   map[*state]uint64
	lives    map[Key]*life
	inFlight []flight
	ghost    bool // a durable without any answered join was kept
	fault    string
	names    map[Key]*named
	// strays are names of groups that were ordered by key while members held messages.
	strays map[Key]bool
}

// flight holds the changes of a group during a write.
type flight struct {
	s       *state
	key     Key
	changes stores.ConsumerChanges
	taken   changed
	joining []*Member // joins that wait for the write
}

var historyKeys = []Key{{Client: "a", Durable: "d"}, {Client: "b", Durable: "d"}, {Queue: "plain"}, {Queue: "d:queue"}}

func newWorld() *world {
	return &world{
		db: &table{
			map[uint64]spb.SubState{}, map[uint64]stores.PositionRow{}, map[uint64]map[uint64][]stores.Run{},
			map[uint64]map[uint64][]stores.RedeliveredRun{}, map[Key]*rules{}, map[uint64]map[uint64]stores.ParkedMessage{}, map[uint64]Key{},
		},
		groups: map[Key]*state{}, starts: map[*state]uint64{}, lives: map[Key]*life{}, strays: map[Key]bool{}, names: map[Key]*named{},
		last: 1020, // just before a part boundary
	}
}

// play returns the first fault of a history, or "".
func play(history []step) string {
	w := newWorld()
	for i, s := range history {
		w.do(s)
		if fault := w.check(); fault != "" {
			return fmt.Sprintf("after step %d, %s: %s", i+1, stepNames[s.what], fault)
		}
	}
	w.endWrite(0)
	w.beginWrite()
	w.endWrite(0)
	w.beginWrite()
	w.endWrite(0)
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
			if g == nil || g.lastSent >= w.last || g.window() == 0 {
				return
			}
			w.lookUpKeys(g)
			seq := g.lastSent + 1
			f := w.facts(g, seq)
			if g.place(seq, f, w.now) {
				if l := w.lives[key]; l != nil && f.unwanted {
					l.acked[seq] = true
				}
				continue
			}
			if m := g.pick(false); m != nil {
				w.first(key, g, seq)
				g.sent(m, seq, w.now)
			}
		}
	case waiting:
		w.now += 500 * time.Millisecond
		if g != nil {
			w.lookUpKeys(g)
			w.sendReady(key, g, int(s.b%20))
		}
	case configure:
		w.configure(key, g, s.b)
	case reject:
		if g != nil && w.lives[key] != nil {
			w.reject(key, g, s.b)
		}
	case replay:
		if g != nil {
			w.replay(key, g, s.b)
		}
	case move:
		if l := w.lives[key]; g != nil && l != nil && s.b%3 == 0 {
			w.move(g, l, s.b/3)
		}
	case ack:
		if g != nil && w.lives[key] != nil {
			held := slices.Sorted(maps.Keys(g.unacked.held))
			for i := range s.b % 5 {
				if len(held) > 0 {
					seq := held[(s.b/5+i*7)%uint32(len(held))]
					if m := g.unacked.holder(seq); m != nil && m.phase == phaseActive {
						g.ack(seq, w.now)
						w.lives[key].acked[seq] = true
					}
				}
			}
		}
	case timeout:
		w.now += 2 * time.Second
		if g != nil {
			w.lookUpKeys(g)
			for _, d := range allDue(g, w.now) {
				switch {
				case g.unacked.holder(d.seq) != d.member:
				case g.held():
					g.dueNow([]due{d}, w.now)
				case g.spent(d.seq):
					w.limit(key, g, d.seq)
				default:
					g.resent(g.pick(true), d.seq, w.now)
				}
			}
		}
	case beginWrite:
		w.beginWrite()
	case endWrite:
		w.endWrite(s.a % 4)
	case crash:
		w.endWrite(1 + s.a%2) // the running write took effect or did not
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
		g = w.newState(key)
		g.lastSent = w.last - min(uint64(n%3*n%50), w.last-1000)
		g.anew = g.name.parkedCount() > 0
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

// beginWrite starts a write.
func (w *world) beginWrite() {
	if len(w.inFlight) > 0 {
		return
	}
	take := func(key Key, g *state) {
		if g.changed.any() {
			f := flight{s: g, key: key, joining: slices.Clone(g.joining)}
			f.changes, f.taken = g.takeChanges(nil)
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

// endWrite ends the write. Outcomes 0 and 3: success; 1: failure; 2: it is stored, but the answer is lost.
func (w *world) endWrite(outcome uint32) {
	for _, f := range w.inFlight {
		if outcome != 1 {
			w.db.apply(f.changes)
		}
	}
	for _, f := range w.inFlight {
		if outcome == 1 || outcome == 2 {
			f.s.changed.putBack(f.taken)
			continue
		}
		w.ending = slices.DeleteFunc(w.ending, func(g *state) bool { return g == f.s && !g.changed.any() })
		w.beginAnew(f)
		for _, m := range f.joining {
			if f.s.activate(m) && w.lives[f.key] == nil {
				w.lives[f.key] = newLife(w.starts[f.s])
			}
		}
	}
	w.inFlight = nil
}

// crashed returns the groups that a server would recover, if this one crashed.
func (w *world) crashed() map[Key]*state {
	names := w.names
	defer func() { w.names = names }()
	w.names = map[Key]*named{}
	return w.recovered()
}

// recovered returns the groups that a server would recover from the database.
func (w *world) recovered() map[Key]*state {
	groups := map[Key]*state{}
	for _, c := range w.db.clone().consumers() {
		g := w.newState(keyOf(c.Members[0]))
		g.recover(c, w.now, func(sub *spb.SubState) Client { return &fakeClient{id: sub.ClientID} }, func(cl Client) *Member { return &Member{client: cl} })
		groups[keyOf(c.Members[0])] = g
	}
	return groups
}

func (w *world) restart() {
	clear(w.names)
	w.groups, w.ending = w.recovered(), nil
	w.lastID = 0
	for id := range w.db.subs {
		w.lastID = max(w.lastID, id)
	}
	for id := range w.db.names {
		w.lastID = max(w.lastID, id)
	}
	for key, g := range w.groups {
		w.lastID = max(w.lastID, g.id)
		if w.lives[key] == nil { // no join was answered, or the end was not stored: take acknowledgements from the database
			w.lives[key] = newLife(1000)
			for seq := uint64(1001); seq <= g.lastSent; seq++ {
				w.lives[key].acked[seq] = g.unacked.holder(seq) == nil
			}
		}
		clear(w.lives[key].sent)
		for _, m := range g.members {
			for _, seq := range g.unacked.sequences(m) {
				g.dueAfter(m, seq, w.now, 0)
			}
			m.recovered = false
		}
	}
}

// check returns a fault in what a crash would leave now, or in memory.
func (w *world) check() string {
	if w.fault != "" {
		return w.fault
	}
	if w.ghost {
		return "a durable is kept though its first join failed"
	}
	groups := w.crashed()
	for key, l := range w.lives {
		g := groups[key]
		if g == nil || g.ended {
			return fmt.Sprintf("group %v is gone", key)
		}
		_, parked := w.db.parkedOf(key)
		for seq := l.start + 1; seq <= w.last; seq++ {
			if _, kept := parked[seq]; !kept && !l.acked[seq] && g.unacked.holder(seq) == nil && seq <= g.lastSent {
				return fmt.Sprintf("group %v: message %d is lost: the position is %d", key, seq, g.lastSent)
			}
		}
	}
	for key, g := range w.groups { // memory
		n := 0
		for _, m := range g.all() {
			n += len(g.unacked.sequences(m))
		}
		if n += len(g.unacked.sequences(&g.waiting)); n != g.unacked.len() {
			return fmt.Sprintf("group %v: members hold %d of %d messages", key, n, g.unacked.len())
		}
		if l := w.lives[key]; l != nil {
			for seq := l.start + 1; seq <= g.lastSent; seq++ {
				if !l.acked[seq] && g.unacked.holder(seq) == nil && !w.parked(key, g, seq) {
					return fmt.Sprintf("group %v: no member holds message %d", key, seq)
				}
			}
		}
		if fault := w.lanesOf(key, g); fault != "" {
			return fmt.Sprintf("group %v: %s", key, fault)
		}
	}
	return ""
}

// stored compares the database with memory after everything was written.
func (w *world) stored() string {
	groups := w.crashed()
	for key, g := range w.groups {
		stored := groups[key]
		if len(g.joining) > 0 || stored == nil {
			return fmt.Sprintf("group %v: %d members are not stored", key, len(g.joining))
		}
		if stored.lastSent != g.stored || stored.id != g.id || len(stored.members) != len(g.members) || (stored.offline == nil) != (g.offline == nil) {
			return fmt.Sprintf("group %v: stored %+v\nin memory %+v", key, stored, g)
		}
		for seq, h := range g.unacked.held {
			if other := stored.unacked.holder(seq); other == nil || other.id() != h.by.id() {
				return fmt.Sprintf("group %v: message %d is not stored with its holder", key, seq)
			}
		}
		if stored.unacked.len() != g.unacked.len() {
			return fmt.Sprintf("group %v: %d messages are stored, want %d", key, stored.unacked.len(), g.unacked.len())
		}
		for seq, t := range g.tries {
			if stored.tries[seq] != t {
				return fmt.Sprintf("group %v: message %d was sent again %+v, stored is %+v", key, seq, t, stored.tries[seq])
			}
		}
		if _, parked := w.db.parkedOf(key); len(parked) != g.name.parkedCount() || len(stored.tries) != len(g.tries) {
			return fmt.Sprintf("group %v: %d parked messages are stored, want %d; %d tries, want %d", key, len(parked), g.name.parkedCount(), len(stored.tries), len(g.tries))
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
		return fmt.Sprintf("%d subscriptions are stored, but groups have %d", len(w.db.subs), subs)
	}
	return ""
}
