package stores

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats-streaming-server/spb"
)

// Consumer is a group of subscriptions that share one position: a queue group, or a single subscription.
type Consumer struct {
	ID       uint64          // that of its first subscription, which may have left since
	LastSent uint64          // highest sequence sent
	Members  []*spb.SubState // by ascending ID
	// Unacked lists, by subscription ID, the sequences sent and not acknowledged, ascending. A subscription that holds
	// messages need not be among the members.
	Unacked map[uint64][]uint64
	// Redelivered is how often those messages were sent again, ascending.
	Redelivered []RedeliveredRun
	// Stored reports whether the group has rows of its own. A group of NATS Streaming or an earlier release must be
	// saved as a whole, with its members as Converted.
	Stored bool
	// Damaged, if not nil, says that the group's progress is unknown. It would lose messages if it continued.
	Damaged *DamagedError
}

// consumerRows is a consumer as its rows describe it.
type consumerRows struct {
	channel  number
	pattern  string // of a consumer without a channel
	lastSent uint64
	members  []uint64
	unacked  map[uint64][]uint64
	damaged  *DamagedError

	redelivered []RedeliveredRun
}

// state returns the consumer without its members.
func (c *consumerRows) state(id uint64) *Consumer {
	return &Consumer{ID: id, LastSent: c.lastSent, Unacked: c.unacked, Redelivered: heldRuns(c.redelivered, c.unacked), Stored: true, Damaged: c.damaged}
}

func (r *recovery) consumer(rows *sql.Rows) error {
	var id, channel, lastSent number
	var members []byte
	if err := rows.Scan(&id, &channel, &lastSent, &members); err != nil {
		return err
	}
	c := &consumerRows{channel: channel, lastSent: lastSent.n, unacked: map[uint64][]uint64{}}
	reason := cmp.Or(id.problem("consumer"), channel.problem("id"), lastSent.problem("lastsent"))
	if err := json.Unmarshal(members, &c.members); err != nil {
		reason = cmp.Or(reason, "members is not a list of subscriptions")
		c.members = nil
	}
	if reason != "" {
		c.damaged = r.damaged("Consumers", fmt.Sprintf("consumer %v", valueOf(id)), reason)
	}
	r.consumers[id.n] = c
	return nil
}

func (r *recovery) wildcard(rows *sql.Rows) error {
	var id number
	var pattern string
	if err := rows.Scan(&id, &pattern); err != nil {
		return err
	}
	if c := r.consumers[id.n]; c != nil && !id.wrong && c.channel.n == noChannel {
		c.pattern = pattern
	}
	return nil
}

func (r *recovery) consumerPending(rows *sql.Rows) error {
	var id, part number
	var pending []byte
	if err := rows.Scan(&id, &part, &pending); err != nil {
		return err
	}
	c := r.consumers[id.n]
	if c == nil || id.wrong {
		return nil
	}
	reason := part.problem("part")
	runs, err := DecodeRuns(part.n, pending)
	if err != nil {
		reason = cmp.Or(reason, "pending is not a list of sequences")
	}
	if reason != "" {
		c.damaged = r.damaged("ConsumersPending", fmt.Sprintf("consumer %d, part %v", id.n, valueOf(part)), reason)
		return nil
	}
	for _, run := range runs {
		for seq := run.First; seq <= run.Last; seq++ {
			c.unacked[run.Subscription] = append(c.unacked[run.Subscription], seq)
		}
	}
	return nil
}

func valueOf(n number) any {
	if n.wrong {
		return n.value
	}
	return n.n
}

// finishConsumers groups the subscriptions: those that have rows of their own, and those of NATS Streaming and earlier
// releases.
func (r *recovery) finishConsumers() {
	listed := map[uint64]bool{}
	lost := map[int64]*DamagedError{} // channels with a group whose members are unknown; -1 is any channel
	for _, id := range slices.Sorted(maps.Keys(r.consumers)) {
		row := r.consumers[id]
		if row.pattern != "" {
			r.finishWildcard(id, row)
			continue
		}
		at := -1
		c := row.state(id)
		for _, member := range row.members {
			if sub, ok := r.bySub[member]; ok && (at < 0 || at == sub[0]) && !listed[member] {
				at = sub[0]
				c.Members = append(c.Members, r.state.Channels[sub[0]].Subscriptions[sub[1]].State)
			}
			listed[member] = true
		}
		if row.damaged != nil && len(row.members) == 0 {
			lost[r.channelOf(row)] = row.damaged
		}
		if at < 0 {
			continue // its channel was deleted or is out of service, or someone deleted its subscriptions
		}
		slices.SortFunc(c.Members, func(a, b *spb.SubState) int { return cmp.Compare(a.ID, b.ID) })
		ch := &r.state.Channels[at]
		ch.Consumers = append(ch.Consumers, c)
		r.report(ch, c)
	}
	for i := range r.state.Channels {
		ch := &r.state.Channels[i]
		r.convert(ch, listed, cmp.Or(lost[ch.Channel.id], lost[-1]))
		slices.SortFunc(ch.Consumers, func(a, b *Consumer) int { return cmp.Compare(a.ID, b.ID) })
	}
}

