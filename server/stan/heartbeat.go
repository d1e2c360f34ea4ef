package stan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// probeTimeout is how long a recovered client may take to answer before its inbox counts as one that somebody listens to.
	probeTimeout = 250 * time.Millisecond
	// reconnectGrace is how long clients may take after a start of the server to connect to NATS again before a heartbeat that
	// nobody listens to counts as failed. Client libraries wait about two seconds between two attempts.
	reconnectGrace = 4 * time.Second
	// minProbe and maxProbe are the pauses between two looks for a client that is not connected to NATS.
	minProbe = 50 * time.Millisecond
	maxProbe = 5 * time.Second
)

// startHeartbeats asks the client at each interval whether it lives, until it is closed or ctx ends. A second call does
// nothing.
func (s *Server) startHeartbeats(ctx context.Context, c *client) {
	stopped, stop := context.WithCancel(ctx)
	c.mu.Lock()
	if c.closed || c.beat != nil {
		c.mu.Unlock()
		stop()
		return
	}
	c.beat = stop
	c.mu.Unlock()
	s.tasks.Go(func() {
		defer stop()
		next := time.Now().Add(s.opts.HeartbeatInterval)
		if c.away.Load() {
			next = time.Now().Add(max(s.opts.HeartbeatInterval, reconnectGrace))
		}
		timer := time.NewTimer(s.untilBeat(c, next, 0))
		defer timer.Stop()
		for pause := minProbe; ; pause = min(2*pause, maxProbe) {
			select {
			case <-stopped.Done():
				return
			case <-timer.C:
			case <-c.beatNow:
				next = time.Now()
			}
			if time.Now().Before(next) {
				s.probe(stopped, c)
				timer.Reset(s.untilBeat(c, next, pause))
				continue
			}
			if !s.heartbeat(stopped, c) {
				return
			}
			next = time.Now().Add(s.opts.HeartbeatInterval)
			timer.Reset(s.untilBeat(c, next, pause))
		}
	})
}

// untilBeat returns the time until a client's next heartbeat, or until the next look for one that is away, if that is sooner.
func (s *Server) untilBeat(c *client, next time.Time, pause time.Duration) time.Duration {
	wait := time.Until(next)
	if c.away.Load() {
		wait = min(wait, pause)
	}
	return max(wait, 0)
}

// probe looks whether somebody listens on the heartbeat inbox of a client that is away. NATS says at once if nobody does.
func (s *Server) probe(ctx context.Context, c *client) {
	request, cancel := context.WithTimeout(ctx, min(probeTimeout, s.opts.HeartbeatTimeout))
	defer cancel()
	err := s.asks.ask(request, c.info.HbInbox)
	if ctx.Err() == nil && (err == nil || errors.Is(err, context.DeadlineExceeded)) {
		s.arrived(c)
	}
}

// arrived notes that a client that was away is connected to NATS: delivery to it begins.
func (s *Server) arrived(c *client) {
	if !c.away.Load() || !c.arriving.CompareAndSwap(false, true) {
		return
	}
	s.handle(func() {
		s.requests.Go(func() {
			s.enforce(c) // who its user is can be known only now
			s.identify(c, "")
			c.away.Store(false)
			s.consumers.Wake(c)
		})
	})
}

// heartbeat asks once. It reports false when the client failed too often in a row, and is being closed.
func (s *Server) heartbeat(ctx context.Context, c *client) bool {
	request, cancel := context.WithTimeout(ctx, s.opts.HeartbeatTimeout)
	err := s.asks.ask(request, c.info.HbInbox)
	cancel()
	if ctx.Err() != nil {
		return true
	}
	if err == nil || !errors.Is(err, nats.ErrNoResponders) && errors.Is(err, context.DeadlineExceeded) {
		s.arrived(c)
	}
	if err == nil {
		if c.failedBeats.Swap(0) > 0 {
			s.consumers.Wake(c)
		}
		return true
	}
	if int(c.failedBeats.Add(1)) <= s.opts.HeartbeatFailures {
		return true
	}
	s.handle(func() { s.expire(ctx, c) })
	return false
}

// expire closes a client that does not answer, once what it sent before was processed.
func (s *Server) expire(ctx context.Context, c *client) {
	// The context of heartbeats ends when the client is closed; closing must go on.
	ctx = context.WithoutCancel(ctx)
	s.afterReceived(c.info.ID, unchecked, func(error) {
		s.log.Error(fmt.Sprintf("[Client:%s] Timed out on heartbeats", c.info.ID))
		// A client that closed in the meantime is gone as well.
		if err := s.closeClient(ctx, c); err != nil && !errors.Is(err, ErrUnknownClient) {
			s.log.Error("Failed to close a client", "client", c.info.ID, "error", err)
		}
	})
}
