package offline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go"
)

// copierPrefix begins the client IDs under which Move reads from a serving NATS Streaming.
const copierPrefix = "eventstore-copy-"

// isCopier reports whether a client of NATS Streaming was one that copied it. It does not move house.
func isCopier(client string) bool { return strings.HasPrefix(client, copierPrefix) }

// copierTimeout bounds a request to the old server.
const copierTimeout = 5 * time.Second

// Serving names a NATS Streaming that works.
type Serving struct {
	URL     string        // of its NATS servers, separated by commas
	Cluster string        // cluster ID; empty for the one that monitoring tells
	Monitor []string      // URLs of its monitoring, one for each node
	Options []nats.Option // credentials and TLS
}

// copier is a client of a serving NATS Streaming.
type copier struct {
	nc   *nats.Conn
	sc   stan.Conn
	lost chan struct{} // closed when the connection is
}

// connect connects to the server. The connection ends at the first trouble: what was on its way would be missed otherwise.
func (s *Serving) connect() (*copier, error) {
	c := &copier{lost: make(chan struct{})}
	var once sync.Once
	lost := func() { once.Do(func() { close(c.lost) }) }
	options := append([]nats.Option{
		nats.Name("eventstore copy"), nats.NoReconnect(), nats.Timeout(copierTimeout), nats.PingInterval(copierTimeout), nats.MaxPingsOutstanding(2),
		nats.ClosedHandler(func(*nats.Conn) { lost() }),
	}, s.Options...)
	var err error
	if c.nc, err = nats.Connect(s.URL, options...); err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", s.redacted(), err)
	}
	c.sc, err = stan.Connect(s.Cluster, copierPrefix+nuid.Next(), stan.NatsConn(c.nc), stan.ConnectWait(copierTimeout), stan.Pings(3, 3),
		stan.SetConnectionLostHandler(func(stan.Conn, error) { lost() }))
	if err != nil {
		c.nc.Close()
		if errors.Is(err, stan.ErrConnectReqTimeout) {
			return nil, fmt.Errorf("no NATS Streaming with the cluster ID %q answers at %s: %w", s.Cluster, s.redacted(), err)
		}
		return nil, fmt.Errorf("connect to NATS Streaming: %w", err)
	}
	return c, nil
}

// close says good-bye to the server, which then forgets the client and its subscriptions.
func (c *copier) close() {
	select {
	case <-c.lost:
	default:
		_ = c.sc.Close() // a server that does not answer finds out by itself
	}
	c.nc.Close()
}

func (s *Serving) redacted() string {
	var all []string
	for _, one := range strings.Split(s.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.Host != "" {
			all = append(all, u.Host)
		}
	}
	return strings.Join(all, ", ")
}

// life is what probe finds.
type life int

const (
	alive  life = iota
	gone        // nothing listens there, or NATS knows that nobody does
	silent      // no answer, which can mean anything
)

// probe finds out whether the server is there. Only a refusal proves that it is not.
func (s *Serving) probe(ctx context.Context) life {
	found := gone
	for _, one := range strings.Split(s.URL, ",") {
		switch s.probeNATS(ctx, strings.TrimSpace(one)) {
		case alive:
			return alive
		case silent:
			found = silent
		}
	}
	for _, one := range s.Monitor {
		if u, err := url.Parse(one); err == nil && !refused(ctx, hostPort(u, "8222")) {
			found = silent
		}
	}
	return found
}

func (s *Serving) probeNATS(ctx context.Context, at string) life {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		u = &url.URL{Host: at}
	}
	if refused(ctx, hostPort(u, "4222")) {
		return gone
	}
	nc, err := nats.Connect(at, append([]nats.Option{nats.NoReconnect(), nats.Timeout(time.Second)}, s.Options...)...)
	if err != nil {
		return silent
	}
	defer nc.Close()
	// Not a valid request, which the server answers with an error.
	_, err = nc.Request(stan.DefaultDiscoverPrefix+"."+s.Cluster, nil, time.Second)
	switch {
	case err == nil:
		return alive
	case errors.Is(err, nats.ErrNoResponders):
		return gone
	}
	return silent
}

func hostPort(u *url.URL, port string) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// refused reports whether nothing listens at an address.
func refused(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
