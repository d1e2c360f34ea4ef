package stores

import (
	"context"
	"database/sql"
	"fmt"
	"math"
)

// Audit returns administrative acts with lower IDs than before, the newest first; 0 is beyond all.
//
// The error is ErrUnavailable. Audit does not retry.
func (s *Store) Audit(ctx context.Context, before uint64, limit int) ([]AuditEntry, error) {
	if before == 0 || before > math.MaxInt64 {
		before = math.MaxInt64
	}
	var all []AuditEntry
	err := s.reader.query(ctx, s.text.audit, func(rows *sql.Rows) error {
		var e AuditEntry
		if err := rows.Scan(&e.ID, &e.Time, &e.Principal, &e.Address, &e.Action, &e.Target, &e.Detail); err != nil {
			return err
		}
		all = append(all, e)
		return nil
	}, before, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit table: %w", s.readError(ctx, err))
	}
	return all, nil
}