// finishWildcard gives a consumer of a pattern its subscriptions.
func (r *recovery) finishWildcard(id uint64, row *consumerRows) {
	c := row.state(id)
	for _, member := range row.members {
		if sub := r.homeless[member]; sub != nil {
			sub.State.LastSent = c.LastSent
			c.Members = append(c.Members, sub.State)
			c.Damaged = cmp.Or(c.Damaged, sub.Damaged)
			delete(r.homeless, member)
		}
	}
	if len(c.Members) == 0 {
		return // someone deleted its subscriptions
	}
	slices.SortFunc(c.Members, func(a, b *spb.SubState) int { return cmp.Compare(a.ID, b.ID) })
	c.raise()
	r.state.Wildcards = append(r.state.Wildcards, WildcardState{Pattern: row.pattern, Consumer: c})
}

// raise raises the last sequence sent to that of the messages that were sent and not acknowledged.
func (c *Consumer) raise() {
	for _, seqs := range c.Unacked {
		if n := len(seqs); n > 0 {
			c.LastSent = max(c.LastSent, seqs[n-1])
		}
	}
}

func (r *recovery) channelOf(row *consumerRows) int64 {
	if row.channel.wrong {
		return -1
	}
	return int64(row.channel.n)
}

// report copies the state of a stored group to its subscriptions.
func (r *recovery) report(ch *ChannelState, c *Consumer) {
	for _, state := range c.Members {
		sub := &ch.Subscriptions[r.bySub[state.ID][1]]
		state.LastSent = c.LastSent
		sub.Unacked, sub.Damaged = c.Unacked[state.ID], cmp.Or(sub.Damaged, c.Damaged)
		c.Damaged = sub.Damaged
	}
	c.raise()
	ch.Channel.raise(c.LastSent)
}

// groupName is what the subscriptions of one group have in common. The zero value belongs to a subscription without a
// group.
type groupName struct{ queue, client, durable string }

func groupOf(state *spb.SubState) groupName {
	switch {
	case state.QGroup != "":
		return groupName{queue: state.QGroup}
	case state.DurableName != "":
		return groupName{client: state.ClientID, durable: state.DurableName}
	}
	return groupName{}
}

// convert groups the subscriptions of a channel that no row of Consumers lists. The group's last sequence sent is the
// highest one written together with unacknowledged messages: lastsent in Subscriptions (by NATS Streaming), and
// SubsPending.
//
// Each subscription also stores the group's last sequence from when it joined, resumed or was suspended. The messages
// up to there may not have been written as unacknowledged before the server ended. That sequence counts only if nothing
// else was written, and then the lowest of the group counts. Later messages are sent again.
func (r *recovery) convert(ch *ChannelState, listed map[uint64]bool, lost *DamagedError) {
	groups := map[groupName]*Consumer{}
	for _, c := range ch.Consumers {
		for _, state := range c.Members {
			if name := groupOf(state); name != (groupName{}) {
				groups[name] = c
			}
		}
	}
	began := map[*Consumer]uint64{} // of the consumers made here
	held := map[*Consumer]map[uint64]struct{}{}
	for i := range ch.Subscriptions {
		sub := &ch.Subscriptions[i]
		id := sub.State.ID
		if listed[id] {
			continue
		}
		sub.Damaged = cmp.Or(sub.Damaged, lost)
		name := groupOf(sub.State)
		c := groups[name]
		if c == nil {
			c = &Consumer{ID: id, Unacked: map[uint64][]uint64{}}
			began[c] = r.began[id]
			ch.Consumers = append(ch.Consumers, c)
			if name != (groupName{}) {
				groups[name] = c
			}
		}
		if first, made := began[c]; made {
			began[c] = min(first, r.began[id])
			c.LastSent = max(c.LastSent, r.sent[id])
		}
		c.Stored = false
		c.Members = append(c.Members, sub.State)
		c.Damaged = cmp.Or(c.Damaged, sub.Damaged)
		if held[c] == nil {
			held[c] = map[uint64]struct{}{}
			for _, seqs := range c.Unacked {
				note(held[c], seqs)
			}
		}
		// If two subscriptions hold a message, NATS Streaming was about to move it from one to the other.
		if added := note(held[c], sub.Unacked); len(added) > 0 {
			c.Unacked[id] = added
		}
	}
	for c, first := range began {
		if c.LastSent == 0 {
			c.LastSent = first
		}
	}
}

// note adds sequences to a set and returns the new ones.
func note(set map[uint64]struct{}, seqs []uint64) []uint64 {
	var added []uint64
	for _, seq := range seqs {
		if _, ok := set[seq]; !ok {
			set[seq] = struct{}{}
			added = append(added, seq)
		}
	}
	return added
}
