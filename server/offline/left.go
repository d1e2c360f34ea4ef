package offline

import (
	"context"
	"errors"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/filestore"
	"github.com/nats-eventstore/nats-eventstore/stores/former"
)

// Left says where the store of a NATS Streaming is that has stopped: in files or in a SQL database.
type Left struct {
	Dir   string            // directory of a FILE store
	Files filestore.Options // how it was written; the logger is that of the options
	SQL   *stores.Options   // the database of a SQL store
}

var errNothingLeft = errors.New("where the old server leaves its store is not known: name the directory of its FILE store with --from-dir, or its database with --from-dsn")

func (l *Left) given() bool { return l.Dir != "" || l.SQL != nil }

// open reads the state of the store, but not its messages.
func (l *Left) open(ctx context.Context) (*former.Store, error) {
	switch {
	case l.SQL != nil:
		return stores.ReadFormer(ctx, *l.SQL)
	case l.Dir != "":
		return filestore.Open(l.Dir, l.Files)
	}
	return nil, errNothingLeft
}
