// Package stan speaks the NATS Streaming protocol: connect, publish, subscribe, acknowledge, close, heartbeats. It decodes
// requests and answers them; the event log stores and reads, and consumers deliver.
//
// Requests come on NATS subscriptions of their own, each with one goroutine, on which nothing slow may run: what one client
// waits for delays no other. Requests of one client that wait for the database keep their order (turns).
package stan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Options configure a Server.
type Options struct {
	ClusterID      string
	DiscoverPrefix string
	// HeartbeatInterval is the time between two heartbeats to a client, HeartbeatTimeout how long one waits for its reply,
	// and HeartbeatFailures how many may fail in a row; the next failure closes the client.
	HeartbeatInterval time.Duration
	HeartbeatTimeout  time.Duration
	HeartbeatFailures int
	// StoreTimeout bounds how long a request waits for the database.
	StoreTimeout time.Duration
	// ReplaceDurables lets a subscription request take over a durable that is active.
	ReplaceDurables bool
	// Wildcards lets clients subscribe to patterns of event channels.
	Wildcards bool
	// SpoolDir is where published messages wait for room in memory, by default the system's directory for temporary files.
	SpoolDir string
	// InboxPrefixes begin the inboxes of clients, besides natsconn.DefaultInboxPrefix.
	InboxPrefixes []string
	// MayConsume returns what says whether a user of NATS may receive the messages of a channel, or of all channels that match a
	// pattern; nil if every user may.
	MayConsume func() func(user, channel string) bool
	// RecordAppenders records who published a message.
	RecordAppenders bool
	// Trace, if set, begins the trace of a published message.
	Trace func(channel, client, guid string, received time.Time) eventlog.Trace
	// LeaseExpiry is after how long without a sign of its holder another server may have taken the lease.
	LeaseExpiry time.Duration
	// Failed is told of every error of the store that is not the client's fault.
	Failed func(error)
}

// Metrics count requests.
type Metrics interface {
	PublishReceived(bytes int)
	// Refused is told of each refusal once. client and channel are what the request says, whatever that is.
	Refused(operation, client, channel string, err error)
}

const (
	// maxRequests bounds the requests to connect and to subscribe that are being handled. More wait in NATS. In an outage each
	// takes StoreTimeout and about 5 KB.
	maxRequests = 16384
	// maxEndings bounds the requests to close and to unsubscribe that are being handled, maxUnproven those that have to be
	// looked into first, and maxAbandoned those that await no answer. More are refused: they cannot wait where others have to
	// pass.
	maxEndings   = 65536
	maxUnproven  = 32768
	maxAbandoned = 1024
	// maxRequest bounds the bytes of one request, but for publishes. The longest names that databases take fit many times.
	maxRequest = 128 << 10
	// maxWaiting bounds the requests to one subject that wait, but for publishes. Others are lost: somebody sends them faster
	// than they can be refused.
	maxWaiting      = 65536
	maxWaitingBytes = 256 << 20
)

// Server is the door of NATS Streaming for as long as this server holds the database's lease.
type Server struct {
	opts      Options
	store     *stores.Store
	eventlog  *eventlog.Log
	consumers *consumers.Consumers
	conns     *natsconn.Conns
	metrics   Metrics
	log       *slog.Logger

	subjects  subjects
	registrar *registrar
	clients   *clients
	acks      *acks
	addresses addresses
	asks      *asks
	inbox     *inbox
	slots     chan struct{} // one for each request of inTurn that is being handled
	endings   chan struct{} // one for each request to close or to unsubscribe that is being handled
	unproven  chan struct{} // one for each request that may come from somebody else
	abandons  chan struct{} // one for each that awaits no answer

	// pubAcksSent and acksReceived wait until NATS has taken the answers to publishes, and handed over the acks on the way.
	pubAcksSent, acksReceived rounds

	// enforced counts the calls of Enforce. A subscription that was allowed before one is checked again.
	enforced atomic.Int64

	gate    sync.RWMutex // guards stopped
	stopped bool

	// requests are those being handled on goroutines of their own; tasks are the goroutines that run as long as the server.
	requests sync.WaitGroup
	turns    turns // of requests, by client
	tasks    sync.WaitGroup
}

