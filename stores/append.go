package stores

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Append is a message to be stored.
type Append struct {
	Channel *Channel
	Reply   string
	Payload []byte       // the publisher's data
	Event   *proto.Event // what Payload holds; nil on a channel that is no event channel. Not changed, nor is Payload
	// Mapping is how Event was read from Payload; nil if Payload is an eventstore.v1.Event.
	Mapping *proto.Mapping
	// Versions says which event_version is accepted. It is the same for all events of a channel.
	Versions Versions
	// Copies are messages that are stored if and only if this one is. One that is a duplicate has none.
	Copies []Copy
	// Group joins this message with its neighbours of the same Group: all are stored, or none. nil: it stands alone.
	Group *Group
}

func (a *Append) eventKey() eventKey { return eventKey{a.Channel.id, a.Event.ID} }

func (a *Append) aggregate() aggregate {
	return aggregate{a.Channel.id, a.Event.AggregateType, a.Event.AggregateID}
}

// Result is what became of a message.
type Result struct {
	Sequence  uint64    // given, or of the event that is stored already (Duplicate)
	Message   Message   // as stored; zero if it is a duplicate or an error
	Copies    []Message // as stored, in the order of Append.Copies
	Version   uint64    // event_version as the stored event carries it; 0 of no event
	Duplicate bool      // the same event_id with the same content is stored already: a success
	Err       error     // why it was not stored; it took no sequence
}

