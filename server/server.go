// Package server speaks the NATS Streaming protocol over an embedded or external NATS server, and keeps
// its messages in a SQL store.
//
// Data flows one way: a published message is decoded and validated (publish.go), committed together
// with others (writer.go), kept for live subscribers (tail.go), sent by the goroutine of each
// group of subscribers (delivery.go), and acknowledged (group.go). Clients and subscriptions come and go
// through requests (connect.go, subscribe.go, membership.go).
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Run starts the server and serves clients until ctx ends, which is no error. While another
// server holds the database's lease it waits as standby; when it loses the lease it steps down to
// standby again. An error has been written to the log.
func Run(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	natsLog, log := newLoggers(&o)
	err := run(ctx, &o, natsLog, log)
	if err != nil && ctx.Err() == nil {
		log.Error("Failed to start: " + err.Error())
		return err
	}
	if err != nil {
		log.Error("Stopping: " + err.Error())
		return err
	}
	return nil
}

func run(ctx context.Context, o *Options, natsLog *natsLogger, log *slog.Logger) (err error) {
	id := stores.NewLeaseID()
	log.Info(fmt.Sprintf("Starting nats-streaming-server[%s] version %s", o.ClusterID, Version))
	log.Info("ServerID: " + id)
	log.Info("Go version: " + runtime.Version())
	for _, n := range o.Notices {
		log.Info(n)
	}

	events, err := newEventBlocks(o.Events)
	if err != nil {
		return err
	}
	ns, err := startNATS(o, natsLog)
	if err != nil {
		return err
	}
	defer func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	}()
	stopSignals := handleSignals(o, ns, natsLog, log)
	defer stopSignals()
	mon := newMonitor(o, id, log)
	mon.register(ns)
	o.Store.Logger = log
	store, err := stores.Open(ctx, o.Store)
	if err != nil {
		return err
	}
	defer store.Close()
	log.Info("Message store is SQL")
	log.Info("Database is " + o.Store.Driver)
	for _, line := range o.Limits.table() {
		log.Info(line)
	}

	for i := range o.Routes {
		log.Info(o.Routes[i].describe())
	}

	c, err := connect(o, ns, log)
	if err != nil {
		return err
	}
	defer c.close()
	if err := checkPayload(c.send.MaxPayload(), store.ValueLimit(), log); err != nil {
		return err
	}

	ctx, stopAPI, err := serveAPI(ctx, o, mon)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAPI()) }()

	// Until the database was reached once, it being unavailable is an error of the start; afterwards it is waited for.
	for reached := false; ; reached = true {
		err := acquireLease(ctx, store, id, reached, mon.standby, log)
		if ctx.Err() != nil {
			return nil // stopped while standby
		}
		if err == nil {
			err = ensureAlone(ctx, o, c.general)
		}
		if err == nil {
			log.Info("Server is active")
			err = serve(ctx, o, events, store, c, mon, log)
		}
		switch {
		case errors.Is(err, stores.ErrRewound):
			log.Error("The database was set back, reading it anew", "error", err)
			mon.standby()
		case errors.Is(err, stores.ErrFenced):
			log.Warn("Another server took over the database, stepping down", "error", err)
			mon.standby()
		case errors.Is(err, stores.ErrUnavailable) && reached && ctx.Err() == nil:
			log.Warn("The database is unavailable, standing by", "error", err)
			mon.standby()
		default:
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				err = nil // stopped before it served
			}
			log.Info("Shutting down.")
			mon.stopping(err)
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.StoreTimeout)
			defer cancel()
			return errors.Join(err, store.ReleaseLease(release))
		}
	}
}
