// Package server runs the server: it stands by, leads, and serves clients for a term of the lease. It wires packages that know
// only what is below them; see docs/reference/architecture.md.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/server/lease"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
	"github.com/nats-eventstore/nats-eventstore/server/tracing"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// releaseTimeout bounds how long a server that stops tries to give up the lease. Where it fails, the lease expires.
const releaseTimeout = 2 * time.Second

// Run starts the server and serves clients until ctx ends, which is not an error. While another server holds the lease of the
// database it stands by; when it loses the lease it steps down to standby. An error has been written to the log.
func Run(ctx context.Context, o config.Options) error {
	natsLog, log := natsconn.NewLoggers(o.NATS, natsconn.LogOptions{Debug: o.Debug, Trace: o.Trace, JSON: o.LogFormat == config.LogJSON, SyslogName: o.SyslogName, To: o.LogTo})
	err := o.Validate()
	if err == nil {
		err = run(ctx, &o, natsLog, log)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil:
		log.Error("Failed to start: " + strings.ReplaceAll(err.Error(), "\n", "; "))
	default:
		log.Error("Stopping: " + err.Error())
	}
	return err
}

func run(ctx context.Context, o *config.Options, natsLog *natsconn.Logger, log *slog.Logger) (err error) {
	id := stores.NewLeaseID()
	build := config.CurrentBuild()
	log.Info(fmt.Sprintf("Starting nats-streaming-server[%s] version %s", o.ClusterID, build))
	log.Info("ServerID: " + id)
	log.Info("Go version: " + runtime.Version())
	for _, n := range o.Notices {
		log.Info(n)
	}

	if err := checkFiles(o); err != nil {
		return err
	}
	if err := expired(o); err != nil {
		for line := range strings.Lines(err.Error()) {
			log.Warn(strings.TrimSpace(line))
		}
	}
	tracer, err := tracing.New(ctx, o.Tracing, tracing.Service{
		Name: "nats-streaming-server", Version: build.Version, InstanceID: id, Driver: o.Store.Driver,
	}, log)
	if err != nil {
		return err
	}
	defer tracer.Stop() // last, when nothing is recorded any more
	where := monitor.TakePort(o.NATS)
	rights := &access.Holder{}
	setAccess(rights, o.Access, log)
	ns, err := natsconn.StartServer(o.NATSOptions(), natsLog)
	if err != nil {
		return err
	}
	defer func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	}()
	mon := monitor.New(monitor.Options{
		ServerID: id, ClusterID: o.ClusterID, Version: build.Version, Commit: build.Commit, CommitDate: build.Date, FTGroup: o.FTGroup != "", External: o.NATSURL != "",
		StoreType: o.StoreType, Limits: o.Limits, LeaseExpiry: lease.Expiry, Series: o.MetricsSeries, Protect: protectMonitoring(rights),
		InboxPrefixes: o.InboxPrefixes,
	}, log)
	mon.Metrics().Certificate("nats", o.NATS.TLSConfig)
	port, err := mon.Listen(where, o.NATS.TLSConfig, ns)
	if err != nil {
		return err
	}
	defer port.Close()
	monitoring, stopMonitoring := context.WithCancel(context.WithoutCancel(ctx))
	var monitored sync.WaitGroup
	monitored.Go(func() { mon.Run(monitoring) })
	defer monitored.Wait()
	defer stopMonitoring()
	o.Store.Logger = log
	store, err := stores.Open(ctx, o.Store)
	if err != nil {
		return err
	}
	defer store.Close()
	log.Info("Message store is " + o.StoreType)
	log.Info("Database is " + o.Store.Driver)
	for _, line := range o.Limits.Table() {
		log.Info(line)
	}
	for _, line := range o.Describe() {
		log.Info(line)
	}

	ring, err := openKeys(ctx, o, log)
	if err != nil {
		return err
	}
	if ring != nil {
		defer ring.Close()
		mon.Encrypts(func() monitor.Encryption { return encryption(ring) })
	}
	conns, err := natsconn.Connect(o.NATSOptions(), ns, log)
	if err != nil {
		return err
	}
	defer conns.Close()
	if err := checkPayload(conns.Send.MaxPayload(), store.ValueLimit(), log); err != nil {
		return err
	}
	s := &server{opts: o, id: id, natsAddr: ns.Addr(), store: store, keys: ring, conns: conns, rights: rights, where: where, monitor: mon, tracer: tracer, log: log}
	s.rules.set(o.Consumers)
	ctx, stopAPI, err := s.serveAPI(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAPI()) }()
	stopSignals := s.handleSignals(ns, port, natsLog)
	defer stopSignals()
	return s.lead(ctx)
}

