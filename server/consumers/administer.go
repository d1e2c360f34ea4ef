package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Actor is who asks for an administrative act.
type Actor struct{ Principal, Address string }

// The names of acts in the audit table.
const (
	ActConfigure   = "configure"
	ActPause       = "pause"
	ActResume      = "resume"
	ActSetPosition = "set position"
	ActSkip        = "skip"
	ActDrop        = "drop"
	ActReplay      = "replay"
	ActDiscard     = "discard"
	ActCancel      = "cancel delivery"
)

var (
	// ErrUnknownConsumer means that no durable or queue group has this name.
	ErrUnknownConsumer = errors.New("unknown consumer")
	// ErrUnknownMessage means that the consumer does not hold, or has not parked, this message.
	ErrUnknownMessage = errors.New("unknown message")
	// ErrActiveMembers means that the act needs a consumer without active members.
	ErrActiveMembers = errors.New("the consumer has active members")
	// ErrNoSubscription means that the act needs a consumer that has a subscription, if only an offline one.
	ErrNoSubscription = errors.New("the consumer has no subscription")
	// ErrInvalidPosition means that a position is not one of the channel.
	ErrInvalidPosition = errors.New("invalid position")
	// ErrInvalidSettings wraps what is wrong with settings.
	ErrInvalidSettings = errors.New("invalid settings")
)

// maxActed bounds the parked messages that one transaction replays or discards.
const maxActed = 100_000

// Every act below returns when it is stored, together with its line in the audit table, in one transaction. After an error of the
// context it may still take effect. Acts take place one after the other.

// group returns the group of a name, nil if it has none, and what is known by the name, nil if nothing is.
func (c *Consumers) group(name stores.ConsumerName) (*Group, *named) {
	l := c.Line(name.Line)
	c.mu.RLock()
	defer c.mu.RUnlock()
	if l != nil && c.lines[l] != nil {
		if g := c.lines[l].keyed[keyed(name)]; g != nil {
			return g, g.named
		}
	}
	if n := c.names[name]; n != nil && n.isStored() {
		return nil, n
	}
	return nil, nil
}

// subscribed returns the group of a name with the changes so far stored.
func (c *Consumers) subscribed(ctx context.Context, name stores.ConsumerName) (*Group, error) {
	g, n := c.group(name)
	switch {
	case n == nil:
		return nil, unknown(name)
	case g == nil:
		return nil, fmt.Errorf("%w: subscribe as %s first", ErrNoSubscription, shown(name))
	}
	return g, c.flushed(ctx, g)
}

// flushed returns when the changes of a group, if there is one, are stored.
func (c *Consumers) flushed(ctx context.Context, g *Group) error {
	if g == nil {
		return nil
	}
	if err := c.positions.wait(ctx, g); err != nil {
		return fmt.Errorf("consumer of %q: %w", g.line.Name(), err)
	}
	return nil
}

func shown(name stores.ConsumerName) string {
	if name.Client == "" {
		return fmt.Sprintf("queue group %q of %q", name.Name, name.Line)
	}
	return fmt.Sprintf("durable %q of client %q of %q", name.Name, name.Client, name.Line)
}

func unknown(name stores.ConsumerName) error {
	return fmt.Errorf("%w: %s", ErrUnknownConsumer, shown(name))
}

// Entry returns the record of an act that is stored now.
func (c *Consumers) Entry(by Actor, action, target, detail string) stores.AuditEntry {
	return stores.AuditEntry{
		ID: c.store.NewAuditID(), Time: time.Now().UnixNano(), Principal: by.Principal, Address: by.Address,
		Action: action, Target: target, Detail: detail,
	}
}

// logAct logs an act that was stored.
func (c *Consumers) logAct(e stores.AuditEntry) {
	c.log.Info("Administration", "action", e.Action, "target", e.Target, "detail", e.Detail, "principal", e.Principal, "address", e.Address)
}

// change changes a group's state and stores that.
func (c *Consumers) change(ctx context.Context, by Actor, g *Group, action string, f func(*state) (detail string, err error)) error {
	g.mu.Lock()
	if g.state.ended {
		g.mu.Unlock()
		return unknown(g.named.name)
	}
	detail, err := f(&g.state)
	if err != nil {
		g.mu.Unlock()
		return err
	}
	e := c.Entry(by, action, shown(g.named.name), detail)
	g.state.changed.audit = append(g.state.changed.audit, e)
	g.touch()
	g.mu.Unlock()
	g.signal()
	if err := c.flushed(ctx, g); err != nil {
		return err
	}
	c.logAct(e)
	return nil
}

