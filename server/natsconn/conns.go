package natsconn

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// reconnectWait is the pause between two attempts to reach NATS.
const reconnectWait = 250 * time.Millisecond

// dropInterval is the shortest time between two lines of one connection about requests that it drops.
const dropInterval = 10 * time.Second

// Conns are the server's own connections to NATS. Each kind of traffic has one, so that it does not wait behind
// another.
type Conns struct {
	General    *nats.Conn // requests and published messages
	Send       *nats.Conn // deliveries and replies to requests, in order for each client
	PubAcks    *nats.Conn // replies to publishers, which must not wait behind a replay
	Acks       *nats.Conn // acks of subscribers
	Heartbeats *nats.Conn
	Relay      *nats.Conn // messages to streams; nil without relays

	Peers *Peers
}

// Connect opens all connections. ns is the embedded server, nil if NATS is external.
func Connect(o Options, ns *natsd.Server, log *slog.Logger) (*Conns, error) {
	c := &Conns{}
	for _, it := range []struct {
		kind   string
		conn   **nats.Conn
		wanted bool
	}{
		{general, &c.General, true}, {send, &c.Send, true}, {pubAcks, &c.PubAcks, true}, {acks, &c.Acks, true},
		{heartbeats, &c.Heartbeats, true}, {relaying, &c.Relay, len(o.Streams) > 0},
	} {
		if !it.wanted {
			continue
		}
		nc, err := connect(o, ns, it.kind, log)
		if err != nil {
			c.Close()
			return nil, err
		}
		*it.conn = nc
	}
	c.Peers = &Peers{own: c.General, operators: trustsOperators(o.Embedded)}
	if o.URL == "" {
		c.Peers.ns = ns
	}
	return c, nil
}

// connectionName is the name of an own connection in /connz.
func connectionName(clusterID, kind string) string { return "_NSS-" + clusterID + "-" + kind }

// inProcessRetries is how often to connect to the embedded server again. When a busy machine pauses for 2 s, the handshake
// fails: it times out, or the server's first PING comes before its PONG.
const inProcessRetries = 3

func connect(o Options, ns nats.InProcessConnProvider, kind string, log *slog.Logger) (*nats.Conn, error) {
	name := connectionName(o.ClusterID, kind)
	var dropped time.Time // of the last line about dropped requests; NATS calls handlers one at a time
	opts := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1),   // a message that cannot be sent now is redelivered later
		nats.IgnoreAuthErrorAbort(), // a later configuration may accept the login
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("Disconnected from NATS", "connection", name, "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			if o.URL == "" { // the connection is in process
				log.Info("Reconnected to NATS", "connection", name)
				return
			}
			log.Info("Reconnected to NATS", "connection", name, "url", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			if errors.Is(err, nats.ErrSlowConsumer) {
				if time.Since(dropped) < dropInterval {
					return // under a flood there is one each time a subject begins to drop
				}
				dropped = time.Now()
			}
			log.Error("NATS error", "connection", name, "subject", subject, "error", err)
		}),
	}
	url := o.URL
	if url == "" {
		url = nats.DefaultURL // not dialled: the connection is in process
		opts = append(opts, nats.InProcessServer(ns))
	} else if !strings.Contains(url, ",") {
		// Clients in other languages use schemes such as tcp://.
		if _, rest, ok := strings.Cut(url, "://"); ok && !strings.HasPrefix(url, "tls://") {
			url = "nats://" + rest
		}
	}
	login, err := o.Login.options(o.Embedded, kind, o.URL == "")
	if err != nil {
		return nil, err
	}
	opts = append(opts, login...)
	nc, err := nats.Connect(url, opts...)
	for range inProcessRetries {
		if err == nil || o.URL != "" {
			break
		}
		nc, err = nats.Connect(url, opts...)
	}
	if err != nil {
		if errors.Is(err, nats.ErrNoServers) {
			return nil, fmt.Errorf("connect to NATS at %q: %w: start NATS there, or check -ns, and tls if it wants it", RedactURLs(url), err)
		}
		return nil, fmt.Errorf("connect %s to NATS: %w", name, hideUsersIn(err))
	}
	return nc, nil
}

// Close ends all connections.
func (c *Conns) Close() {
	for _, nc := range []*nats.Conn{c.General, c.Send, c.PubAcks, c.Acks, c.Heartbeats, c.Relay} {
		if nc != nil {
			nc.Close()
		}
	}
}

// Connected reports whether the connections that serve clients are up. They reconnect one after the other.
func (c *Conns) Connected() bool {
	for _, nc := range []*nats.Conn{c.General, c.Send, c.PubAcks, c.Acks, c.Heartbeats} {
		if !nc.IsConnected() {
			return false
		}
	}
	return true
}
