package stores

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
)

// Parked returns parked messages of a consumer with higher sequences than after, ascending, at most limit.
//
// The error is ErrUnavailable, or a *DamagedError. Parked does not retry.
func (s *Store) Parked(ctx context.Context, consumer, after uint64, limit int) ([]ParkedMessage, error) {
	found := parkedRows{consumer: consumer}
	err := s.reader.query(ctx, s.text.parked, found.scan, consumer, min(after, math.MaxInt64), limit)
	if err != nil {
		return nil, fmt.Errorf("read parked messages: %w", s.readError(ctx, err))
	}
	return found.all, nil
}

// ParkedAt returns those of a consumer's parked messages that have one of the sequences, ascending.
//
// The error is ErrUnavailable, or a *DamagedError. ParkedAt does not retry.
func (s *Store) ParkedAt(ctx context.Context, consumer uint64, seqs []uint64) ([]ParkedMessage, error) {
	found := parkedRows{consumer: consumer}
	seqs = slices.DeleteFunc(slices.Clone(seqs), func(seq uint64) bool { return seq > math.MaxInt64 })
	slices.Sort(seqs)
	if seqs = slices.Compact(seqs); len(seqs) == 0 {
		return nil, nil
	}
	if err := s.dialect.parkedAt(ctx, s.reader, consumer, seqs, found.scan); err != nil {
		return nil, fmt.Errorf("read parked messages: %w", s.readError(ctx, err))
	}
	slices.SortFunc(found.all, func(a, b ParkedMessage) int { return cmp.Compare(a.Seq, b.Seq) })
	return found.all, nil
}

// parkedRows collects the rows of statements.parked.
type parkedRows struct {
	consumer uint64
	all      []ParkedMessage
}

func (p *parkedRows) scan(rows *sql.Rows) error {
	m := ParkedMessage{Consumer: p.consumer}
	var seq, deliveries, first, last number
	var key, reason sql.NullString
	if err := rows.Scan(&seq, &deliveries, &first, &last, &key, &reason); err != nil {
		return err
	}
	if reason := cmp.Or(seq.problem("seq"), deliveries.problem("deliveries"), first.problem("first_delivery"), last.problem("last_delivery")); reason != "" {
		return &DamagedError{Table: "Parked", Key: fmt.Sprintf("consumer %d, seq %v", p.consumer, valueOf(seq)), Reason: reason}
	}
	m.Seq, m.Deliveries, m.First, m.Last = seq.n, uint32(min(deliveries.n, math.MaxUint32)), int64(first.n), int64(last.n)
	m.Key, m.Reason = key.String, reason.String
	p.all = append(p.all, m)
	return nil
}

// key returns what identifies the message.
func (m *ParkedMessage) key() ParkedKey { return ParkedKey{m.Consumer, m.Seq} }

func (k ParkedKey) compare(other ParkedKey) int {
	return cmp.Or(cmp.Compare(k.Consumer, other.Consumer), cmp.Compare(k.Seq, other.Seq))
}

// maxReason bounds the reason in bytes.
const maxReason = 4096

// parkedToSave returns messages as the table takes them, in its order. Of the same message, the last counts.
func parkedToSave(messages []ParkedMessage) []ParkedMessage {
	rows := slices.Clone(messages)
	slices.Reverse(rows)
	slices.SortStableFunc(rows, func(a, b ParkedMessage) int { return a.key().compare(b.key()) })
	rows = slices.CompactFunc(rows, func(a, b ParkedMessage) bool { return a.key() == b.key() })
	for i := range rows {
		rows[i].Reason = storableText(rows[i].Reason, maxReason)
	}
	return rows
}

func unparkedToSave(keys []ParkedKey) []ParkedKey {
	rows := slices.Clone(keys)
	slices.SortFunc(rows, ParkedKey.compare)
	return slices.Compact(rows)
}

// perConsumer calls fn with at most n sequences of one consumer at a time. keys must be sorted.
func perConsumer(keys []ParkedKey, n int, fn func(consumer uint64, seqs []uint64) error) error {
	seqs := make([]uint64, 0, min(n, len(keys)))
	for i, key := range keys {
		seqs = append(seqs, key.Seq)
		if len(seqs) < n && i+1 < len(keys) && keys[i+1].Consumer == key.Consumer {
			continue
		}
		if err := fn(key.Consumer, seqs); err != nil {
			return err
		}
		seqs = seqs[:0]
	}
	return nil
}
