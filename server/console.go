package server

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/console"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
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
		Monitor:  s.monitor,
		Settings: s.settings,
		Verify:   offline.Checker(*s.opts, verifyFindings),
		Log:      s.log,
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

// verifyFindings is how many findings of a kind the console lists.
const verifyFindings = 20

// settings are those that count now, without secrets.
func (s *server) settings() console.Settings {
	now := console.Settings{Given: s.opts.Shown}
	if shown := s.shown.Load(); shown != nil { // a reload
		now.Given = *shown
	}
	for _, line := range s.opts.Describe() {
		if strings.HasPrefix(line, "Route") {
			now.Routes = append(now.Routes, line)
		} else {
			now.Channels = append(now.Channels, line)
		}
	}
	return now
}
