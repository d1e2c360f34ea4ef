package server

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsStartTimeout bounds how long the embedded server may take to accept connections.
const natsStartTimeout = 10 * time.Second

// mutexProfileFraction is how many contended unlocks go into one sample of the mutex profile, which the NATS server's
// profiling port shows but does not turn on.
const mutexProfileFraction = 100

// startNATS starts the embedded NATS server, or, with external servers, only its monitoring
// port.
func startNATS(o *Options, logger natsd.Logger) (*natsd.Server, error) {
	o.NATS.NoSigs = true // signals are handled once, by the command
	if o.NATSURL == "" {
		if err := o.Login.admit(o.NATS); err != nil {
			return nil, fmt.Errorf("start NATS server: %w", err)
		}
	}
	if o.NATS.ProfPort != 0 {
		runtime.SetMutexProfileFraction(mutexProfileFraction)
	}
	ns, err := natsd.NewServer(o.NATS)
	if err != nil {
		return nil, fmt.Errorf("start NATS server: %w", err)
	}
	if !o.NATS.NoLog {
		ns.SetLoggerV2(logger, o.NATS.Debug, o.NATS.Trace, o.NATS.TraceVerbose)
	}
	if o.NATSURL != "" {
		if err := ns.StartMonitoring(); err != nil {
			return nil, fmt.Errorf("start monitoring: %w", err)
		}
		return ns, nil
	}
	ns.Start()
	if !ns.ReadyForConnections(natsStartTimeout) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("start NATS server: not ready within %v (is the port in use?)", natsStartTimeout)
	}
	return ns, nil
}

// conns are the server's own NATS connections. They are separate so that one kind of traffic
// does not wait behind another.
type conns struct {
	general *nats.Conn // requests and published messages
	send    *nats.Conn // deliveries and answers to requests: per client, order is kept
	pubAcks *nats.Conn // answers to published messages, which must not wait behind what is replayed
	acks    *nats.Conn // acks of subscribers
	hb      *nats.Conn // heartbeats
	relay   *nats.Conn // messages to streams; nil if no route goes to one
}

func connect(o *Options, ns *natsd.Server, log *slog.Logger) (*conns, error) {
	c := &conns{}
	for _, it := range []struct {
		name string
		conn **nats.Conn
	}{{"general", &c.general}, {"send", &c.send}, {"pubacks", &c.pubAcks}, {"acks", &c.acks}, {"hb", &c.hb}} {
		nc, err := connectOne(o, ns, "_NSS-"+o.ClusterID+"-"+it.name, log)
		if err != nil {
			c.close()
			return nil, err
		}
		*it.conn = nc
	}
	if hasStreams(o.Routes) {
		var err error
		if c.relay, err = connectOne(o, ns, "_NSS-"+o.ClusterID+"-relay", log); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func connectOne(o *Options, ns *natsd.Server, name string, log *slog.Logger) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectBufSize(-1),   // what cannot be sent now is redelivered, not sent late
		nats.IgnoreAuthErrorAbort(), // who is refused now may be admitted by a later configuration
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("Disconnected from NATS", "connection", name, "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("Reconnected to NATS", "connection", name, "url", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("NATS error", "connection", name, "subject", subject, "error", err)
		}),
	}
	url := o.NATSURL
	if url == "" {
		url = nats.DefaultURL // not dialled: the connection is made in process
		opts = append(opts, nats.InProcessServer(ns))
	} else if !strings.Contains(url, ",") {
		// Clients of other languages are configured with schemes such as tcp://.
		if _, rest, ok := strings.Cut(url, "://"); ok && !strings.HasPrefix(url, "tls://") {
			url = "nats://" + rest
		}
	}
	login, err := o.Login.options(o.NATS, o.NATSURL == "")
	if err != nil {
		return nil, err
	}
	opts = append(opts, login...)
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		if errors.Is(err, nats.ErrNoServers) {
			return nil, fmt.Errorf("connect to NATS at %q: %w", redactURLs(url), err)
		}
		return nil, fmt.Errorf("connect %s to NATS: %w", name, err)
	}
	return nc, nil
}

// redactURLs hides user information in a comma-separated list of URLs.
func redactURLs(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		if at := strings.LastIndex(u, "@"); at >= 0 {
			scheme := ""
			if j := strings.Index(u, "://"); j >= 0 && j < at {
				scheme = u[:j+3]
			}
			list[i] = scheme + "***" + u[at:]
		}
	}
	return strings.Join(list, ",")
}

func (c *conns) close() {
	for _, nc := range []*nats.Conn{c.general, c.send, c.pubAcks, c.acks, c.hb, c.relay} {
		if nc != nil {
			nc.Close()
		}
	}
}

// unlimited lifts the pending limits of a subscription: publishers and acks are bounded by
// their clients, and dropping them here would lose them without an error.
func unlimited(sub *nats.Subscription) error {
	return sub.SetPendingLimits(-1, -1)
}
