package server

import (
	"context"
	"net/http"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/console"
)

// newConsole has the API serve the console, if it is to be. run returns when ctx ends.
func (s *server) newConsole(o *api.Options) (run func(ctx context.Context)) {
	if !s.opts.ServesConsole() {
		return func(context.Context) {}
	}
	c := console.New(console.Options{
		About: console.About{
			ClusterID: s.opts.ClusterID, ServerID: s.id, Version: config.CurrentBuild().Version, Store: s.opts.StoreType, Database: s.opts.Store.Driver,
		},
		Monitor: s.monitor,
		Log:     s.log,
	})
	o.Console = func(a api.Inside) http.Handler { return c.Handler(a) }
	return c.Run
}

// background runs what has nothing to wait for, until stop is called, which waits for it.
func background(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}