// New returns a door that is closed. Recover and Run open it.
func New(store *stores.Store, l *eventlog.Log, conns *natsconn.Conns, o Options, m Metrics, log *slog.Logger) *Server {
	s := &Server{opts: o, store: store, eventlog: l, conns: conns, metrics: m, log: log}
	s.subjects = newSubjects(o.DiscoverPrefix, o.ClusterID)
	s.addresses = newAddresses(o.InboxPrefixes, o.ClusterID)
	s.asks = newAsks(conns.Heartbeats, o.ClusterID)
	s.registrar = newRegistrar(store, o.StoreTimeout)
	s.clients = newClients(s.registrar)
	s.inbox = newInbox(l.Admission(), o.SpoolDir, s.publish, log)
	s.slots = make(chan struct{}, maxRequests)
	s.endings = make(chan struct{}, maxEndings)
	s.unproven = make(chan struct{}, maxUnproven)
	s.abandons = make(chan struct{}, maxAbandoned)
	// After an error the connection is down, and nothing is on the way.
	s.pubAcksSent.call = func() { _ = conns.PubAcks.FlushTimeout(flushTimeout) }
	s.acksReceived.call = func() {
		if conns.Acks.IsConnected() { // else nothing is on the way
			_ = conns.Acks.FlushTimeout(flushTimeout)
		}
	}
	return s
}

// Send implements consumers.Sender: it sends to a client what must keep its order.
func (s *Server) Send(inbox string, msg []byte) { s.sendOn(s.conns.Send, inbox, msg) }

// sendOn publishes to a client. An error means that the connection to NATS is down, or the message too large for a NATS server
// that changed its limit; the client's time-out or ack timeout covers both.
func (s *Server) sendOn(conn *nats.Conn, subject string, data []byte) {
	if !s.addresses.publishReply(subject) {
		return // refused where it was named; nothing else may lead there
	}
	if err := conn.Publish(subject, data); err != nil {
		s.log.Debug("Failed to send to a client", "subject", subject, "error", err)
	}
}

// RecoverClients makes the clients of a stored state known, and uses the subjects that they know. It returns what the database
// has to remember of the server.
func (s *Server) RecoverClients(state *stores.State) (*spb.ServerInfo, error) {
	if state.Server != nil {
		s.subjects = s.subjects.recovered(state.Server)
	}
	for _, info := range state.Clients {
		if err := s.addresses.check("heartbeat inbox", info.HbInbox); err != nil {
			s.log.Warn("Dropped a stored client", "client", info.ID, "error", err)
			s.registrar.queue(info.ID, nil)
			continue
		}
		s.clients.recover(info)
	}
	return s.subjects.serverInfo(s.opts.ClusterID), nil
}

// Recovered returns the registered client to which the messages of a stored subscription may be sent, or nil.
func (s *Server) Recovered(sub *spb.SubState) consumers.Client {
	if err := s.addresses.check("inbox", sub.Inbox); err != nil {
		s.log.Warn("Closed a stored subscription", "client", sub.ClientID, "error", err)
		return nil
	}
	if c := s.clients.get(sub.ClientID); c != nil {
		return c
	}
	return nil
}

