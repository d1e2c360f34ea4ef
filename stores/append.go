package stores

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Append is a message to store.
type Append struct {
	Channel *Channel
	Reply   string
	Payload []byte       // as published
	Event   *proto.Event // decoded from Payload; nil unless the channel holds events. Append changes neither
	// Mapping is how Event was read from Payload; nil if Payload is an eventstore.v1.Event.
	Mapping *proto.Mapping
	// Same, if set, is asked instead of Mapping whether a stored payload is the same event. Encrypted payloads of one event differ.
	Same func(stored []byte) bool
	// Versions says which event_version is accepted. It must be the same for all events of a channel.
	Versions Versions
	// Copies are stored if and only if this message is. A duplicate stores none.
	Copies []Copy
	// By is who appends it; nil if that is not to be recorded.
	By *Appender
	// Group joins this message with its neighbours of the same Group: all are stored, or none. nil means it stands
	// alone.
	Group *Group
}

func (a *Append) eventKey() eventKey { return eventKey{a.Channel.id, a.Event.ID} }

// same reports whether a stored payload is the event of a.
func (a *Append) same(stored []byte) bool {
	if a.Same != nil {
		return a.Same(stored)
	}
	return a.Mapping.SameEvent(stored, a.Payload)
}

func (a *Append) aggregate() aggregate {
	return aggregate{a.Channel.id, a.Event.AggregateType, a.Event.AggregateID}
}

// Result is the outcome of one message.
type Result struct {
	Sequence  uint64    // assigned, or that of the stored event (Duplicate)
	Position  uint64    // of the event, likewise; 0 without an event
	Message   Message   // as stored; zero for a duplicate or an error
	Copies    []Message // as stored, in the order of Append.Copies
	Version   uint64    // event_version as the stored event carries it; 0 without an event
	Duplicate bool      // the channel already holds this event_id with the same content: a success
	Err       error     // why the message was not stored; it used no sequence
}

// Append stores a batch of messages of any channels, in order, in one transaction, and returns a result for each.
//
// A message that cannot be stored has an error in its result, and the others are stored: *VersionError,
// ErrDuplicateEvent, ErrRefused, ErrUnknownChannel, or the *DamagedError of its channel. In a Group it may also be
// *ExpectationError or ErrPartlyStored. If the database refuses a value, in a row or a look-up, Append halves the batch
// until that message, or its group, stands alone; the batch then takes several transactions.
//
// The returned error is the batch's: ErrFenced, ErrUnavailable or ErrClosed. Results without an error are then stored
// nevertheless, by an earlier part of a halved batch; all others carry the batch's error. Append retries until ctx
// ends: after conflicts, after failed connections, and after a connection lost at COMMIT, once it has read the outcome.
// If ctx ends before that, the error is both ErrUnavailable and ErrOutcomeUnknown. The next Append finds out first, and
// Channel.Info may then advance without a result.
//
// Only one goroutine may call Append.
func (s *Store) Append(ctx context.Context, messages []Append) ([]Result, error) {
	b := s.newBatch(messages)
	items := make([]int, len(messages))
	for i := range items {
		items[i] = i
	}
	_, err := s.held()
	if err == nil {
		err = s.resolveUnknown(ctx)
	}
	if err == nil {
		err = b.fillAppenders(ctx)
	}
	if err == nil {
		err = b.run(ctx, items)
	}
	if err != nil {
		err = fmt.Errorf("append %d messages: %w", len(messages), err)
		for i := range b.results {
			if !b.done[i] {
				b.results[i] = Result{Err: err}
			}
		}
	}
	return b.results, err
}

// maxRefreshes bounds how often the store asks the database what a single message collides with. Someone who writes
// past the server can change the answer in between.
const maxRefreshes = 5

// run stores items, in one transaction if the database refuses none of them.
func (b *batch) run(ctx context.Context, items []int) error {
	refreshed := 0
	for len(items) > 0 {
		p, err := b.plan(ctx, items)
		stored := items // if their look-ups were refused, there is no plan
		if err == nil {
			stored = p.items()
			switch {
			case len(p.rows) > 0:
				err = b.commit(ctx, p)
			case p.refuses():
				// Memory decided this refusal, which counts only while this server holds the lease.
				err = b.s.RenewLease(ctx)
			}
		}
		if err == nil {
			b.record(p)
			return nil
		}
		var failed *txError
		if !errors.As(err, &failed) || (failed.kind != failedUnique && failed.kind != failedRefused) {
			return err
		}
		alone := len(stored) == 1 || b.sameGroup(stored[0], stored[len(stored)-1])
		if failed.kind == failedUnique && (refreshed == 0 || alone && refreshed < maxRefreshes) {
			// Most likely the event is already stored. Ask, and plan again with the answer.
			refreshed++
			err := b.refresh(ctx, p, items)
			if err == nil {
				continue
			}
			if !errors.As(err, &failed) {
				return err
			}
		}
		if alone {
			for _, culprit := range stored {
				b.finish(culprit, Result{Err: fmt.Errorf("%w: %w", ErrRefused, oneLine(failed.err))})
			}
			// Plan the rest again without it: a repeat of the same event may follow.
			items = slices.DeleteFunc(slices.Clone(items), func(item int) bool { return slices.Contains(stored, item) })
			continue
		}
		middle := b.splitPoint(items, slices.Index(items, stored[len(stored)/2]))
		if err := b.run(ctx, items[:middle]); err != nil {
			return err
		}
		items, refreshed = items[middle:], 0
	}
	return nil
}

