package server

import (
	"errors"
	"strings"
	"sync"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// handleSignals serves Reopen and Reload on a goroutine of its own, until what it returns is called.
func (s *server) handleSignals(ns *natsd.Server, port *monitor.Port, natsLog *natsconn.Logger) (stop func()) {
	done := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-s.opts.Reopen:
				switch err := natsLog.Reopen(); {
				case errors.Is(err, natsconn.ErrNoLogFile):
					s.log.Info("File log re-open ignored, not a file logger")
				case err != nil:
					s.log.Error(err.Error())
				default:
					s.log.Info("File log re-opened")
				}
			case <-s.opts.Reload:
				if err := s.reload(ns, port, natsLog); err != nil {
					s.log.Error("Reload: nothing was changed: " + strings.ReplaceAll(err.Error(), "\n", "; "))
				}
			}
		}
	})
	return func() {
		close(done)
		serving.Wait()
	}
}
