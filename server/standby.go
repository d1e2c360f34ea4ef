package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// followRetry is the pause after a failed attempt to follow the server that leads.
const followRetry = time.Second

// following serves reads while this server waits for the lease, if the options say so. One goroutine begins and ends it.
type following struct {
	*server
	cancel  context.CancelFunc // nil until it has begun
	running sync.WaitGroup
}

// begin starts to follow the server that leads, once.
func (f *following) begin(ctx context.Context) {
	if f.cancel != nil || f.opts.API.Port == 0 || !f.opts.API.StandbyReads {
		return
	}
	ctx, f.cancel = context.WithCancel(ctx)
	f.running.Go(func() { f.follow(ctx) })
}

// end stops to serve reads, before this server leads.
func (f *following) end() {
	if f.cancel == nil {
		return
	}
	f.cancel()
	f.running.Wait()
	f.cancel = nil
}

// follow serves reads until ctx ends, and begins anew when the database was set back, or its schema has changed.
func (f *following) follow(ctx context.Context) {
	var told string
	for {
		served, err := f.serveView(ctx)
		if ctx.Err() != nil {
			return
		}
		if served || err.Error() != told {
			told = err.Error()
			f.log.Warn("Standby cannot serve reads, retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(followRetry):
		}
	}
}

// serveView serves reads from what the database holds now and what is added, until ctx ends or the view cannot go on.
// It reports whether it has served.
func (f *following) serveView(ctx context.Context) (served bool, err error) {
	began := time.Now()
	follower, err := f.store.Follow(ctx)
	if err != nil {
		return false, err
	}
	defer follower.Close()
	v, err := f.newView(follower, began)
	if err != nil {
		return false, err
	}
	f.view.Store(v)
	f.monitor.Following(v)
	f.log.Info("Standby serves reads", "position", v.Staleness().Position)
	defer func() {
		f.view.Store(nil)
		f.monitor.Following(nil)
		v.end()
		f.log.Info("Standby stopped serving reads")
	}()
	return true, v.run(ctx)
}

// newView returns a view of what a follower has read since began.
func (s *server) newView(follower *stores.Follower, began time.Time) (*view, error) {
	o := s.opts
	channels := follower.Channels()
	if err := identify(o.ClusterID, follower.Server, follower.Importing, follower.Moved, len(channels)); err != nil {
		return nil, err
	}
	if follower.Server == nil {
		return nil, errors.New("no server has led yet")
	}
	events, err := eventlog.NewEvents(o.Events)
	if err != nil {
		return nil, err
	}
	log := eventlog.New(follower.Store, eventlog.Options{
		Events:         events,
		Versions:       o.Versions,
		Keys:           s.keys,
		StoreTimeout:   o.StoreTimeout,
		ReadAheadBytes: o.ReadAheadBytes,
		PublishMemory:  o.PublishMemory,
		Connections:    o.Store.Connections(),
	}, s.monitor.Metrics(), s.log)
	log.Know(channels)
	ended := make(chan struct{})
	return &view{
		apiReads: apiReads{s, follower.Store, events, log, ended},
		follower: follower,
		end:      func() { close(ended) },
		wanted:   make(chan struct{}, 1),
		seen:     began,
		looked:   make(chan struct{}),
	}, nil
}