// store stores an act that changes no group. stored is called before other changes are written.
func (c *Consumers) storeAct(ctx context.Context, e stores.AuditEntry, changes stores.ConsumerChanges, stored func()) error {
	changes.Audit = append(changes.Audit, e)
	if err := c.positions.storeNow(ctx, changes, stored); err != nil {
		return fmt.Errorf("%s: %w", e.Action, err)
	}
	c.logAct(e)
	return nil
}

// Configure replaces the settings of a consumer, which need not exist yet, by what change makes of them. action is the name of the
// act: pausing is a setting, too.
func (c *Consumers) Configure(ctx context.Context, by Actor, name stores.ConsumerName, action string, change func(*Settings) error) error {
	c.acts.Lock()
	defer c.acts.Unlock()
	c.mu.RLock()
	var s Settings
	if n := c.names[name]; n != nil {
		s = n.settings()
	}
	c.mu.RUnlock()
	if err := change(&s); err != nil {
		return err
	}
	if err := c.fits(name, &s); err != nil {
		return err
	}
	c.mu.Lock()
	n := c.namedOf(name)
	n.mu.Lock()
	row := n.rowWith(s) // with an ID: the name stays, even if its group ends
	n.mu.Unlock()
	c.mu.Unlock()
	e := c.Entry(by, action, shown(name), string(row.Settings))
	return c.storeAct(ctx, e, stores.ConsumerChanges{Named: []stores.NamedConsumer{row}}, func() {
		n.mu.Lock()
		n.stored = s
		n.mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.names[name] == nil { // its channel was deleted meanwhile
			c.names[name] = n
		}
		for l, own := range c.lines {
			if g := own.keyed[keyed(name)]; g != nil && l.Name() == name.Line {
				g.apply(c.effective(name, s))
			}
		}
	})
}

// fits returns why settings are not possible for a consumer.
func (c *Consumers) fits(name stores.ConsumerName, s *Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	r := s.rules()
	if ch := c.eventlog.Channel(name.Line); ch != nil && ch.Events() == nil && (r.filter != nil || r.orderBy != "") {
		return fmt.Errorf("%w: filter and order_by need events, and %q is not an event channel", ErrInvalidSettings, name.Line)
	}
	return nil
}

// apply puts settings into force.
func (g *Group) apply(s Settings) {
	g.mu.Lock()
	g.state.setRules(s.rules(), now())
	g.touch()
	g.mu.Unlock()
	g.signal()
}

// SetPosition makes next the next message of a consumer. What it was sent before is forgotten. Parked messages from there on are no
// longer parked, since they come again.
func (c *Consumers) SetPosition(ctx context.Context, by Actor, name stores.ConsumerName, next uint64) error {
	c.acts.Lock()
	defer c.acts.Unlock()
	g, err := c.subscribed(ctx, name)
	if err != nil {
		return err
	}
	if last := g.line.Info().Last; next == 0 || next > last+1 {
		return fmt.Errorf("%w: %d: choose 1 to %d", ErrInvalidPosition, next, last+1)
	}
	parked, err := c.parkedFrom(ctx, g, next)
	if err != nil {
		return err
	}
	return c.change(ctx, by, g, ActSetPosition, func(s *state) (string, error) {
		before := s.lastSent + 1
		s.unparkFrom(next, parked)
		s.reset(next)
		return fmt.Sprintf("from %d to %d", before, next), nil
	})
}

// parkedFrom returns the parked messages from next on, for state.unparkFrom.
func (c *Consumers) parkedFrom(ctx context.Context, g *Group, next uint64) ([]stores.ParkedMessage, error) {
	g.mu.Lock()
	g.state.watchParked()
	g.mu.Unlock()
	err := c.flushed(ctx, g)
	var parked []stores.ParkedMessage
	if err == nil {
		parked, err = c.parked(ctx, g.named, next-1, math.MaxInt)
	}
	if err != nil {
		g.mu.Lock()
		g.state.watched = nil
		g.mu.Unlock()
	}
	return parked, err
}

