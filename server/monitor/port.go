package monitor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/httpport"
)

// stopTimeout bounds how long the port waits for requests when it closes.
const stopTimeout = time.Second

// connectionLimits bound the connections of the monitoring port.
var connectionLimits = httpport.Limits{Total: 512, PerPeer: 256}

// Where is what the options of the NATS server say about its monitoring port.
type Where struct {
	Host     string
	HTTP     int // port; 0: none, -1: any
	HTTPS    int // the same, with TLS
	BasePath string
}

// TakePort takes the monitoring port out of the options of the NATS server, which would open it without bounds.
func TakePort(o *natsd.Options) Where {
	w := Where{Host: o.HTTPHost, HTTP: o.HTTPPort, HTTPS: o.HTTPSPort, BasePath: o.HTTPBasePath}
	if w.Host == "" {
		w.Host = o.Host
	}
	if w.Host == "" {
		w.Host = natsd.DEFAULT_HOST
	}
	o.HTTPPort, o.HTTPSPort = 0, 0
	if natsd.FlagSnapshot != nil { // a reload merges it into the options
		natsd.FlagSnapshot.HTTPPort, natsd.FlagSnapshot.HTTPSPort = 0, 0
	}
	return w
}

// Validate returns an error if there can be no such port, with TLS as the NATS server has it.
func (w Where) Validate(encryption *tls.Config) error {
	first, _, _ := strings.Cut(strings.TrimPrefix(path.Join("/", w.BasePath), "/"), "/")
	switch {
	case first == "streaming" || first == "metrics":
		return fmt.Errorf("http_base_path: %q is where pages of NATS Streaming are: choose another path", w.BasePath)
	case w.HTTP != 0 && w.HTTPS != 0:
		return fmt.Errorf("can't specify both HTTP (%v) and HTTPs (%v) ports: leave out one of them", w.HTTP, w.HTTPS)
	case w.HTTPS != 0 && encryption == nil:
		return errors.New("TLS cert and key required for HTTPS: set -tlscert and -tlskey, or the block tls")
	}
	return nil
}

// Port is the open monitoring port.
type Port struct {
	*httpport.Port
	basePath   string
	encryption atomic.Pointer[tls.Config]
	serving    sync.WaitGroup
}

// Listen opens the port, with TLS as the NATS server has it, and serves until Close. It returns nil if there is to be no
// port.
func (m *Monitor) Listen(w Where, encryption *tls.Config, ns *natsd.Server) (*Port, error) {
	o := httpport.Options{
		Name: "The monitoring port", Host: w.Host, Port: w.HTTP, HTTP1: true, Limits: connectionLimits,
		Refused: m.metrics.ConnectionRefused("monitoring"),
	}
	p := &Port{basePath: w.BasePath}
	if err := w.Validate(encryption); err != nil {
		return nil, err
	}
	switch {
	case w.HTTP == 0 && w.HTTPS == 0:
		return nil, nil
	case w.HTTPS != 0:
		p.SetEncryption(encryption)
		o.Port, o.TLS = w.HTTPS, &tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return p.encryption.Load(), nil },
		}
	}
	var err error
	if p.Port, err = httpport.Listen(o, m.log); err != nil {
		return nil, fmt.Errorf("can't listen to the monitor port: %w", err)
	}
	m.log.Info(fmt.Sprintf("Starting %s monitor on %s", p.Scheme(), net.JoinHostPort(w.Host, strconv.Itoa(p.Addr().Port))))
	handler := httpport.Deadlines(m.pages(ns, p), nil)
	p.serving.Go(func() {
		if err := p.Serve(handler); err != nil {
			m.log.Error("The monitoring port failed", "error", err)
		}
	})
	return p, nil
}

// SetEncryption changes the certificates, as a reload of the NATS server does. They are those of the NATS server, but
// clients need none: they may have no account of NATS.
func (p *Port) SetEncryption(c *tls.Config) {
	if p == nil || c == nil {
		return
	}
	c = c.Clone()
	switch {
	case c.VerifyConnection != nil: // NATS checks certificates by OCSP, and demands one here too
	case c.ClientCAs != nil:
		c.ClientAuth = tls.VerifyClientCertIfGiven // which may name a principal
	default:
		c.ClientAuth = tls.NoClientCert
	}
	p.encryption.Store(c)
}

// Close closes the port.
func (p *Port) Close() {
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	p.Stop(ctx)
	p.serving.Wait()
}
