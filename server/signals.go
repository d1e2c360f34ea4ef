package server

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// handleSignals serves Reopen and Reload on a goroutine of its own, until what it returns is called.
func handleSignals(o *config.Options, ns *natsd.Server, port *monitor.Port, natsLog *natsconn.Logger, log *slog.Logger) (stop func()) {
	done := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-o.Reopen:
				switch err := natsLog.Reopen(); {
				case errors.Is(err, natsconn.ErrNoLogFile):
					log.Info("File log re-open ignored, not a file logger")
				case err != nil:
					log.Error(err.Error())
				default:
					log.Info("File log re-opened")
				}
			case <-o.Reload:
				if o.NATSURL != "" {
					log.Warn("Reload supported only for embedded NATS Server's configuration")
					continue
				}
				if err := reload(o, ns, port, natsLog); err != nil {
					log.Error("Reload: " + err.Error())
				}
			}
		}
	})
	return func() {
		close(done)
		serving.Wait()
	}
}

// reload applies the configuration of the embedded NATS server again. Options of the streaming part are read at the start
// only; that they are still valid is checked.
func reload(o *config.Options, ns *natsd.Server, port *monitor.Port, natsLog *natsconn.Logger) error {
	if o.NATS.ConfigFile == "" || o.Reread == nil {
		return errors.New("can only reload a configuration file (-c)")
	}
	now, err := o.Reread()
	if err != nil {
		return err
	}
	// The users of the own connections are those of the start: they stay.
	nats := o.NATSOptions()
	if err := nats.Admit(now.NATS); err != nil {
		return err
	}
	now.NATS.NoSigs = true
	natsconn.RestrictSuites(now.NATS)
	monitor.TakePort(now.NATS)
	// The server keeps the options and changes them; the log needs them as they were read.
	forLog := now.NATS.Clone()
	if err := ns.ReloadOptions(now.NATS); err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	port.SetEncryption(now.NATS.TLSConfig)
	natsLog.Open(forLog)
	if !forLog.NoLog {
		ns.SetLoggerV2(natsLog, forLog.Debug, forLog.Trace, forLog.TraceVerbose)
	}
	return nil
}