// Skip takes a message as acknowledged that the consumer was sent, or that it would be sent next.
func (c *Consumers) Skip(ctx context.Context, by Actor, name stores.ConsumerName, seq uint64, reason string) error {
	c.acts.Lock()
	defer c.acts.Unlock()
	g, err := c.subscribed(ctx, name)
	if err != nil {
		return err
	}
	last := g.line.Info().Last
	return c.change(ctx, by, g, ActSkip, func(s *state) (string, error) {
		switch {
		case s.unacked.holder(seq) != nil:
			s.forget(seq, now())
		case seq == s.lastSent+1 && seq <= last:
			s.lastSent, s.changed.row = seq, true
		default:
			return "", fmt.Errorf("%w %d: it is not with %s, nor the next one", ErrUnknownMessage, seq, shown(name))
		}
		return fmt.Sprintf("message %d: %s", seq, reason), nil
	})
}

// Drop removes a consumer with its position, settings and parked messages. With active members it fails with ErrActiveMembers unless
// force is set, which removes them.
func (c *Consumers) Drop(ctx context.Context, by Actor, name stores.ConsumerName, force bool) error {
	c.acts.Lock()
	defer c.acts.Unlock()
	g, n := c.group(name)
	switch {
	case n == nil:
		return unknown(name)
	case g == nil:
		e := c.Entry(by, ActDrop, shown(name), fmt.Sprintf("%d parked", n.parkedCount()))
		return c.storeAct(ctx, e, stores.ConsumerChanges{DropNamed: []uint64{n.storedID()}}, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.forgetName(n)
		})
	}
	c.mu.Lock()
	g.mu.Lock()
	if active := len(g.state.members) + len(g.state.joining); active > 0 && !force {
		g.mu.Unlock()
		c.mu.Unlock()
		return fmt.Errorf("%w: %s has %d: close them, or drop it by force", ErrActiveMembers, shown(name), active)
	}
	members := g.state.all()
	e := c.Entry(by, ActDrop, shown(name), fmt.Sprintf("at %d, %d unacknowledged, %d parked", g.state.lastSent, g.state.unacked.len(), n.parkedCount()))
	g.state.drop()
	g.state.changed.audit = append(g.state.changed.audit, e)
	g.touch()
	g.mu.Unlock()
	for _, m := range members {
		c.unindex(m)
	}
	c.forgetName(n) // before others can subscribe with the name
	c.detach(g)
	c.mu.Unlock()
	for _, m := range members {
		if m.receiver != nil {
			m.receiver.Left()
		}
	}
	if err := c.flushed(ctx, g); err != nil {
		return err
	}
	c.logAct(e)
	return nil
}

// Parked returns parked messages of a consumer with higher sequences than after, ascending.
func (c *Consumers) Parked(ctx context.Context, name stores.ConsumerName, after uint64, limit int) ([]stores.ParkedMessage, error) {
	g, n := c.group(name)
	if n == nil {
		return nil, unknown(name)
	}
	if err := c.flushed(ctx, g); err != nil {
		return nil, err
	}
	return c.parked(ctx, n, after, limit)
}

func (c *Consumers) parked(ctx context.Context, n *named, after uint64, limit int) ([]stores.ParkedMessage, error) {
	id := n.storedID()
	if id == 0 {
		return nil, nil
	}
	all, err := c.store.Parked(ctx, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("parked messages of %s: %w", shown(n.name), err)
	}
	return all, nil
}

// chosen returns parked messages: those of sequences, all of which must be parked, or the first ones after a sequence.
func (c *Consumers) chosen(ctx context.Context, n *named, sequences []uint64, after uint64) ([]stores.ParkedMessage, error) {
	if len(sequences) == 0 {
		return c.parked(ctx, n, after, maxActed)
	}
	var found []stores.ParkedMessage
	if id := n.storedID(); id != 0 {
		var err error
		if found, err = c.store.ParkedAt(ctx, id, sequences); err != nil {
			return nil, fmt.Errorf("parked messages of %s: %w", shown(n.name), err)
		}
	}
	known := make(map[uint64]bool, len(found))
	for _, p := range found {
		known[p.Seq] = true
	}
	for _, seq := range sequences {
		if !known[seq] {
			return nil, fmt.Errorf("%w %d: %s has not parked it", ErrUnknownMessage, seq, shown(n.name))
		}
	}
	return found, nil
}

