package stores

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats-streaming-server/spb"
)

// Progress is how far a subscription has come.
type Progress struct {
	Subscription uint64   // spb.SubState.ID
	LastSent     uint64   // highest sequence sent
	Unacked      []uint64 // all sequences sent and not acknowledged
}

// progressRow is Progress as SubsPending holds it.
type progressRow struct {
	subscription, lastSent uint64
	pending                []byte
}

// CreateSubscription saves a new subscription of a channel and sets st.ID, which is unique over all channels. It
// retries until ctx ends.
func (s *Store) CreateSubscription(ctx context.Context, c *Channel, st *spb.SubState) error {
	s.mu.Lock()
	s.subID++
	id := s.subID
	s.mu.Unlock()
	before := st.ID
	st.ID = id
	if err := s.UpdateSubscription(ctx, c, st); err != nil {
		st.ID = before
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progressed[id] = struct{}{}
	return nil
}

// UpdateSubscription saves the new state of a subscription. It retries until ctx ends.
func (s *Store) UpdateSubscription(ctx context.Context, c *Channel, st *spb.SubState) error {
	if !s.isKnown(c) {
		return ErrUnknownChannel
	}
	data, err := st.Marshal()
	if err != nil {
		return fmt.Errorf("encode subscription %d of channel %q: %w", st.ID, c.name, err)
	}
	err = s.write(ctx, func(t *transaction) error {
		return s.putSubscription(ctx, t, c.id, data, st)
	})
	if err != nil {
		return fmt.Errorf("save subscription %d of channel %q: %w", st.ID, c.name, err)
	}
	return nil
}

// putSubscription saves a subscription: data is state, encoded.
func (s *Store) putSubscription(ctx context.Context, t *transaction, channel int64, data []byte, state *spb.SubState) error {
	name, kind := subscriptionName(state)
	_, err := t.exec(ctx, s.text.putSubscription, channel, state.ID, data, encodeName(state.ClientID), encodeName(name), kind)
	return err
}

// subscriptionName returns the name of a subscription's durable or queue group, and its kind as the table has it.
func subscriptionName(state *spb.SubState) (name, kind string) {
	durable := state.IsDurable || state.DurableName != ""
	switch {
	case state.QGroup != "" && durable:
		return state.QGroup, "durable queue group"
	case state.QGroup != "":
		return state.QGroup, "queue group"
	case durable:
		return state.DurableName, "durable"
	}
	return "", "subscription"
}

// DeleteSubscription removes a subscription, if it exists, and its progress. It retries until ctx ends.
func (s *Store) DeleteSubscription(ctx context.Context, c *Channel, id uint64) error {
	if !s.isKnown(c) {
		return ErrUnknownChannel
	}
	err := s.write(ctx, func(t *transaction) error {
		if _, err := t.exec(ctx, s.text.deletePending, id); err != nil {
			return err
		}
		_, err := t.exec(ctx, s.text.deleteSubscription, c.id, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete subscription %d of channel %q: %w", id, c.name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.progressed, id)
	return nil
}

// SaveProgress saves the progress of subscriptions in one transaction. If a subscription occurs more than once, the
// last counts. Do not save the progress of a deleted subscription: its row would stay. SaveProgress retries until ctx
// ends.
func (s *Store) SaveProgress(ctx context.Context, progress []Progress) error {
	if len(progress) == 0 {
		return nil
	}
	rows := make([]progressRow, 0, len(progress))
	seen := make(map[uint64]struct{}, len(progress))
	for _, p := range slices.Backward(progress) {
		if _, ok := seen[p.Subscription]; ok {
			continue
		}
		seen[p.Subscription] = struct{}{}
		rows = append(rows, progressRow{p.Subscription, p.LastSent, encodeSequences(p.Unacked)})
	}
	var old []uint64 // may have rows of NATS Streaming besides ours
	s.mu.RLock()
	for _, row := range rows {
		if _, ok := s.progressed[row.subscription]; !ok {
			old = append(old, row.subscription)
		}
	}
	s.mu.RUnlock()

	err := s.write(ctx, func(t *transaction) error {
		for _, id := range old {
			if _, err := t.exec(ctx, s.text.deleteOldPending, id); err != nil {
				return err
			}
		}
		return s.dialect.saveProgress(ctx, t, rows)
	})
	if err != nil {
		return fmt.Errorf("save progress of %d subscriptions: %w", len(rows), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range old {
		s.progressed[id] = struct{}{}
	}
	return nil
}
