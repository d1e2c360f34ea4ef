package stores

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats-streaming-server/spb"
)

// PartSize is the number of sequences whose unacknowledged messages share a row: part n holds the sequences from
// n*PartSize up to, but not including, (n+1)*PartSize.
const PartSize = 1024

// ConsumerChanges is a set of changes to groups of subscriptions. All values are absolute, so saving them again is
// safe.
type ConsumerChanges struct {
	Put       []SubscriptionRow // new subscriptions, or new contents of existing ones
	Delete    []SubscriptionKey
	Positions []Position
	Drop      []uint64 // consumers that ended, with all their pending messages
	// Wildcards are consumers of all channels that match a pattern. It is saved with a consumer's first subscription, and
	// dropped with the consumer.
	Wildcards     []Wildcard
	DropWildcards []uint64
	// Converted are subscriptions whose rows in SubsPending, by NATS Streaming or an earlier release, Positions
	// supersedes.
	Converted []uint64

	// Named and the changes below may belong to the Positions above: none is saved without the others. A message is either in Park
	// or in Unpark.
	Named     []NamedConsumer // new, or with new settings
	DropNamed []uint64        // with their parked messages
	Park      []ParkedMessage
	Unpark    []ParkedKey
	Cancel    []CancelledDelivery
	Audit     []AuditEntry
}

// Empty reports whether there is nothing to save.
func (c *ConsumerChanges) Empty() bool {
	return len(c.Put)+len(c.Delete)+len(c.Positions)+len(c.Drop)+len(c.Converted)+len(c.Wildcards)+len(c.DropWildcards)+
		len(c.Named)+len(c.DropNamed)+len(c.Park)+len(c.Unpark)+len(c.Cancel)+len(c.Audit) == 0
}

// Wildcard says that a consumer's messages are the events of all channels that match a pattern, in the order of their
// positions, which take the place of sequences.
type Wildcard struct {
	Consumer uint64
	Pattern  string
}

// noChannel is the id of consumers and subscriptions that belong to no single channel: they have a row in Wildcards. Programs
// that do not know that table take them for those of a deleted channel, and leave them alone.
const noChannel = 0

// SubscriptionRow is a subscription to save. State.ID comes from NewSubscriptionID. Channel is nil if its consumer is one of
// Wildcards, here and below.
type SubscriptionRow struct {
	Channel *Channel
	State   *spb.SubState
}

// SubscriptionKey names a subscription.
type SubscriptionKey struct {
	Channel *Channel
	ID      uint64
}

// Position holds the changes to the position of a consumer.
type Position struct {
	Channel  *Channel
	Consumer uint64 // ID of the first subscription of the group
	Row      *PositionRow
	Parts    map[uint64][]Run // by number, each complete; a part without runs is deleted
	// Redelivered is how often the unacknowledged messages of parts were sent again, each complete as those of Parts.
	Redelivered map[uint64][]RedeliveredRun
}

// PositionRow is the row of a consumer.
type PositionRow struct {
	LastSent uint64   // highest sequence sent
	Members  []uint64 // IDs of its subscriptions
}

// Run is a series of consecutive messages, within one part, that one subscription was sent and has not acknowledged.
type Run struct {
	Subscription uint64
	First, Last  uint64
}

// positionRow and partRow are Position as the tables hold it.
type positionRow struct {
	consumer uint64
	channel  int64
	lastSent uint64
	members  string
}

type partRow struct {
	consumer, part uint64
	text           string // pending or counts; "" deletes the row
}

// NewSubscriptionID returns an ID for a new subscription, unique over all channels.
func (s *Store) NewSubscriptionID() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subID++
	return s.subID
}

