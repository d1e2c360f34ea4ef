package stores

import (
	"context"
	"database/sql"
	"errors"
)

// rightsChecker is a dialect whose statements may lack rights although they could be prepared.
type rightsChecker interface {
	// checkRights returns an error that names the missing rights. The schema must be current.
	checkRights(ctx context.Context, db *sql.DB) error
}

// errRights means that an administrator must grant something. Trying again does not help.
var errRights = errors.New("missing rights")
