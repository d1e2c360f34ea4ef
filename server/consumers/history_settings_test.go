package consumers

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// historyRules are the settings that histories change between.
var historyRules = []*rules{
	{onLimit: LimitPark, parksBehind: true},
	{onLimit: LimitPark, parksBehind: true, maxDeliveries: 2},
	{onLimit: LimitPark, parksBehind: true, maxDeliveries: 2, orderBy: OrderAggregate},
	{onLimit: LimitPark, parksBehind: false, maxDeliveries: 3, orderBy: OrderAggregate},
	{onLimit: LimitStall, parksBehind: true, maxDeliveries: 1},
	{onLimit: LimitStall, parksBehind: true, maxDeliveries: 2, orderBy: OrderAggregate},
	{onLimit: LimitSkip, parksBehind: true, maxDeliveries: 2, backoff: []time.Duration{100 * time.Millisecond, 5 * time.Second}},
	{onLimit: LimitPark, parksBehind: true, orderBy: OrderAggregate, filter: &stores.Query{}},
	{onLimit: LimitPark, parksBehind: true, paused: true},
}

// newState returns a group without members, with what is stored by its name.
func (w *world) newState(key Key) *state {
	n := w.names[key]
	if n == nil {
		n = w.newNamed(key)
		w.names[key] = n
	}
	g := &state{queue: key.Queue != "", name: n}
	if r := w.db.settings[key]; r != nil {
		g.setRules(r, w.now)
	} else {
		g.setRules(historyRules[0], w.now)
	}
	return g
}

// newNamed returns what is stored by a name.
func (w *world) newNamed(key Key) *named {
	n := &named{name: stores.ConsumerName{Line: "line", Client: key.Client, Name: key.Queue + key.Durable}, newID: func() uint64 {
		w.lastID++
		return w.lastID
	}}
	id, parked := w.db.parkedOf(key)
	n.id = id
	for _, p := range parked {
		n.count(p.Key, 1)
	}
	return n
}

// facts are those of a message: some are delayed, and some not wanted by groups with a filter.
func (w *world) facts(g *state, seq uint64) (f facts) {
	f.unwanted = g.rules.filter != nil && seq%5 == 0
	if g.rules.orderBy != "" && seq%4 > 0 {
		f.key = fmt.Sprint("key ", seq%3)
	}
	if seq%11 == 0 {
		f.at = time.Duration(seq-1000) * 100 * time.Millisecond
	}
	return f
}

func (w *world) lookUpKeys(g *state) {
	for {
		seqs := g.unknownKeys()
		seqs = seqs[:min(3, len(seqs))]
		if len(seqs) == 0 {
			return
		}
		for _, seq := range seqs {
			g.setKey(seq, w.facts(g, seq).key, w.now)
		}
	}
}

// first notes a first delivery, which is in the order of its key.
func (w *world) first(key Key, g *state, seq uint64) {
	l := w.lives[key]
	k := w.facts(g, seq).key
	if l == nil || k == "" || l.replayed[seq] {
		return
	}
	if l.sent[k] > seq {
		w.fault = fmt.Sprintf("group %v: message %d is sent after message %d of its key", key, seq, l.sent[k])
	}
	l.sent[k] = seq
}

func (w *world) sendReady(key Key, g *state, n int) {
	ready := g.takeReady(w.now, min(n, g.window()))
	for i, seq := range ready {
		f := w.facts(g, seq)
		if g.settle(seq, f, w.now) {
			if l := w.lives[key]; l != nil && f.unwanted {
				l.acked[seq] = true
			}
			continue
		}
		if g.spent(seq) {
			w.limit(key, g, seq)
			continue
		}
		m := g.pick(false)
		if m == nil {
			g.holdAgain(ready[i:], w.now)
			return
		}
		if g.deliveries(seq) == 0 {
			w.first(key, g, seq)
		}
		g.sent(m, seq, w.now)
	}
}

func (w *world) limit(key Key, g *state, seq uint64) {
	if l := w.lives[key]; l != nil && g.rules.onLimit == LimitSkip {
		l.acked[seq] = true
	}
	g.limit(seq, w.now)
}

func (w *world) configure(key Key, g *state, n uint32) {
	r := historyRules[n%uint32(len(historyRules))]
	w.db.settings[key] = r
	if g == nil {
		w.strays[key] = w.strays[key] || r.orderBy != "" // it may not be stored yet that the group ended
		return
	}
	unstored := g.changed.any() || len(w.inFlight)+len(w.ending) > 0 // a crash can bring back what members held
	w.strays[key] = w.strays[key] || r.orderBy != "" && g.rules.orderBy == "" && (g.unacked.len() > 0 || unstored)
	if l := w.lives[key]; l != nil {
		clear(l.sent)
	}
	g.setRules(r, w.now)
}

