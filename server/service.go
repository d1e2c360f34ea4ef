package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// service is NATS Streaming for as long as this server holds the database's lease: the state recovered
// from the store, and the NATS subscriptions that change it.
type service struct {
	opts     *Options
	log      *slog.Logger
	store    *stores.Store
	conns    *conns
	metrics  *metrics
	subjects subjects

	clients   *clients
	channels  *channels
	members   *memberships
	acks      *acks
	tails     *tails
	reading   *reading
	pace      *pacing
	progress  *progress
	retention *retention
	inbox     *inbox
	writer    *writer
	relays    []*relay.Relay

	gate    sync.RWMutex // guards stopped
	stopped bool

	damage damage
	leased atomic.Int64 // on the clock of monotonic: when the database last confirmed that the lease is ours

	// ended is closed when the service is about to stop.
	ended <-chan struct{}
	// lost ends the service when the lease turns out to be another server's.
	lost func(error)
	// requests are those being handled on goroutines of their own; tasks are the goroutines that run as
	// long as the service; sending are those of groups, which end after the last publish was answered.
	requests sync.WaitGroup
	turns    turns // of requests, by client
	tasks    sync.WaitGroup
	sending  sync.WaitGroup
}

// serve recovers the state and serves clients until ctx ends or the lease is lost; the latter is
// stores.ErrFenced.
func serve(ctx context.Context, o *Options, events eventBlocks, store *stores.Store, c *conns, mon *monitor, log *slog.Logger) error {
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	// What serves clients ends after ctx, once the requests already received were answered.
	live, stopLive := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLive()
	groups, stopGroups := context.WithCancel(context.WithoutCancel(ctx))
	defer stopGroups()

	s := newService(o, events, store, c, mon.metrics, log, lost)
	var err error
	if s.relays, err = newRelays(o, c.relay, store, log); err != nil {
		return err
	}
	s.ended = ctx.Done()
	s.members.start = func(g *group) func() { return s.startGroup(groups, g) }
	active, err := s.recover(ctx)
	if err != nil {
		return err
	}
	if s.store.IndexesBlock() {
		s.applyIndexes(ctx)
	} else {
		s.tasks.Go(func() { s.applyIndexes(live) })
	}
	s.leased.Store(int64(monotonic())) // the recovery has renewed it
	var committing sync.WaitGroup
	committing.Go(s.writer.run)
	var decoding sync.WaitGroup
	decoding.Go(func() { s.decode(context.WithoutCancel(ctx)) })
	s.tasks.Go(func() { s.progress.run(live) })
	s.tasks.Go(func() { s.keepLease(live) })
	s.tasks.Go(func() { mon.lags.run(live, o.StoreTimeout, log) })
	s.tasks.Go(func() { s.retention.run(live) })
	for _, r := range s.relays {
		s.tasks.Go(func() { r.Run(live) })
	}
	s.tasks.Go(func() { s.announceOldMessages(live) })
	subs, err := s.listen(live)
	if err == nil {
		for _, m := range active {
			s.members.resume(m)
		}
		for _, c := range s.clients.all() {
			s.startHeartbeats(live, c)
		}
		mon.serving(s)
		log.Info("Streaming Server is ready")
		<-ctx.Done()
		if errors.Is(context.Cause(ctx), stores.ErrFenced) {
			mon.standby()
		} else {
			mon.stopping(nil)
		}
	}

	// Stop from the front: no more requests, then those received are answered, then delivery
	// ends, and its state is written last.
	for _, sub := range subs {
		err = errors.Join(err, sub.Unsubscribe())
	}
	s.inbox.stop()
	s.stop()
	s.requests.Wait()
	stopLive()
	s.tasks.Wait()
	s.inbox.close()
	decoding.Wait()
	s.writer.queue.close()
	committing.Wait()
	stopGroups()
	s.sending.Wait()
	err = errors.Join(err, s.acks.stop())
	if cause := context.Cause(ctx); errors.Is(cause, stores.ErrFenced) {
		return cause
	}
	if saveErr := s.progress.save(context.WithoutCancel(ctx)); saveErr != nil {
		err = errors.Join(err, fmt.Errorf("save the state of subscriptions (acknowledged messages may be redelivered): %w", saveErr))
	}
	return err
}

