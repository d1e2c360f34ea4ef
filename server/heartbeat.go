package server

import (
	"context"
	"fmt"
	"time"
)

// startHeartbeats asks the client at each interval whether it lives, until it is closed or ctx ends.
func (s *service) startHeartbeats(ctx context.Context, c *client) {
	stopped, stop := context.WithCancel(ctx)
	c.mu.Lock()
	if c.closed {
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
			}
			s.heartbeat(stopped, c)
			timer.Reset(s.opts.HeartbeatInterval)
		}
	})
}

// heartbeat asks once, and closes a client that failed too often in a row.
func (s *service) heartbeat(ctx context.Context, c *client) {
	request, cancel := context.WithTimeout(ctx, s.opts.HeartbeatTimeout)
	_, err := s.conns.hb.RequestWithContext(request, c.info.HbInbox, nil)
	cancel()
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		c.failedBeats.Store(0)
		return
	}
	if int(c.failedBeats.Add(1)) <= s.opts.HeartbeatFailures {
		return
	}
	s.log.Info(fmt.Sprintf("[Client:%s] Timed out on heartbeats", c.info.ID))
	// The heartbeat's own context ends when the client is closed; closing must go on.
	if err := s.closeClient(context.WithoutCancel(ctx), c); err != nil {
		s.log.Error("Closing a client", "client", c.info.ID, "error", err)
	}
}