// SaveConsumers saves changes in one transaction. It skips changes to a channel that was deleted. It retries until ctx
// ends. After an error the changes may or may not be stored: save them again, or save later ones.
func (s *Store) SaveConsumers(ctx context.Context, changes ConsumerChanges) error {
	type put struct {
		channel  int64
		contents []byte
		state    *spb.SubState
	}
	var puts []put
	for _, p := range changes.Put {
		channel, known := s.home(p.Channel)
		if !known {
			continue
		}
		contents, err := p.State.Marshal()
		if err != nil {
			return fmt.Errorf("encode subscription %d of channel %d: %w", p.State.ID, channel, err)
		}
		puts = append(puts, put{channel, contents, p.State})
	}
	var rows []positionRow
	var parts, counts []partRow
	for _, p := range changes.Positions {
		channel, known := s.home(p.Channel)
		if !known {
			continue
		}
		if p.Row != nil {
			members, err := json.Marshal(append([]uint64{}, p.Row.Members...))
			if err != nil {
				return fmt.Errorf("encode members of consumer %d: %w", p.Consumer, err)
			}
			rows = append(rows, positionRow{p.Consumer, channel, p.Row.LastSent, string(members)})
		}
		for part, runs := range p.Parts {
			parts = append(parts, partRow{p.Consumer, part, encodeRuns(runs)})
		}
		for part, runs := range p.Redelivered {
			counts = append(counts, partRow{p.Consumer, part, encodeRedelivered(runs)})
		}
	}
	park, unpark := parkedToSave(changes.Park), unparkedToSave(changes.Unpark)
	err := s.write(ctx, func(t *transaction) error {
		for _, w := range changes.Wildcards {
			if _, err := t.exec(ctx, s.text.putWildcard, w.Consumer, w.Pattern); err != nil {
				return err
			}
		}
		for _, p := range puts {
			if err := s.putSubscription(ctx, t, p.channel, p.contents, p.state); err != nil {
				return err
			}
		}
		if err := s.dialect.savePositions(ctx, t, rows, parts, counts); err != nil {
			return err
		}
		for _, consumer := range changes.Drop {
			for _, text := range []string{s.text.deleteConsumerPending, s.text.deleteConsumerRedelivered, s.text.deleteConsumer} {
				if _, err := t.exec(ctx, text, consumer); err != nil {
					return err
				}
			}
		}
		for _, consumer := range changes.DropWildcards {
			if _, err := t.exec(ctx, s.text.deleteWildcard, consumer); err != nil {
				return err
			}
		}
		for _, id := range changes.Converted {
			if _, err := t.exec(ctx, s.text.deletePending, id); err != nil {
				return err
			}
		}
		for _, key := range changes.Delete {
			if _, err := t.exec(ctx, s.text.deletePending, key.ID); err != nil {
				return err
			}
			channel := int64(noChannel)
			if key.Channel != nil {
				channel = key.Channel.id
			}
			if _, err := t.exec(ctx, s.text.deleteSubscription, channel, key.ID); err != nil {
				return err
			}
		}
		return s.saveNamed(ctx, t, &changes, park, unpark)
	})
	if err != nil {
		return fmt.Errorf("save subscriptions: %w", err)
	}
	return nil
}

// home returns the id under which the state of a channel's subscriptions is stored, and false if the channel was deleted.
func (s *Store) home(c *Channel) (id int64, known bool) {
	if c == nil {
		return noChannel, true
	}
	return c.id, s.isKnown(c)
}

// Parts returns the runs of a group's unacknowledged messages by part. seqs must be ascending. holder returns the ID of
// the subscription that holds a message.
func Parts(seqs []uint64, holder func(seq uint64) uint64) map[uint64][]Run {
	parts := map[uint64][]Run{}
	for _, seq := range seqs {
		part, id := seq/PartSize, holder(seq)
		runs := parts[part]
		if n := len(runs); n > 0 && runs[n-1].Subscription == id && runs[n-1].Last+1 == seq {
			runs[n-1].Last = seq
		} else {
			parts[part] = append(runs, Run{id, seq, seq})
		}
	}
	return parts
}

// encodeRuns returns [[subid,first,last],...], or "" for no runs.
func encodeRuns(runs []Run) string {
	if len(runs) == 0 {
		return ""
	}
	text := make([]byte, 0, 24*len(runs))
	for i, r := range runs {
		text = append(text, "[,"[min(i, 1)], '[')
		text = append(strconv.AppendUint(text, r.Subscription, 10), ',')
		text = append(strconv.AppendUint(text, r.First, 10), ',')
		text = append(strconv.AppendUint(text, r.Last, 10), ']')
	}
	return string(append(text, ']'))
}

// DecodeRuns parses the runs of a part. It returns an error if they are out of order or belong to another part.
func DecodeRuns(part uint64, text []byte) ([]Run, error) {
	var all [][]uint64
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	runs := make([]Run, 0, len(all))
	for i, r := range all {
		if len(r) != 3 || r[1] > r[2] || r[1]/PartSize != part || r[2]/PartSize != part || r[1] == 0 || i > 0 && r[1] <= all[i-1][2] {
			return nil, fmt.Errorf("%v at position %d is not a run of the part, or is out of order", r, i+1)
		}
		runs = append(runs, Run{r[0], r[1], r[2]})
	}
	return runs, nil
}

// splitParts separates the rows to write from those to delete, each in the order of the table.
func splitParts(parts []partRow) (put, gone []partRow) {
	slices.SortFunc(parts, func(a, b partRow) int {
		return cmp.Or(cmp.Compare(a.consumer, b.consumer), cmp.Compare(a.part, b.part))
	})
	for _, p := range parts {
		if p.text == "" {
			gone = append(gone, p)
		} else {
			put = append(put, p)
		}
	}
	return put, gone
}