func newService(o *Options, events eventBlocks, store *stores.Store, c *conns, m *metrics, log *slog.Logger, lost func(error)) *service {
	s := &service{opts: o, log: log, store: store, conns: c, metrics: m, lost: lost}
	s.subjects = newSubjects(o.DiscoverPrefix, o.ClusterID)
	s.clients = newClients(store, o.StoreTimeout)
	s.tails = newTails(o.TailBytes)
	s.reading = newReading(o.Store.Connections(), o.ReadAheadBytes)
	s.pace = newPacing()
	s.progress = newProgress(store, o, m, log)
	s.acks = newAcks(c.acks, o.ClusterID)
	s.members = &memberships{store: store, progress: s.progress, acks: s.acks}
	s.inbox = newInbox(int(o.PublishMemory), o.PublishDir, log)
	s.writer = &writer{
		release:  s.inbox.release,
		store:    store,
		metrics:  m,
		queue:    newQueue(),
		maxMsgs:  o.MaxBatchMsgs,
		maxBytes: o.MaxBatchBytes,
		timeout:  o.StoreTimeout,
		pace:     s.pace,
		respond:  func(reply string, ack *pb.PubAck) { s.respondOn(s.conns.pubAcks, reply, ack) },
		enforce:  func(ch *channel) { s.retention.enforce(context.Background(), ch) },
		failed:   s.unavailable,
		settled:  s.wakeAll,
	}
	s.channels = &channels{
		store:    store,
		events:   events,
		versions: o.Versions,
		limits:   o.Limits,
		routes:   o.Routes,
		new:      s.newChannel,
		added:    s.relayed,
		log:      log,
		timeout:  o.StoreTimeout,
		byName:   make(map[string]*channel),
		byLower:  make(map[string]string),
	}
	s.retention = &retention{store: store, channels: s.channels, timeout: o.StoreTimeout, log: log, onWriter: s.onWriter}
	return s
}

// handle calls a request's handler, unless the service has stopped.
func (s *service) handle(f func()) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if !s.stopped {
		f()
	}
}

// stop returns when no handler runs or will run any more.
func (s *service) stop() {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.stopped = true
}

func (s *service) newChannel(stored *stores.Channel) *channel {
	return &channel{
		name:       stored.Name(),
		stored:     stored,
		store:      s.store,
		tails:      s.tails,
		reading:    s.reading,
		pace:       s.pace,
		progress:   s.progress,
		log:        s.log,
		metrics:    s.metrics,
		damage:     &s.damage,
		send:       s.send,
		groups:     make(map[*group]struct{}),
		keyed:      make(map[groupKey]*group),
		byAckInbox: make(map[string]*member),
		byInbox:    make(map[string]*member),
	}
}

// startGroup runs the group's goroutine and returns what ends it.
func (s *service) startGroup(ctx context.Context, g *group) func() {
	ctx, cancel := context.WithCancel(ctx)
	s.sending.Go(func() {
		defer cancel()
		g.run(ctx)
	})
	return cancel
}

// recover rebuilds the state from the store, and returns the active members, whose messages do not flow
// yet.
func (s *service) recover(ctx context.Context) ([]*member, error) {
	s.log.Info("Recovering the state...")
	if err := s.acks.listen(); err != nil {
		return nil, err
	}
	state, err := s.store.Recover(ctx)
	if err != nil {
		return nil, fmt.Errorf("recover the state: %w", err)
	}
	if state.Importing != nil {
		return nil, errImporting
	}
	if state.Server == nil {
		if n := len(state.Channels); n > 0 {
			return nil, fmt.Errorf("recover the state: table ServerInfo has no row, though there are %d channels: without it their subscriptions would be lost", n)
		}
		s.log.Info("No recovered state")
		return nil, s.store.SetServerInfo(ctx, s.serverInfo())
	}
	if id := state.Server.ClusterID; id != s.opts.ClusterID {
		return nil, fmt.Errorf("cluster ID %q does not match recovered value of %q", s.opts.ClusterID, id)
	}
	s.subjects = s.subjects.recovered(state.Server)
	for _, info := range state.Clients {
		s.clients.recover(info)
	}
	var active []*member
	s.recoverDamage(state.Damaged)
	for _, c := range state.Channels {
		if s.channels.outOfService(c.Channel.Name()) != nil {
			continue // another row has its name
		}
		ch := s.channels.add(c.Channel)
		members, err := s.members.recover(ctx, ch, c.Subscriptions, s.clients.get)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			ch.index(m)
			m.client.add(m)
			if err := s.acks.add(m); err != nil {
				return nil, err
			}
		}
		active = append(active, members...)
	}
	s.log.Info(fmt.Sprintf("Recovered %d channel(s)", len(state.Channels)))
	return active, s.conns.acks.FlushTimeout(ackFlushTimeout)
}

func (s *service) serverInfo() *spb.ServerInfo {
	return &spb.ServerInfo{
		ClusterID:   s.opts.ClusterID,
		Discovery:   s.subjects.discover,
		Publish:     s.subjects.publish,
		Subscribe:   s.subjects.subscribe,
		Unsubscribe: s.subjects.unsubscribe,
		Close:       s.subjects.close,
		SubClose:    s.subjects.subClose,
	}
}

