// Package natsconn starts the embedded NATS server, unless NATS is external. It also opens the server's own connections to
// NATS.
package natsconn

import (
	"fmt"
	"runtime"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds how long the embedded server may take to accept connections.
const startTimeout = 10 * time.Second

// mutexProfileFraction is the number of contended unlocks per sample of the mutex profile. NATS' profiling port serves
// that profile but does not turn it on.
const mutexProfileFraction = 100

// Options configure NATS.
type Options struct {
	// Embedded configures the embedded NATS server and the log.
	Embedded *natsd.Options
	// URL, if set, lists external NATS servers, separated by commas. They replace the embedded server.
	URL string
	// Login is how the server's own connections log in.
	Login *Login
	// ClusterID is part of the connection names in /connz, and with DiscoverPrefix of the subjects of requests.
	ClusterID      string
	DiscoverPrefix string
	// InboxPrefixes begin the inboxes of clients, besides DefaultInboxPrefix.
	InboxPrefixes []string
	// Streams are the streams of relays, each with patterns of the subjects to which events go.
	Streams map[string][]string
}

// StartTrial starts the embedded NATS server as StartServer does, but only for connections in process: it opens no port, no
// stream and no file. It changes o.Embedded, which must not be used again.
func StartTrial(o Options) (*natsd.Server, error) {
	o.Embedded.NoSigs = true
	RestrictSuites(o.Embedded)
	if err := o.Admit(o.Embedded); err != nil {
		return nil, fmt.Errorf("start NATS server: %w", err)
	}
	ns, err := natsd.NewServer(o.Embedded) // validates all options
	if err != nil {
		return nil, fmt.Errorf("start NATS server: %w", hideUsersIn(err))
	}
	e := o.Embedded
	e.DontListen, e.JetStream, e.ProfPort, e.PidFile, e.PortsFileDir = true, false, 0, "", ""
	e.Cluster, e.Gateway, e.LeafNode, e.Routes = natsd.ClusterOpts{}, natsd.GatewayOpts{}, natsd.LeafNodeOpts{}, nil
	e.Websocket, e.MQTT = natsd.WebsocketOpts{}, natsd.MQTTOpts{}
	ns.Start()
	if !ns.ReadyForConnections(startTimeout) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("start NATS server: not ready within %v", startTimeout)
	}
	return ns, nil
}

// StartServer starts the embedded NATS server. If NATS is external, the server that it returns only answers monitoring.
func StartServer(o Options, logger natsd.Logger) (*natsd.Server, error) {
	o.Embedded.NoSigs = true // the command handles signals
	RestrictSuites(o.Embedded)
	if o.URL == "" {
		if err := o.Admit(o.Embedded); err != nil {
			return nil, fmt.Errorf("start NATS server: %w", err)
		}
	}
	if o.Embedded.ProfPort != 0 {
		runtime.SetMutexProfileFraction(mutexProfileFraction)
	}
	ns, err := natsd.NewServer(o.Embedded)
	if err != nil {
		return nil, fmt.Errorf("start NATS server: %w", hideUsersIn(err))
	}
	if !o.Embedded.NoLog {
		ns.SetLoggerV2(logger, o.Embedded.Debug, o.Embedded.Trace, o.Embedded.TraceVerbose)
	}
	if o.URL != "" {
		return ns, nil
	}
	ns.Start()
	if !ns.ReadyForConnections(startTimeout) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("start NATS server: not ready within %v (is the port in use?)", startTimeout)
	}
	return ns, nil
}
