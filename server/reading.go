package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/httpport"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Reading serves reads of a database to this process, as a standby does, until use returns. It neither changes the database nor takes
// its lease, so a server may lead meanwhile. use gets the address of an API on loopback, which asks for the token. The error is that
// of use, a *stores.SchemaError if the schema is older than this program, or fs.ErrNotExist for a missing SQLite file.
func Reading(ctx context.Context, o config.Options, log *slog.Logger, use func(ctx context.Context, at net.Addr, token string) error) (err error) {
	if o.Store.Driver == "sqlite" { // opening would create it
		if _, err := os.Stat(o.Store.Source); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no database: %w", err)
		}
	}
	o.Store.NoMigrate, o.Store.Logger = true, log
	token, _ := access.NewToken()
	o.API = api.DefaultOptions()
	o.API.Host, o.API.Port, o.API.Token, o.API.StandbyReads = "127.0.0.1", -1, token, true
	o.API.Limits = httpport.Limits{Total: 256, PerPeer: 256}
	o.API.StopTimeout = time.Nanosecond // its only client has left
	store, err := stores.Open(ctx, o.Store)
	if err != nil {
		return err
	}
	defer store.Close()
	s := &server{opts: &o, store: store, rights: &access.Holder{}, monitor: monitor.New(monitor.Options{}, log), log: log}
	began := time.Now()
	follower, err := store.Follow(ctx)
	if err != nil {
		return err
	}
	defer follower.Close()
	if follower.Moved != nil { // no server serves it, but it can be read
		follower.Server, follower.Moved = follower.Moved, nil
	}
	if follower.Server != nil { // whichever it is
		o.ClusterID = follower.Server.ClusterID
	}
	v, err := s.newView(follower, began)
	if err != nil {
		return err
	}
	s.view.Store(v)
	ctx, stopAPI, err := s.serveAPI(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAPI()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { cancel(v.run(ctx)) })
	defer looking.Wait()
	defer cancel(nil)
	defer v.end()
	err = use(ctx, s.api.Addr(), token)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}