// listen subscribes to the subjects of clients' requests.
func (s *service) listen(ctx context.Context) ([]*nats.Subscription, error) {
	var subs []*nats.Subscription
	for _, it := range []struct {
		subject   string
		handle    func(context.Context, *nats.Msg)
		unlimited bool
	}{
		{s.subjects.discover, s.onConnect, true},
		{s.subjects.pings, s.onPing, true},
		{s.subjects.publish + ".>", func(_ context.Context, m *nats.Msg) { s.inbox.add(m) }, true},
		{s.subjects.subscribe, s.onSubscribe, false},
		{s.subjects.unsubscribe, func(ctx context.Context, m *nats.Msg) { s.onUnsubscribe(ctx, m, true) }, true},
		{s.subjects.subClose, func(ctx context.Context, m *nats.Msg) { s.onUnsubscribe(ctx, m, false) }, true},
		{s.subjects.close, s.onClose, true},
	} {
		sub, err := s.conns.general.Subscribe(it.subject, func(m *nats.Msg) {
			s.handle(func() { it.handle(ctx, m) })
		})
		if err != nil {
			return subs, fmt.Errorf("subscribe to %q: %w", it.subject, err)
		}
		subs = append(subs, sub)
		if it.unlimited {
			if err := unlimited(sub); err != nil {
				return subs, fmt.Errorf("subscribe to %q: %w", it.subject, err)
			}
		}
	}
	if err := s.conns.general.FlushTimeout(ackFlushTimeout); err != nil {
		return subs, fmt.Errorf("subscribe to the subjects of clients: %w", err)
	}
	// NATS answers a subscription without permission beside the flush; a server that hears nothing must not start.
	if err := s.conns.general.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return subs, fmt.Errorf("subscribe to the subjects of clients: %w", err)
	}
	return subs, nil
}

// onWriter calls f on the writer's goroutine, after what is queued now, and waits for it.
func (s *service) onWriter(f func()) {
	done := make(chan struct{})
	s.writer.queue.after(func() {
		defer close(done)
		f()
	})
	<-done
}

// bounded returns a context for one wait for the store.
func (s *service) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.StoreTimeout)
}

// wakeAll wakes every subscriber: messages may be there that nobody announced.
func (s *service) wakeAll() {
	for _, ch := range s.channels.all() {
		ch.published(nil)
	}
}

// send sends to a client what must keep its order.
func (s *service) send(subject string, data []byte) { s.sendOn(s.conns.send, subject, data) }

// sendOn publishes to a client. An error means that the connection to NATS is down or the message
// too large for a NATS server that changed its limit; the client's time-out or ack timeout covers both.
func (s *service) sendOn(conn *nats.Conn, subject string, data []byte) {
	if err := conn.Publish(subject, data); err != nil {
		s.log.Debug("Sending to a client", "subject", subject, "error", err)
	}
}

// afterReceived calls f, on a goroutine of its own, once every publish and ack that the server has already
// received was processed. Calls for one client keep their order.
func (s *service) afterReceived(client string, f func()) {
	s.requests.Add(1)
	begin, end := s.turns.take(client)
	run := func() {
		defer s.requests.Done()
		defer end()
		<-begin
		// The answers to what was published before have a connection of their own, too: they go out before f's.
		_ = s.conns.pubAcks.FlushTimeout(ackFlushTimeout)
		f()
	}
	queued := func() {
		s.inbox.after(func() { s.writer.queue.after(func() { go run() }) })
	}
	acked := func() {
		// Acks come on a connection of their own. What a client sent there before its request may still be on the
		// way: the flush waits for it, away from the goroutine of the requests.
		go func() {
			_ = s.conns.acks.FlushTimeout(ackFlushTimeout) // an error: the connection is down, and nothing is on the way
			if s.conns.acks.Barrier(queued) != nil {
				queued()
			}
		}()
	}
	if s.conns.general.Barrier(acked) != nil {
		acked()
	}
}

// unavailable notes an error of the store that is not the client's fault. A lost lease ends the service.
func (s *service) unavailable(err error) {
	switch {
	case errors.Is(err, stores.ErrFenced):
		s.lost(err)
	case errors.Is(err, stores.ErrUnavailable):
		s.log.Error("The database is unavailable", "error", err)
	}
}

// stanError gives an error the prefix that clients expect, unless it is a refusal.
func stanError(err error) error {
	if strings.HasPrefix(err.Error(), "stan: ") {
		return err
	}
	var exact refusal
	if errors.As(err, &exact) {
		return exact
	}
	return fmt.Errorf("stan: %w", err)
}
