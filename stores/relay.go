package stores

import (
	"context"
	"database/sql"
	"fmt"
)

// Relay returns what SaveRelay last saved for a stream, or nil.
//
// The error is ErrUnavailable. Relay does not retry.
func (s *Store) Relay(ctx context.Context, stream string) ([]byte, error) {
	var position []byte
	err := s.reader.query(ctx, s.text.relay, func(rows *sql.Rows) error { return rows.Scan(&position) }, stream)
	if err != nil {
		return nil, fmt.Errorf("read position of the relay to %q: %w", stream, s.readError(ctx, err))
	}
	return position, nil
}

// SaveRelay saves the position of the relay to a stream, in the relay's own format. It retries until ctx ends.
func (s *Store) SaveRelay(ctx context.Context, stream string, position []byte) error {
	err := s.write(ctx, func(t *transaction) error {
		_, err := t.exec(ctx, s.text.putRelay, stream, position)
		return err
	})
	if err != nil {
		return fmt.Errorf("save position of the relay to %q: %w", stream, err)
	}
	return nil
}