// Run listens to requests until ctx ends, and returns when those received were answered. What they wait for, such as the
// database, they wait for until patience ends, which is some time after ctx. ready is called when the door listens. members are the
// recovered active subscriptions.
func (s *Server) Run(ctx, patience context.Context, c *consumers.Consumers, members []*consumers.Member, ready func()) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.consumers = c
	s.acks = newAcks(s.conns.Acks, s.opts.ClusterID, c.Ack)
	defer func() { err = errors.Join(err, s.acks.stop()) }()
	if err := s.listenToAcks(members); err != nil {
		return err
	}
	answers, err := s.asks.listen()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answers.Unsubscribe()) }()
	// Heartbeats end after ctx, once the requests already received were answered.
	live, stopLive := context.WithCancel(patience)
	defer stopLive()
	s.tasks.Go(func() { s.inbox.run(ctx) })
	registering, stopRegistering := context.WithCancel(context.WithoutCancel(ctx))
	var registrar sync.WaitGroup
	registrar.Go(func() { s.registrar.run(registering) })
	defer registrar.Wait()
	defer stopRegistering()
	subs, err := s.listen(live)
	if err == nil {
		for _, c := range s.clients.all() {
			s.startHeartbeats(live, c)
		}
		ready()
		<-ctx.Done()
	}
	cancel() // also after an error
	for _, sub := range subs {
		err = errors.Join(err, sub.Unsubscribe())
	}
	s.stop()
	s.requests.Wait()
	acked := make(chan struct{})
	s.afterAcks(func() { close(acked) })
	<-acked
	stopLive()
	s.tasks.Wait()
	return err
}

// listenToAcks begins to receive acknowledgements, those of recovered members included.
func (s *Server) listenToAcks(members []*consumers.Member) error {
	if err := s.acks.listen(); err != nil {
		return err
	}
	for _, m := range members {
		if c, ok := m.Client().(*client); ok {
			c.add(m, "")
		}
		if err := s.acks.add(m); err != nil {
			return err
		}
	}
	if err := s.conns.Acks.FlushTimeout(flushTimeout); err != nil {
		return fmt.Errorf("subscribe to acks: %w: %w", ErrNoNATS, err)
	}
	return nil
}

// listen subscribes to the subjects of clients' requests.
func (s *Server) listen(ctx context.Context) ([]*nats.Subscription, error) {
	var subs []*nats.Subscription
	publishes := s.subjects.publish + ".>"
	for _, it := range []struct {
		subject string
		handle  func(context.Context, *nats.Msg)
	}{
		{s.subjects.discover, s.onConnect},
		{s.subjects.pings, s.onPing},
		{publishes, s.inbox.add},
		{s.subjects.subscribe, s.onSubscribe},
		{s.subjects.unsubscribe, func(ctx context.Context, m *nats.Msg) { s.onUnsubscribe(ctx, m, true) }},
		{s.subjects.subClose, func(ctx context.Context, m *nats.Msg) { s.onUnsubscribe(ctx, m, false) }},
		{s.subjects.close, s.onClose},
	} {
		answerable, size, waiting, waitingBytes := s.addresses.reply, maxRequest, maxWaiting, maxWaitingBytes
		if it.subject == publishes {
			answerable, size, waiting, waitingBytes = s.addresses.publishReply, math.MaxInt, -1, -1
		}
		sub, err := s.conns.General.Subscribe(it.subject, func(m *nats.Msg) {
			switch {
			case m.Reply != "" && !answerable(m.Reply):
				s.refuseReply(m)
			case len(m.Data) > size:
				s.metrics.Refused(opRequest, "", "", fmt.Errorf("on %q: %w: %d bytes", m.Subject, errLongRequest, len(m.Data)))
			default:
				s.handle(func() { it.handle(ctx, m) })
			}
		})
		if err != nil {
			return subs, fmt.Errorf("subscribe to %q: %w", it.subject, err)
		}
		subs = append(subs, sub)
		if err := sub.SetPendingLimits(waiting, waitingBytes); err != nil {
			return subs, fmt.Errorf("subscribe to %q: %w", it.subject, err)
		}
	}
	if err := s.conns.General.FlushTimeout(flushTimeout); err != nil {
		return subs, fmt.Errorf("subscribe to the subjects of clients: %w: %w", ErrNoNATS, err)
	}
	if err := permitted(s.conns.General); err != nil {
		return subs, err
	}
	return subs, nil
}

