package stores

import (
	"context"
	"database/sql"
)

// rightsChecker is a dialect whose statements may lack rights although they could be prepared.
type rightsChecker interface {
	// checkRights returns an ErrSetup that names the missing rights. The schema must be current.
	checkRights(ctx context.Context, db *sql.DB) error
}
