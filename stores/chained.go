package stores

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// chain puts rows of events into the chain, whose end is that of the order before them. Their places are final.
func (s *Store) chain(rows []*row, end *order) {
	n := 0
	for _, r := range rows {
		if r.event != nil {
			n++
		}
	}
	if n == 0 {
		return
	}
	block := make(chain.Link, n*chain.LinkSize) // of all links
	_, _ = rand.Read(block)                     // which never fails: the salts
	for _, r := range rows {
		if r.event == nil {
			continue
		}
		r.link, block = block[:chain.LinkSize:chain.LinkSize], block[chain.LinkSize:]
		digest := r.link.Digest(s.hasher, r.data)
		end.hash = s.hasher.Next(&end.hash, &chain.Event{
			Position: r.position, Channel: r.channel.name, Sequence: r.sequence, Timestamp: r.timestamp,
			EventID: r.event.ID, Type: r.event.Type, AggregateType: r.event.AggregateType, AggregateID: r.event.AggregateID, Version: r.version,
			Appender: r.appender,
		}, &digest)
		copy(r.link[chain.SaltSize:], end.hash[:])
		end.linked = r.position
	}
}

// chained is an event that gets its hash late.
type chained struct {
	chain.Event
	link chain.Link
}

const (
	// chainEvents and chainBytes bound the events that get their hashes in one transaction.
	chainEvents = 2000
	chainBytes  = 8 << 20
)

// lastChained returns the position and the hash of the last event in the chain.
func (s *Store) lastChained(ctx context.Context, q querier) (position uint64, hash chain.Hash, err error) {
	err = q.query(ctx, s.text.lastChained, func(rows *sql.Rows) error {
		var link chain.Link
		err := rows.Scan(&position, (*[]byte)(&link))
		if err == nil && !link.Valid() {
			err = fmt.Errorf("the event at position %d: %w", position, errCorrupt)
		}
		if err == nil {
			hash = link.Hash()
		}
		return err
	})
	if err != nil {
		return 0, hash, fmt.Errorf("look for the end of the chain: %w", err)
	}
	return position, hash, nil
}

// chainOld puts all events behind the end of the chain into it, in the order of their positions: those of a program that does not know the
// chain, be it an older version of this server. It works in batches while it renews the lease; what is done stays done when it is
// interrupted.
func (s *Store) chainOld(ctx context.Context, names map[int64]string, end *order) error {
	var columns orderColumns
	if err := s.own.query(ctx, s.text.lastPosition, columns.scan); err != nil {
		return err
	}
	if !columns.unchained() {
		end.linked, end.hash = uint64(columns.last.Int64), columns.hash()
		return nil
	}
	at, hash, err := s.lastChained(ctx, s.own)
	if err != nil {
		return err
	}
	began := time.Now()
	told := began
	progress := Numbering{Most: uint64(columns.last.Int64) - at, Chaining: true}
	tell := func() {
		told, progress.Took = time.Now(), time.Since(began)
		if s.options.Numbering != nil {
			s.options.Numbering(progress)
			return
		}
		progress.log(s.log)
	}
	return s.whileRenewing(ctx, func(ctx context.Context) error {
		for {
			events, err := s.chainNext(ctx, at, &hash, names)
			if err != nil {
				return fmt.Errorf("chain the events from position %d on: %w", at+1, err)
			}
			if len(events) == 0 {
				break
			}
			at = events[len(events)-1].Position
			if progress.Done += uint64(len(events)); time.Since(told) >= numberProgress {
				tell()
			}
		}
		end.linked, end.hash = at, hash
		progress.Finished = true
		tell()
		return nil
	})
}

// ChainImported puts events into the chain that CopyRows has stored without. It retries until ctx ends.
//
// Only the goroutine that calls Append may call ChainImported.
func (s *Store) ChainImported(ctx context.Context) error {
	names := map[int64]string{}
	for id, c := range s.channelsByID() {
		names[id] = c.name
	}
	end := s.order()
	if err := s.chainOld(ctx, names, &end); err != nil {
		return fmt.Errorf("chain the imported events: %w", s.readError(ctx, err))
	}
	s.setOrder(end)
	return nil
}

// chainNext puts the events behind a position, which has the hash, into the chain, and advances the hash. It returns none at the end.
func (s *Store) chainNext(ctx context.Context, after uint64, hash *chain.Hash, names map[int64]string) ([]chained, error) {
	var events []chained
	next := *hash
	err := s.retryRead(ctx, func() error {
		events, next = make([]chained, 0, chainEvents), *hash
		bytes := 0
		return s.own.query(ctx, s.text.unchained, func(rows *sql.Rows) error {
			var e chained
			var channel int64
			var id, typ, aggregateType, aggregateID sql.NullString
			var version, appender eventNumber
			var data sql.RawBytes
			if err := rows.Scan(&e.Position, &channel, &e.Sequence, &e.Timestamp, &id, &typ, &aggregateType, &aggregateID, &version, &appender, &data); err != nil {
				return err
			}
			if bytes += len(data); len(events) > 0 && bytes > chainBytes {
				return errStop
			}
			e.Channel, e.EventID, e.Type, e.AggregateType, e.AggregateID = names[channel], id.String, typ.String, aggregateType.String, aggregateID.String
			e.Version, e.Appender = uint64(version), uint64(appender)
			e.link = make(chain.Link, chain.LinkSize)
			_, _ = rand.Read(e.link[:chain.SaltSize]) // which never fails
			digest := e.link.Digest(s.hasher, data)
			next = s.hasher.Next(&next, &e.Event, &digest)
			copy(e.link[chain.SaltSize:], next[:])
			events = append(events, e)
			return nil
		}, after, chainEvents)
	})
	if err != nil || len(events) == 0 {
		return nil, err
	}
	if err := s.write(ctx, func(t *transaction) error { return s.dialect.fillChain(ctx, t, events) }); err != nil {
		return nil, err
	}
	*hash = next
	return events, nil
}