// refuses reports whether the plan refuses any message.
func (p *plan) refuses() bool {
	return slices.ContainsFunc(p.decided, func(s decided) bool { return s.result.Err != nil })
}

// refresh discards what memory knows about items and asks the database.
func (b *batch) refresh(ctx context.Context, p *plan, items []int) error {
	b.dropHeads(items)
	clear(b.versions)
	clear(b.matches)
	var ids []eventKey
	for _, r := range p.rows {
		if r.event != nil && r.event.ID != "" {
			ids = append(ids, eventKey{r.channel.id, r.event.ID})
		}
	}
	if len(ids) > 0 {
		if err := b.readEvents(ctx, ids); err != nil {
			return err
		}
	}
	return b.s.retryRead(ctx, func() error {
		if err := b.s.reload(ctx, b.s.own, p.channels()); err != nil {
			return err
		}
		return b.s.reloadOrder(ctx, b.s.own)
	})
}

func (p *plan) channels() []*Channel {
	channels := make([]*Channel, len(p.advances))
	for i, adv := range p.advances {
		channels[i] = adv.channel
	}
	return channels
}

// commit stores the rows of a plan. When it returns nil they are committed and memory has advanced. A *txError means
// that the database refused a row.
func (b *batch) commit(ctx context.Context, p *plan) error {
	var wait backoff
	unknown := false // an attempt may have been committed
	for {
		err := b.commitOnce(ctx, p, unknown)
		if err == nil {
			b.advance(p)
			b.s.told = ""
			return nil
		}
		var failed *txError
		if !errors.As(err, &failed) {
			if unknown {
				err = b.markUnresolved(p, err)
			}
			return err
		}
		if failed.kind == failedUnique || failed.kind == failedRefused {
			if unknown { // the epoch of the lost attempt has not ended: it may still arrive
				b.s.unresolved = append(b.s.unresolved, p.channels()...)
				if err := b.s.resolveUnknown(ctx); err != nil {
					return b.markUnresolved(p, err)
				}
			}
			return failed
		}
		unknown = unknown || failed.unknown
		if text := failed.err.Error(); text != b.s.told {
			b.s.log.Warn("transaction failed, trying again", "messages", len(p.rows), "error", failed.err, "unknown", failed.unknown)
			b.s.told = text
		}
		if !wait.sleep(ctx) {
			err := unavailable(ctx, failed.err)
			if unknown {
				err = b.markUnresolved(p, err)
			}
			return err
		}
	}
}

// commitOnce makes one attempt. If unknown is set it first checks whether an earlier attempt was committed.
func (b *batch) commitOnce(ctx context.Context, p *plan, unknown bool) error {
	lease, err := b.s.held()
	if err != nil {
		return err
	}
	newEpoch := unknown
	if w, ok := b.s.dialect.(batchWriter); ok && !unknown {
		err := b.s.batches.run(ctx, b.s, func(ctx context.Context) error {
			return w.writeBatch(ctx, b.s.batches, lease, p)
		})
		if !errors.Is(err, errNeedsTransaction) {
			return err
		}
		newEpoch = errors.Is(err, errMaybeFenced)
	}
	var epoch uint64
	err = b.s.writeOnce(ctx, func(t *transaction) (err error) {
		if newEpoch {
			if epoch, err = b.s.endEpoch(ctx, t); err != nil {
				return err
			}
		}
		if unknown {
			// The fence waited for the lost transaction, and its epoch has ended, so it is either stored or never will
			// be. If it is stored, only this transaction's own commit remains; on a multi-master database it proves
			// that the lost one came first.
			isStored, err := b.isStored(ctx, t, p)
			if err != nil || isStored {
				return err
			}
		}
		if p.before.position != p.end.position {
			if _, err := b.s.advanceOrder(ctx, t, p.before, p.end); err != nil {
				return err
			}
		}
		if err := b.s.dialect.insertMessages(ctx, t, p.rows); err != nil {
			return err
		}
		if tags := tagsOf(p.rows); len(tags) > 0 {
			if err := b.s.dialect.insertTags(ctx, t, tags); err != nil {
				return err
			}
		}
		return b.s.advanceChannels(ctx, t, p.advances)
	})
	if err == nil && newEpoch {
		b.s.beginEpoch(lease, epoch)
	}
	return err
}
