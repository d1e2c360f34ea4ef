package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/lease"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// stopGrace is how long requests that were received before a stop may wait for the database.
const stopGrace = 2 * time.Second

// term is what serves clients for as long as this server holds the lease.
type term struct {
	*server
	events    eventlog.Events
	eventlog  *eventlog.Log
	consumers *consumers.Consumers
	door      *stan.Server
	relays    []*relay.Relay
	eraser    *eventlog.Eraser
	outage    outage
	// forgetLater is what is left to do with keys that were forgotten once.
	forgetLater func(context.Context)

	ended <-chan struct{} // closed when the term is about to end
	end   func(error)     // ends the term, such as with stores.ErrFenced
}

// serve recovers the state and serves clients until ctx ends or the lease is lost; the latter is stores.ErrFenced.
func (s *server) serve(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	t := &term{server: s, ended: ctx.Done(), end: end}
	if err := t.build(); err != nil {
		return err
	}
	members, err := t.recover(ctx)
	if err != nil {
		return err
	}
	if s.store.IndexesBlock() {
		t.applyIndexes(ctx)
	}
	t.forgetLater = t.forgetFirst(ctx)
	err = t.run(ctx, members)
	if cause := context.Cause(ctx); errors.Is(cause, stores.ErrFenced) || errors.Is(cause, stores.ErrRewound) {
		return cause
	}
	return err
}

// build makes the parts of a term, from the bottom up.
func (t *term) build() error {
	o, metrics := t.opts, t.monitor.Metrics()
	var err error
	if t.events, err = eventlog.NewEvents(o.Events); err != nil {
		return err
	}
	if t.relays, err = newRelays(o, t.conns.Relay, t.store, t.tracer, t.log); err != nil {
		return err
	}
	var (
		traces    func(channel, client, guid string, received time.Time) eventlog.Trace
		committed func([]eventlog.Trace, eventlog.Batch)
		delivered func(consumers.Delivery)
	)
	if t.tracer != nil {
		traces, committed, delivered = t.tracer.Publish, t.tracer.Committed, t.tracer.Delivered
	}
	t.eventlog = eventlog.New(t.store, eventlog.Options{
		Events:         t.events,
		Versions:       o.Versions,
		Copies:         config.Copies(o.Routes),
		Limits:         o.Limits,
		Keys:           t.keys,
		StoreTimeout:   o.StoreTimeout,
		MaxBatchMsgs:   o.MaxBatchMsgs,
		MaxBatchBytes:  o.MaxBatchBytes,
		TailBytes:      o.TailBytes,
		ReadAheadBytes: o.ReadAheadBytes,
		PublishMemory:  o.PublishMemory,
		Connections:    o.Store.Connections(),
		MaxPayload:     t.conns.Send.MaxPayload,
		Added:          t.relayed,
		Failed:         t.failed,
		Stored:         t.stored,
		Committed:      committed,
	}, metrics, t.log)
	streams := make([]eventlog.Stream, len(t.relays))
	for i, r := range t.relays {
		streams[i] = r
	}
	t.eraser = eventlog.NewEraser(t.eventlog, streams, metrics, t.log)
	t.door = stan.New(t.store, t.eventlog, t.conns, stan.Options{
		ClusterID:         o.ClusterID,
		DiscoverPrefix:    o.DiscoverPrefix,
		HeartbeatInterval: o.HeartbeatInterval,
		HeartbeatTimeout:  o.HeartbeatTimeout,
		HeartbeatFailures: o.HeartbeatFailures,
		StoreTimeout:      o.StoreTimeout,
		ReplaceDurables:   o.ReplaceDurables,
		Wildcards:         o.Wildcards,
		RecordAppenders:   o.RecordAppenders,
		SpoolDir:          o.PublishDir,
		InboxPrefixes:     o.InboxPrefixes,
		MayConsume:        t.mayConsume,
		LeaseExpiry:       lease.Expiry,
		Failed:            t.failed,
		Trace:             traces,
	}, metrics, t.log)
	t.consumers = consumers.New(t.store, t.eventlog, t.door, consumers.Options{
		Interval:       o.ProgressInterval,
		StoreTimeout:   o.StoreTimeout,
		MaxInflight:    o.MaxInflight,
		Delivered:      delivered,
		Wildcards:      o.Wildcards,
		Rules:          t.rules.current(),
		RedeliveryRate: cmp.Or(o.RedeliveryRate, -1), // there, 0 is the default
	}, metrics, t.log)
	t.eventlog.SetUsers(t.consumers)
	return nil
}

