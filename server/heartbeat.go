package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// startHeartbeats asks the client at each interval whether it lives, until it is closed or ctx ends. A second call does
// nothing.
func (s *service) startHeartbeats(ctx context.Context, c *client) {
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
		timer := time.NewTimer(s.opts.HeartbeatInterval)
		defer timer.Stop()
		for {
			select {
			case <-stopped.Done():
				return
			case <-timer.C:
			case <-c.beatNow:
			}
			if !s.heartbeat(stopped, c) {
				return
			}
			timer.Reset(s.opts.HeartbeatInterval)
		}
	})
}

// heartbeat asks once. It reports false when the client failed too often in a row, and is being closed.
func (s *service) heartbeat(ctx context.Context, c *client) bool {
	request, cancel := context.WithTimeout(ctx, s.opts.HeartbeatTimeout)
	_, err := s.conns.hb.RequestWithContext(request, c.info.HbInbox, nil)
	cancel()
	if ctx.Err() != nil {
		return true
	}
	if err == nil {
		c.failedBeats.Store(0)
		return true
	}
	if int(c.failedBeats.Add(1)) <= s.opts.HeartbeatFailures {
		return true
	}
	s.handle(func() { s.expire(ctx, c) })
	return false
}

// expire closes a client that does not answer, once what it sent before was processed.
func (s *service) expire(ctx context.Context, c *client) {
	// The context of heartbeats ends when the client is closed; closing must go on.
	ctx = context.WithoutCancel(ctx)
	s.clients.lapsed(c)
	s.afterReceived(c.info.ID, func() {
		s.log.Error(fmt.Sprintf("[Client:%s] Timed out on heartbeats", c.info.ID))
		// A client that closed in the meantime is gone as well.
		if err := s.closeClient(ctx, c); err != nil && !errors.Is(err, errUnknownClient) {
			s.log.Error("Closing a client", "client", c.info.ID, "error", err)
		}
	})
}