// Append stores a batch of messages of any channels, in order, in one transaction, and returns a result for each.
//
// A message that can not be stored has an error in its result, and the others are stored: *VersionError,
// ErrDuplicateEvent, ErrRefused, ErrUnknownChannel, *DamagedError of its channel; of a Group also *ExpectationError and ErrPartlyStored. If the database
// refuses a row, the batch is halved until that row, or its group, stands alone, so that it can take several transactions.
//
// The error is the batch's: ErrFenced, ErrUnavailable, ErrClosed. Results without an error then are stored
// nevertheless, by an earlier part of a batch that was halved; all others have the error of the batch, too. Append
// tries again until ctx ends: after conflicts, when the connection is lost or can not be made, and also when it is lost
// at COMMIT, after rereading what became of it. If ctx ends before that is possible, the error is ErrUnavailable and
// ErrOutcomeUnknown; the next Append finds out first, and then Channel.Info may advance without a result.
//
// Append is called by one goroutine at a time.
func (s *Store) Append(ctx context.Context, messages []Append) ([]Result, error) {
	b := s.newBatch(messages)
	items := make([]int, len(messages))
	for i := range items {
		items[i] = i
	}
	_, err := s.held()
	if err == nil {
		err = s.settleDoubt(ctx)
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

func (s *Store) newBatch(messages []Append) *batch {
	return &batch{
		s:         s,
		appends:   messages,
		results:   make([]Result, len(messages)),
		done:      make([]bool, len(messages)),
		documents: make([][]byte, len(messages)),
		heads:     map[aggregate]uint64{},
		fresh:     map[aggregate]bool{},
		versions:  map[versionKey]bool{},
		known:     map[eventKey]*stored{},
	}
}

// maxRefreshes is how often the database is asked what a single message collides with, which somebody who writes beside
// the server can change in between.
const maxRefreshes = 5

// run stores items, in one transaction if the database refuses none of them.
func (b *batch) run(ctx context.Context, items []int) error {
	refreshed := 0
	for len(items) > 0 {
		p, err := b.plan(ctx, items)
		if err != nil {
			return err
		}
		switch {
		case len(p.rows) > 0:
			err = b.commit(ctx, p)
		case p.refuses():
			// By what memory says, which is worth nothing if another server has the lease.
			err = b.s.RenewLease(ctx)
		}
		if err == nil {
			b.settle(p)
			return nil
		}
		var failed *txError
		if !errors.As(err, &failed) || (failed.kind != failedUnique && failed.kind != failedRefused) {
			return err
		}
		stored := p.items()
		alone := len(stored) == 1 || b.joined(stored[0], stored[len(stored)-1])
		switch {
		case failed.kind == failedUnique && (refreshed == 0 || alone && refreshed < maxRefreshes):
			// An event that is stored already, most likely. Ask, and plan again with the answer.
			refreshed++
			if err := b.refresh(ctx, p, items); err != nil {
				return err
			}
		case alone:
			for _, culprit := range stored {
				b.finish(culprit, Result{Err: fmt.Errorf("%w: %w", ErrRefused, oneLine(failed.err))})
			}
			// What followed on it, such as the same event once more, is planned without it.
			items = slices.DeleteFunc(slices.Clone(items), func(item int) bool { return slices.Contains(stored, item) })
		default:
			middle := b.boundary(items, slices.Index(items, stored[len(stored)/2]))
			if err := b.run(ctx, items[:middle]); err != nil {
				return err
			}
			items, refreshed = items[middle:], 0
		}
	}
	return nil
}

// refuses says whether a message has an error.
func (p *plan) refuses() bool {
	return slices.ContainsFunc(p.settled, func(s settled) bool { return s.result.Err != nil })
}

// refresh forgets what memory says about items, and asks the database.
func (b *batch) refresh(ctx context.Context, p *plan, items []int) error {
	b.dropHeads(items)
	clear(b.versions)
	var ids []eventKey
	for _, r := range p.rows {
		if r.event != nil && r.event.ID != "" {
			ids = append(ids, eventKey{r.channel.id, r.event.ID})
		}
	}
	if len(ids) > 0 {
		if err := b.lookUp(ctx, ids); err != nil {
			return err
		}
	}
	return b.s.persist(ctx, func() error { return b.s.reload(ctx, b.s.own, p.channels()) })
}

func (b *batch) dropHeads(items []int) {
	drop := func(key aggregate) {
		delete(b.heads, key)
		b.s.heads.drop(key)
	}
	for _, item := range items {
		if a := &b.appends[item]; a.Event != nil && a.Channel != nil {
			drop(a.aggregate())
		}
	}
	b.expected(items, drop)
}

func (p *plan) channels() []*Channel {
	channels := make([]*Channel, len(p.advances))
	for i, adv := range p.advances {
		channels[i] = adv.channel
	}
	return channels
}

// commit stores the rows of a plan. When it returns nil they are committed, and memory has advanced. A *txError says
// that the database refuses a row.
func (b *batch) commit(ctx context.Context, p *plan) error {
	var wait backoff
	unknown := false // whether an attempt may have been committed
	for {
		err := b.once(ctx, p, unknown)
		if err == nil {
			b.advance(p)
			return nil
		}
		var failed *txError
		if !errors.As(err, &failed) {
			if unknown {
				err = b.leaveInDoubt(p, err)
			}
			return err
		}
		if failed.kind == failedUnique || failed.kind == failedRefused {
			if unknown { // and the epoch of the attempt that may be on its way was not ended
				b.s.doubt = append(b.s.doubt, p.channels()...)
				if err := b.s.settleDoubt(ctx); err != nil {
					return b.leaveInDoubt(p, err)
				}
			}
			return failed
		}
		unknown = unknown || failed.unknown
		b.s.log.Warn("transaction failed, trying again", "messages", len(p.rows), "error", failed.err, "unknown", failed.unknown)
		if !wait.sleep(ctx) {
			err := unavailable(ctx, failed.err)
			if unknown {
				err = b.leaveInDoubt(p, err)
			}
			return err
		}
	}
}

// leaveInDoubt has the next batch find out what became of a plan, and returns err with that to it.
func (b *batch) leaveInDoubt(p *plan, err error) error {
	b.s.doubt = append(b.s.doubt, p.channels()...)
	for _, r := range p.rows {
		b.dropHeads([]int{r.item})
	}
	return fmt.Errorf("%w: %w", err, ErrOutcomeUnknown)
}

// once makes one attempt. After one with an unknown outcome it looks first.
func (b *batch) once(ctx context.Context, p *plan, unknown bool) error {
	lease, err := b.s.held()
	if err != nil {
		return err
	}
	newEpoch := unknown
	if w, ok := b.s.dialect.(batchWriter); ok && !unknown {
		err := b.s.batches.run(ctx, b.s, func(ctx context.Context) error {
			return w.writeBatch(ctx, b.s.batches, lease, p.rows, p.advances)
		})
		if errors.Is(err, ErrFenced) {
			b.s.dropLease(lease.id)
		}
		if !errors.Is(err, errLongWay) {
			return err
		}
		newEpoch = errors.Is(err, errUnclear)
	}
	var epoch uint64
	err = b.s.once(ctx, func(t *transaction) (err error) {
		if newEpoch {
			if epoch, err = b.s.endEpoch(ctx, t); err != nil {
				return err
			}
		}
		if unknown {
			// The fence has waited for the lost transaction, and its epoch has ended: now it is there or never will be. If
			// it is, this one has nothing to do but to be committed itself, which proves on a multi-master database that
			// the lost one came first.
			there, err := b.isStored(ctx, t, p)
			if err != nil || there {
				return err
			}
		}
		if err := b.s.dialect.insertMessages(ctx, t, p.rows); err != nil {
			return err
		}
		return b.s.advanceChannels(ctx, t, p.advances)
	})
	if err == nil && newEpoch {
		b.s.beginEpoch(lease, epoch)
	}
	return err
}

// isStored compares the rows at the plan's sequences with the plan, byte by byte.
func (b *batch) isStored(ctx context.Context, q querier, p *plan) (bool, error) {
	want := make(map[*Channel][]*row, len(p.advances))
	for _, r := range p.rows {
		want[r.channel] = append(want[r.channel], r)
	}
	same, other := 0, 0
	for _, adv := range p.advances {
		rows := want[adv.channel]
		err := q.query(ctx, b.s.text.read, func(found *sql.Rows) error {
			var m Message
			if err := found.Scan(&m.Sequence, &m.Timestamp, &m.Data); err != nil {
				return err
			}
			if at := m.Sequence - adv.from; at < uint64(len(rows)) && bytes.Equal(rows[at].data, m.Data) {
				same++
			} else {
				other++
			}
			return nil
		}, adv.channel.id, adv.from, adv.last, len(rows)+1)
		if err != nil {
			return false, err
		}
	}
	switch {
	case same == len(p.rows) && other == 0:
		return true, nil
	case same == 0 && other == 0:
		return false, nil
	}
	// Not ours, and written beside the lease: plan again above it.
	return false, &txError{kind: failedUnique, err: fmt.Errorf("%d of %d sequences are taken", same+other, len(p.rows))}
}

// advance takes committed rows into memory.
func (b *batch) advance(p *plan) {
	for _, adv := range p.advances {
		adv.committed()
	}
	for key, version := range p.heads {
		b.heads[key] = version
		b.s.heads.put(key, version)
	}
	for at := range p.versions {
		b.versions[at] = true
	}
	for id, r := range p.ids {
		b.known[id] = &stored{r.sequence, r.payload}
	}
}

// settle writes the results of a plan that is committed.
func (b *batch) settle(p *plan) {
	for _, r := range p.rows {
		m := Message{r.sequence, r.timestamp, r.data}
		if r.copied { // its item is finished: copies follow on it
			b.results[r.item].Copies = append(b.results[r.item].Copies, m)
		} else {
			b.finish(r.item, Result{Sequence: r.sequence, Version: r.carried(), Message: m})
		}
	}
	for _, d := range p.duplicates {
		b.finish(d.item, Result{Sequence: d.of.sequence, Version: d.of.carried(), Duplicate: true})
	}
	for _, d := range p.settled {
		b.finish(d.item, d.result)
	}
}

func (b *batch) finish(item int, result Result) {
	b.results[item] = result
	b.done[item] = true
}

// settleDoubt rereads, behind the fence and in a new epoch, the channels of batches with an unknown outcome, and forgets those
// that were deleted with one.
func (s *Store) settleDoubt(ctx context.Context) error {
	if len(s.doubt) == 0 && len(s.dying) == 0 {
		return nil
	}
	lease, err := s.held()
	if err != nil {
		return err
	}
	var epoch uint64
	var deleted []*Channel
	err = s.write(ctx, func(t *transaction) (err error) {
		if epoch, err = s.endEpoch(ctx, t); err != nil {
			return err
		}
		if deleted, err = s.deleted(ctx, t, s.dying); err != nil {
			return err
		}
		return s.reload(ctx, t, s.doubt)
	})
	if err != nil {
		return fmt.Errorf("reread after an unknown outcome: %w", err)
	}
	s.beginEpoch(lease, epoch)
	s.doubt, s.dying = nil, nil
	s.forget(deleted)
	return nil
}
