package server

import (
	"fmt"
	"strings"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// reload reads the configuration again. It applies that of the embedded NATS server, the access file, the settings of consumers, and
// the API's certificates, token and limits. An error leaves everything as it is. What else has changed needs a restart.
func (s *server) reload(ns *natsd.Server, port *monitor.Port, natsLog *natsconn.Logger) error {
	if s.opts.Reread == nil {
		return nil
	}
	now, err := s.opts.Reread()
	if err != nil {
		return err
	}
	natsconn.RestrictSuites(now.NATS)
	where := monitor.TakePort(now.NATS)
	applyAPI := func() {}
	if s.api != nil {
		if applyAPI, err = s.api.Reload(now.APIOptions(), now.Access); err != nil {
			return err
		}
	}
	embedded := s.opts.NATSURL == ""
	if embedded && s.opts.NATS.ConfigFile != "" {
		if err := s.reloadNATS(now, ns, natsLog); err != nil {
			return err
		}
	}
	port.SetEncryption(now.NATS.TLSConfig)
	setAccess(s.rights, now.Access, s.log)
	s.rules.set(now.Consumers)
	s.shown.Store(&now.Shown)
	if t := s.active.Load(); t != nil {
		t.door.Enforce()
		s.rules.applyTo(t.consumers)
	}
	applyAPI()
	if !embedded || s.opts.NATS.ConfigFile != "" { // NATS keeps the certificate that flags name
		s.monitor.Metrics().Certificate("nats", now.NATS.TLSConfig)
	}
	if s.api != nil {
		s.monitor.Metrics().Certificate("api", s.api.Encryption())
	}
	s.log.Info("Reloaded the access file, the settings of consumers, and the API's certificates, token and limits")
	changed := s.opts.Applied.Changed(now.Applied)
	if where != s.where {
		changed = append(changed, "the monitoring port")
	}
	if len(changed) > 0 {
		s.log.Warn("Reload: these settings changed and need a restart: " + strings.Join(changed, ", "))
	}
	return nil
}

// reloadNATS applies the configuration of the embedded NATS server.
func (s *server) reloadNATS(now config.Options, ns *natsd.Server, natsLog *natsconn.Logger) error {
	// The users of the own connections are those of the start: they stay.
	nats := s.opts.NATSOptions()
	if err := nats.Admit(now.NATS); err != nil {
		return err
	}
	now.NATS.NoSigs = true
	// The server keeps the options and changes them; the log needs them as they were read.
	forLog := now.NATS.Clone()
	if err := ns.ReloadOptions(now.NATS); err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	natsLog.Open(forLog)
	if !forLog.NoLog {
		ns.SetLoggerV2(natsLog, forLog.Debug, forLog.Trace, forLog.TraceVerbose)
	}
	return nil
}