// Replay sends parked messages again, in order, with their counts reset: those of sequences, or all if there are none. It returns
// their number.
func (c *Consumers) Replay(ctx context.Context, by Actor, name stores.ConsumerName, sequences []uint64) (int, error) {
	c.acts.Lock()
	defer c.acts.Unlock()
	g, err := c.subscribed(ctx, name)
	if err != nil {
		return 0, err
	}
	return c.each(ctx, g.named, sequences, func(found []stores.ParkedMessage) error {
		return c.change(ctx, by, g, ActReplay, func(s *state) (string, error) {
			s.replay(found, now())
			return listed(found), nil
		})
	})
}

// Discard removes parked messages: those of sequences, or all if there are none. It returns their number.
func (c *Consumers) Discard(ctx context.Context, by Actor, name stores.ConsumerName, sequences []uint64, reason string) (int, error) {
	c.acts.Lock()
	defer c.acts.Unlock()
	g, n := c.group(name)
	if n == nil {
		return 0, unknown(name)
	}
	if err := c.flushed(ctx, g); err != nil {
		return 0, err
	}
	return c.each(ctx, n, sequences, func(found []stores.ParkedMessage) error {
		detail := listed(found) + ": " + reason
		if g != nil {
			return c.change(ctx, by, g, ActDiscard, func(s *state) (string, error) {
				s.unpark(found)
				return detail, nil
			})
		}
		var changes stores.ConsumerChanges
		for _, p := range found {
			changes.Unpark = append(changes.Unpark, stores.ParkedKey{Consumer: p.Consumer, Seq: p.Seq})
		}
		e := c.Entry(by, ActDiscard, shown(name), detail)
		return c.storeAct(ctx, e, changes, func() {
			for _, p := range found {
				n.count(p.Key, -1)
			}
		})
	})
}

// each acts on parked messages, in portions: on those of sequences, or on all, each once. It returns their number.
func (c *Consumers) each(ctx context.Context, n *named, sequences []uint64, act func([]stores.ParkedMessage) error) (total int, err error) {
	for after := uint64(0); ; {
		found, err := c.chosen(ctx, n, sequences, after)
		if err != nil || len(found) == 0 {
			return total, err
		}
		if err := act(found); err != nil {
			return total, err
		}
		if total += len(found); len(found) < maxActed || len(sequences) > 0 {
			return total, nil
		}
		after = found[len(found)-1].Seq // what is parked again meanwhile stays
	}
}

// listed describes parked messages, ascending, for the audit table.
func listed(all []stores.ParkedMessage) string {
	if len(all) == 1 {
		return fmt.Sprintf("message %d", all[0].Seq)
	}
	return fmt.Sprintf("%d messages from %d to %d", len(all), all[0].Seq, all[len(all)-1].Seq)
}

// CancelDelivery cancels the delayed delivery of an event to all consumers of its channel to which it was not yet sent.
func (c *Consumers) CancelDelivery(ctx context.Context, by Actor, ch *stores.Channel, seq uint64, eventID string) error {
	c.acts.Lock()
	defer c.acts.Unlock()
	open := c.eventlog.Channel(ch.Name())
	if open == nil {
		return ErrChannelDeleted
	}
	found, err := open.Lookup(ctx, []uint64{seq})
	if err != nil {
		return err
	}
	m, ok := found[seq]
	if !ok {
		return fmt.Errorf("%w %d: %q does not hold it", ErrUnknownMessage, seq, ch.Name())
	}
	e := c.Entry(by, ActCancel, fmt.Sprintf("message %d of %q", seq, ch.Name()), "event "+eventID)
	return c.storeAct(ctx, e, stores.ConsumerChanges{Cancel: []stores.CancelledDelivery{{Channel: ch, Seq: seq}}}, func() {
		c.cancelled.add(ch.Name(), seq)
		for _, g := range c.groupsOf(ch.Name()) {
			g.cancel(g.line.Place(&m))
		}
	})
}

// groupsOf returns the groups that read a channel.
func (c *Consumers) groupsOf(channel string) (all []*Group) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for l, own := range c.lines {
		if l.Includes(channel) {
			all = slices.AppendSeq(all, maps.Keys(own.groups))
		}
	}
	return all
}

// cancel forgets a message that waits and was not sent yet.
func (g *Group) cancel(seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := &g.state; s.unacked.holder(seq) == &s.waiting && s.deliveries(seq) == 0 {
		s.forget(seq, now())
		g.touch()
		g.signal()
	}
}

// Audit records an act of which nothing else is stored.
func (c *Consumers) Audit(ctx context.Context, by Actor, action, target, detail string) error {
	return c.storeAct(ctx, c.Entry(by, action, target, detail), stores.ConsumerChanges{}, func() {})
}