// setAccess makes a policy the current one.
func setAccess(rights *access.Holder, p *access.Policy, log *slog.Logger) {
	rights.Set(p)
	if w := p.Warning(); w != "" {
		log.Warn(w)
	}
}

// server is what lives as long as the process.
type server struct {
	opts     *config.Options
	id       string
	natsAddr net.Addr // nil if NATS is external
	store    *stores.Store
	keys     *keys.Ring // nil without encrypted fields
	conns    *natsconn.Conns
	rights   *access.Holder // replaced by a reload
	rules    rules          // likewise
	where    monitor.Where  // the monitoring port
	monitor  *monitor.Monitor
	tracer   *tracing.Tracer // nil without tracing
	log      *slog.Logger

	api    *api.Server                       // nil without an API
	shown  atomic.Pointer[map[string]string] // Options.Shown of the last reload; nil without one
	active atomic.Pointer[term]              // nil while this server does not serve clients
	view   atomic.Pointer[view]              // nil while this server does not serve reads as a standby
}

// lead stands by and serves in turns until ctx ends, or something happens that no other term can mend.
func (s *server) lead(ctx context.Context) error {
	follow := following{server: s}
	standby := &lease.Standby{
		Store: s.store, ID: s.id, Able: s.conns.Connected, Log: s.log,
		Waiting: func() {
			s.monitor.Standby()
			follow.begin(ctx)
			s.started()
		},
	}
	// Until the database was reached once, it being unavailable is an error of the start; afterwards it is waited for.
	for reached := false; ; reached = true {
		err := standby.Acquire(ctx, reached)
		follow.end()
		if ctx.Err() != nil {
			return nil // stopped while standing by
		}
		if err == nil {
			err = stan.EnsureAlone(ctx, s.opts.DiscoverPrefix, s.opts.ClusterID, s.conns.General)
		}
		if err == nil {
			s.log.Info("Server is active")
			err = s.serve(ctx)
		}
		switch {
		case errors.Is(err, stores.ErrRewound):
			s.log.Error("The database was set back, reading it anew", "error", err)
			s.monitor.Standby()
		case errors.Is(err, stores.ErrFenced):
			s.log.Warn("Another server took over the database, stepping down", "error", err)
			s.monitor.Standby()
		case errors.Is(err, stan.ErrNoNATS) && ctx.Err() == nil:
			s.log.Warn("NATS is away, standing by", "error", err)
			s.monitor.Standby()
			if err := s.release(ctx); err != nil {
				s.log.Warn("Failed to give up the lease, which expires", "error", err)
			}
		case errors.Is(err, stores.ErrUnavailable) && reached && ctx.Err() == nil:
			s.log.Warn("The database is unavailable, standing by", "error", err)
			s.monitor.Standby()
		default:
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				err = nil // stopped before it served
			}
			s.log.Info("Shutting down.")
			s.monitor.Stopping(err)
			return errors.Join(err, s.release(ctx))
		}
	}
}

// started tells whoever started the server that it does what it can.
func (s *server) started() {
	if s.opts.Started == nil {
		return
	}
	at := config.Addresses{NATS: s.natsAddr}
	if s.api != nil {
		at.API = s.api.Addr()
	}
	if err := s.opts.Started(at); err != nil {
		s.log.Warn("Failed to tell the service manager that the server has started", "error", err)
	}
}

func (s *server) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	return s.store.ReleaseLease(ctx)
}
