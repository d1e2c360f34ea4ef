// Package httpport opens the HTTP ports: the API's and that of monitoring. No client of a port can take all descriptors,
// or memory without bound, by opening connections, by sending slowly or by not reading.
package httpport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	// headerTimeout bounds the time for a client to send a request header, and for the TLS handshake.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection may stay without a request.
	idleTimeout = 2 * time.Minute
	// maxHeader bounds a request header, and the URL in it.
	maxHeader = 64 << 10
	// pingAfter is how long an HTTP/2 connection may be silent before it is pinged; pingTimeout bounds the reply.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// stuckTimeout is how long an HTTP/2 connection may take no byte that is ready for it.
	stuckTimeout = 30 * time.Second
	// maxStreams bounds the requests and subscriptions of an HTTP/2 connection; streamBuffer bounds the unread bytes of
	// each. All buffers together fit into the connection's window, so that requests waiting for memory do not block those
	// that have it. maxFrame is the least that HTTP/2 allows: a frame is read into memory as a whole.
	maxStreams   = 250
	streamBuffer = 64 << 10
	maxFrame     = 16 << 10
	// warnInterval is the least time between two warnings about refused connections.
	warnInterval = time.Minute
)

// Options configure a port.
type Options struct {
	// Name of the port in the log.
	Name string
	// Host and Port are where it listens. Port -1 picks a free one.
	Host string
	Port int
	// TLS is nil for plain HTTP.
	TLS *tls.Config
	// HTTP1 is true for a port without HTTP/2.
	HTTP1 bool
	// Limits bound its connections. Total is lowered to half of what the process may open.
	Limits Limits
	// Refused, if set, is called for each connection that is closed because of Limits.
	Refused func()
}

// Port is an open HTTP port.
type Port struct {
	options  Options
	listener *listener
	http     http.Server
	log      *slog.Logger

	mu      sync.Mutex // guards the fields below
	refused int        // since the last warning
	warned  time.Time
}

// Listen opens a port. Connections wait until Serve.
func Listen(o Options, log *slog.Logger) (*Port, error) {
	inner, err := net.Listen("tcp", net.JoinHostPort(o.Host, strconv.Itoa(max(o.Port, 0))))
	if err != nil {
		return nil, err
	}
	p := &Port{options: o, log: log}
	p.listener = &listener{Listener: inner, peers: NewPeers(affordable(o.Limits)), refused: p.refuse}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!o.HTTP1)
	protocols.SetUnencryptedHTTP2(!o.HTTP1 && o.TLS == nil)
	p.http = http.Server{
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
			WriteByteTimeout:              stuckTimeout,
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              maxFrame,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: maxStreams * streamBuffer,
		},
		ConnState: p.listener.state,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p, nil
}

// affordable lowers the total to half of the descriptors that the process may open, of which one peer gets half.
func affordable(l Limits) Limits {
	if most := int(min(descriptors(), math.MaxInt32) / 2); most > 0 && most < l.Total {
		l.Total, l.PerPeer = most, min(l.PerPeer, most/2)
	}
	return l
}

// Addr returns where the port listens.
func (p *Port) Addr() *net.TCPAddr { return p.listener.Addr().(*net.TCPAddr) }

// Scheme returns http or https.
func (p *Port) Scheme() string {
	if p.options.TLS != nil {
		return "https"
	}
	return "http"
}

// SetLimits changes the limits of connections. Those that exceed them stay until they end.
func (p *Port) SetLimits(l Limits) { p.listener.peers.SetLimits(affordable(l)) }

// Serve serves until Stop or Close.
func (p *Port) Serve(handler http.Handler) error {
	p.http.Handler = handler
	var l net.Listener = p.listener
	if p.options.TLS != nil {
		names := []string{"h2", "http/1.1"}
		if p.options.HTTP1 {
			names = names[1:]
		}
		l = tls.NewListener(l, secure(p.options.TLS, names))
	}
	if err := p.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Stop waits for running requests until ctx ends, then breaks them off.
func (p *Port) Stop(ctx context.Context) {
	if err := p.http.Shutdown(ctx); err != nil {
		_ = p.http.Close()
	}
	_ = p.listener.Close() // in case that Serve was never called
}

// refuse counts a connection that is closed for lack of room. Now and then it is a line of the log.
func (p *Port) refuse(peer netip.Prefix, v verdict) {
	if p.options.Refused != nil {
		p.options.Refused()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused++
	if time.Since(p.warned) < warnInterval {
		return
	}
	l := p.listener.peers.Limits()
	reason := fmt.Sprintf("%d connections are open", l.Total)
	if v == peerFull {
		reason = fmt.Sprintf("%d connections of this client are open", l.PerPeer)
	}
	p.log.Warn(p.options.Name+" refuses connections", "reason", reason, "client", peer.Addr().String(), "refused", p.refused)
	p.refused, p.warned = 0, time.Now()
}