func (w *world) reject(key Key, g *state, n uint32) {
	var held []uint64
	for seq, h := range g.unacked.held {
		if h.by != &g.waiting && h.by.phase == phaseActive {
			held = append(held, seq)
		}
	}
	if len(held) == 0 {
		return
	}
	slices.Sort(held)
	seq := held[n%uint32(len(held))]
	switch {
	case n%4 == 0:
		g.park(seq, "rejected", w.now)
	case n%4 == 1:
		w.lives[key].acked[seq] = true
		g.forget(seq, w.now)
	case g.spent(seq):
		w.limit(key, g, seq)
	default:
		g.retry(seq, time.Duration(n%5000)*time.Millisecond, w.now)
	}
}

// replay replays what is parked and stored: as an act does, which waits for that first.
func (w *world) replay(key Key, g *state, n uint32) {
	_, parked := w.db.parkedOf(key)
	var all []stores.ParkedMessage
	for _, seq := range slices.Sorted(maps.Keys(parked)) {
		if _, changing := g.changed.parks[seq]; n%3 > 0 && !changing && len(w.inFlight) == 0 {
			all = append(all, parked[seq])
			if l := w.lives[key]; l != nil {
				l.replayed[seq] = true
			}
		}
	}
	g.replay(all, w.now)
}

func (w *world) move(g *state, l *life, n uint32) {
	next := l.start + 1 + uint64(n)%(w.last+1-l.start)
	for seq := range g.changed.parks {
		if seq >= next && g.changed.parks[seq] != nil {
			return // an act waits until it is stored
		}
	}
	if len(w.inFlight) > 0 {
		return
	}
	_, parked := w.db.parkedOf(Key{})
	for key, other := range w.groups {
		if other == g {
			_, parked = w.db.parkedOf(key)
		}
	}
	for seq, p := range parked {
		if _, changing := g.changed.parks[seq]; seq >= next && !changing {
			g.changed.unpark(seq)
			g.name.count(p.Key, -1)
		}
	}
	g.reset(next)
	changes, _ := g.takeChanges(nil) // the act waits until it is stored
	w.db.apply(changes)
	g.changed.row = true // joins wait for a write
	for seq := range next - 1 - l.start {
		l.acked[l.start+1+seq] = true // skipped, or done before
	}
	for seq := next; seq <= w.last; seq++ {
		delete(l.acked, seq)
	}
	clear(l.sent)
}

// beginAnew is what a join does before its member is active.
func (w *world) beginAnew(f flight) {
	if !f.s.anew || len(f.joining) == 0 {
		return
	}
	_, parked := w.db.parkedOf(f.key)
	all := slices.Collect(maps.Values(parked))
	f.s.watchParked()
	f.s.name.recount(all)
	f.s.unparkFrom(f.s.lastSent+1, all)
	changes, _ := f.s.takeChanges(nil) // the join waits until it is stored
	w.db.apply(changes)
	f.s.changed.row = true // others wait for a write
}

// parked reports whether a message is parked in memory or in the database.
func (w *world) parked(key Key, g *state, seq uint64) bool {
	if p, changing := g.changed.parks[seq]; changing {
		return p != nil
	}
	for _, f := range w.inFlight {
		if f.s == g {
			if p, changing := f.taken.parks[seq]; changing {
				return p != nil
			}
		}
	}
	_, parked := w.db.parkedOf(key)
	_, ok := parked[seq]
	return ok
}

// lanesOf returns a fault of an ordered group: two messages of a key with members, or one that waits for nothing.
func (w *world) lanesOf(key Key, g *state) string {
	if g.lanes == nil || len(g.lanes.unknown) > 0 {
		return ""
	}
	held := map[string]uint64{}
	for seq, h := range g.unacked.held {
		lane, known := g.lanes.keys[seq]
		if !known {
			return fmt.Sprintf("message %d has no lane", seq)
		}
		if lane == "" {
			continue
		}
		if h.by != &g.waiting {
			if other := held[lane]; other > 0 && !w.strays[key] {
				return fmt.Sprintf("messages %d and %d of %s are with members", seq, other, lane)
			}
			held[lane] = seq
		}
		own := g.lanes.byKey[lane]
		_, stalled := g.stalled[seq]
		if own == nil || own.active == seq && h.by == &g.waiting && h.at == never && !stalled {
			return fmt.Sprintf("message %d of %s waits for nothing", seq, lane)
		}
	}
	for lane, own := range g.lanes.byKey {
		for _, seq := range append(slices.Clone(own.behind), own.active) {
			if g.unacked.holder(seq) == nil {
				return fmt.Sprintf("%s has message %d, which is gone", lane, seq)
			}
		}
	}
	return ""
}
