package offline

import (
	"context"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Backup writes one state of an SQLite database to a new file, even while a server uses it.
func Backup(ctx context.Context, o *config.Options, to string) error {
	return stores.Backup(ctx, o.Store, to)
}