// recover rebuilds the state from the store, and returns the active members, whose messages do not flow yet.
func (t *term) recover(ctx context.Context) ([]*consumers.Member, error) {
	t.log.Info("Recovering the state...")
	state, err := t.store.Recover(ctx)
	if err != nil {
		return nil, fmt.Errorf("recover the state: %w", err)
	}
	if err := identify(t.opts.ClusterID, state.Server, state.Importing, state.Moved, len(state.Channels)); err != nil {
		return nil, err
	}
	info, err := t.door.RecoverClients(state)
	if err != nil {
		return nil, err
	}
	t.eventlog.Recover(state)
	members, err := t.consumers.Recover(ctx, state, t.door.Recovered)
	if err != nil {
		return nil, err
	}
	if state.Server == nil {
		t.log.Info("No recovered state")
		return nil, t.store.SetServerInfo(ctx, info)
	}
	t.log.Info(fmt.Sprintf("Recovered %d channel(s)", len(state.Channels)))
	return members, nil
}

// run serves until ctx ends. It stops from the front: no more requests, then those received are answered, then delivery ends,
// and its state is written last, while the lease is still kept.
func (t *term) run(ctx context.Context, members []*consumers.Member) error {
	background := context.WithoutCancel(ctx)
	hurry := afterGrace(ctx)
	defer hurry.stop()

	leased, release := context.WithCancel(background)
	var keeping sync.WaitGroup
	keeping.Go(func() {
		failed := func(err error) { t.monitor.Metrics().Failed("lease", err) }
		if err := lease.Keep(leased, t.store, t.opts.StoreTimeout, failed, t.log); err != nil {
			t.end(err)
		}
	})
	delivering, stopDelivery := context.WithCancel(background)
	var delivery sync.WaitGroup
	delivery.Go(func() { t.consumers.Run(delivering) })
	appending, stopAppending := context.WithCancel(hurry.ctx)
	var log sync.WaitGroup
	log.Go(func() { t.eventlog.Run(appending) })
	working, stopWork := context.WithCancel(background)
	var work sync.WaitGroup
	t.startWork(working, &work)
	heads := &heads{term: t}
	work.Go(func() { heads.run(working) })

	err := t.door.Run(ctx, hurry.ctx, t.consumers, members, func() {
		t.monitor.Serving(&monitor.Term{
			Clients: t.door, Consumers: t.consumers, Log: t.eventlog, Relays: t.relays,
			LeaseAge: t.store.LeaseAge, Connected: t.conns.Connected,
		})
		t.active.Store(t)
		t.rules.applyTo(t.consumers) // a reload may have come meanwhile
		t.log.Info("Streaming Server is ready")
		t.started()
		context.AfterFunc(ctx, func() { t.leaving(context.Cause(ctx)) })
	})
	stopWork()
	work.Wait()
	stopAppending()
	log.Wait()
	heads.add(hurry.ctx) // of the last events
	stopDelivery()
	delivery.Wait()
	release()
	keeping.Wait()
	return err
}

// leaving tells monitoring and the API that the term is about to end.
func (t *term) leaving(cause error) {
	t.active.CompareAndSwap(t, nil)
	if errors.Is(cause, stores.ErrFenced) || errors.Is(cause, stores.ErrRewound) {
		t.monitor.Standby()
	} else {
		t.monitor.Stopping(nil)
	}
}

// startWork starts what runs beside the doors.
func (t *term) startWork(ctx context.Context, work *sync.WaitGroup) {
	if !t.store.IndexesBlock() {
		work.Go(func() { t.applyIndexes(ctx) })
	}
	work.Go(func() { t.monitor.RunLags(ctx, t.opts.StoreTimeout) })
	work.Go(func() { t.announceOldMessages(ctx) })
	work.Go(func() { t.eraser.Run(ctx) })
	work.Go(func() { t.forgetLater(ctx) })
	for _, r := range t.relays {
		work.Go(func() { r.Run(ctx) })
	}
}

// failed notes an error of the store that is not a client's fault. A lost lease, and a database that was set back, end the
// term. An outage is logged once, however many requests meet it.
func (t *term) failed(err error) {
	switch {
	case errors.Is(err, stores.ErrFenced), errors.Is(err, stores.ErrRewound):
		t.end(err)
	case errors.Is(err, stores.ErrUnavailable) && t.outage.begin():
		t.log.Error("The database is unavailable", "error", err)
	}
}

// stored notes that the database works.
func (t *term) stored() {
	if took, ok := t.outage.end(); ok {
		t.log.Info("The database stores messages again", "after", took.Round(time.Millisecond))
	}
}

// announceOldMessages tells of event channels that hold messages from before they were event channels: the events that are
// published now take the versions that these might have had.
func (t *term) announceOldMessages(ctx context.Context) {
	for _, ch := range t.eventlog.Channels() {
		if ch.Events() == nil {
			continue
		}
		first, err := t.store.FirstPlain(ctx, ch.Stored())
		if err != nil {
			return // nothing but a hint is lost
		}
		if first > 0 {
			t.log.Warn(fmt.Sprintf("Channel %q holds messages that are not events, from sequence %d on: nats-streaming-server migrate makes events of them, or says why not", ch.Name(), first))
		}
	}
}

// grace is a context that ends some time after another one.
type grace struct {
	ctx  context.Context
	stop func()
}

func afterGrace(ctx context.Context) grace {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(stopGrace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-late.Done():
		}
	})
	return grace{late, func() {
		unhook()
		cancel()
	}}
}