// handle calls a request's handler, unless the server has stopped.
func (s *Server) handle(f func()) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if !s.stopped {
		f()
	}
}

// stop returns when no handler runs or will run any more.
func (s *Server) stop() {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.stopped = true
}

// inTurn calls f on a goroutine of its own, after what was asked for with the same key before. It waits while too many requests
// are being handled.
func (s *Server) inTurn(key string, f func()) {
	s.slots <- struct{}{}
	s.checked(s.slots, key, unchecked, func(error) { f() })
}

// checked is inTurn for a request that has one of the slots. What check returns goes to f; checks do not wait for their turn.
func (s *Server) checked(slots chan struct{}, key string, check func() error, f func(error)) {
	begin, end := s.turns.take(key)
	s.requests.Go(func() {
		defer func() { <-slots }()
		defer end()
		err := check()
		<-begin
		f(err)
	})
}

// subscribing calls f in turn, or refuse if check fails, or too many are being handled.
func (s *Server) subscribing(c *client, reply string, check func() error, refuse func(error), f func()) {
	slots := s.slots
	if c.owner().proves(reply) {
		slots <- struct{}{}
	} else if slots = s.unproven; !occupy(slots) {
		refuse(errBusy)
		return
	}
	s.checked(slots, turn(c.info.ID, originOf(reply)), check, either(refuse, f))
}

// ending calls f as afterReceived does, or refuse if check fails, or too many are being handled. What shows that the client itself
// asks is not checked.
func (s *Server) ending(id, reply string, check func() error, refuse func(error), f func()) {
	c := s.clients.get(id)
	slots, from := s.endings, originOf(reply)
	switch {
	case reply == "":
		slots, check = s.abandons, unchecked
		if c != nil {
			from = c.origin
		}
	case c != nil && c.owner().proves(reply):
		check = unchecked
	default:
		slots = s.unproven
	}
	if !occupy(slots) {
		refuse(errBusy)
		return
	}
	answer := either(refuse, f)
	s.afterReceived(turn(id, from), check, func(err error) {
		defer func() { <-slots }()
		answer(err)
	})
}

// either returns what calls refuse with an error, and f without one.
func either(refuse func(error), f func()) func(error) {
	return func(err error) {
		if err != nil {
			refuse(err)
			return
		}
		f()
	}
}

// occupy takes one of the slots. It reports false if there is none.
func occupy(slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// afterReceived calls f, on a goroutine of its own, once every publish and ack that the server has already received was
// processed. Calls with one key keep their order. If check fails, its error goes to f, which waits for its turn only.
func (s *Server) afterReceived(key string, check func() error, f func(error)) {
	s.requests.Add(1)
	begin, end := s.turns.take(key)
	run := func(err error) {
		defer s.requests.Done()
		defer end()
		<-begin
		f(err)
	}
	queued := func() {
		s.inbox.after(func() {
			s.eventlog.After(func() {
				go func() {
					// The answers to what was published before have a connection of their own, too: they go out before f's.
					s.pubAcksSent.wait()
					run(nil)
				}()
			})
		})
	}
	acked := func() { go s.afterAcks(queued) } // away from the goroutine of the requests
	go func() {
		if err := check(); err != nil {
			run(err)
			return
		}
		if s.conns.General.Barrier(acked) != nil {
			acked()
		}
	}()
}

// afterAcks calls f once the acks that NATS has received were processed. They come on a connection of their own, so what a client sent
// there before a request may still be on the way.
func (s *Server) afterAcks(f func()) {
	s.acksReceived.wait()
	if s.conns.Acks.Barrier(f) != nil {
		f()
	}
}

// unchecked is the check of what needs none.
func unchecked() error { return nil }

// bounded returns a context for one wait for the store.
func (s *Server) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.StoreTimeout)
}

// failed notes an error of the store that is not the client's fault.
func (s *Server) failed(err error) {
	if err != nil {
		s.opts.Failed(err)
	}
}
