package stores

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// ChainEnd returns the position and the hash of the last committed event in the chain; position 0 if there is none.
func (s *Store) ChainEnd() (position uint64, hash chain.Hash) {
	end := s.order()
	return end.linked, end.hash
}

// SaveHead stores a head of the chain. It retries until ctx ends.
func (s *Store) SaveHead(ctx context.Context, h *chain.Head) error {
	err := s.write(ctx, func(t *transaction) error {
		known := false // an attempt with an unknown outcome, or the server that led before, may have stored it
		err := t.query(ctx, s.text.lastHead, func(rows *sql.Rows) error {
			last, err := scanHead(rows)
			known = err == nil && last.Position >= h.Position
			return err
		})
		if err != nil || known {
			return err
		}
		_, err = t.exec(ctx, s.text.insertHead, h.Position, h.Hash[:], h.Time.UnixNano(), h.ClusterID, nullBytes(h.Key), nullBytes(h.Signature))
		return err
	})
	if err != nil {
		return fmt.Errorf("store the head of the chain at position %d: %w", h.Position, err)
	}
	return nil
}

// LastHead returns the last head of the chain that was stored, or nil.
//
// The error is ErrUnavailable. LastHead does not retry.
func (s *Store) LastHead(ctx context.Context) (*chain.Head, error) {
	var last *chain.Head
	err := s.reader.query(ctx, s.text.lastHead, func(rows *sql.Rows) (err error) {
		last, err = scanHead(rows)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the head of the chain: %w", s.readError(ctx, err))
	}
	return last, nil
}

func scanHead(rows *sql.Rows) (*chain.Head, error) {
	h := &chain.Head{}
	var hash, key, signature []byte
	var at int64
	if err := rows.Scan(&h.Position, &hash, &at, &h.ClusterID, &key, &signature); err != nil {
		return nil, err
	}
	copy(h.Hash[:], hash)
	if h.Time = time.Unix(0, at); len(signature) > 0 {
		h.Key, h.Signature = key, signature
	}
	return h, nil
}
