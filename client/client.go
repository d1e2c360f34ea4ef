package eventstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/trace"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// Options configure a Client.
type Options struct {
	// URLs are the base URLs of the servers' APIs, each once: http://127.0.0.1:4280, or https:// for servers with TLS. Only
	// one server leads at a time; if a server does not answer, the client tries the next. See also Client.WithStandbyReads.
	URLs []string
	// Token, if not empty, is sent as a bearer token with each call.
	Token string
	// TLS configures connections to https URLs, including the client certificate if the servers require one. nil uses
	// the system's root certificates.
	TLS *tls.Config
	// HTTPClient, if not nil, sends the requests, in place of a client that the library makes; TLS must be nil then. Give it
	// no Timeout, which would end subscriptions. Consumer needs one that speaks HTTP/2, without TLS too if the URLs are http.
	HTTPClient *http.Client
	// Interceptors see each attempt of each call, after the library has set its headers. The first is the outermost.
	Interceptors []connect.Interceptor
	// UserAgent, if not empty, is sent as User-Agent with each call, such as "billing/1.4".
	UserAgent string
	// TracerProvider creates the spans of calls, and those of events that a Consumer handles; a Reactor has its own. nil means
	// the global one, of package otel.
	TracerProvider trace.TracerProvider
}

// Client calls the API of the event store. It is safe for concurrent use. It retries calls with backoff while no server
// is available, until the call's context ends. Pass a context with a deadline. A server that answers but does not fit the
// Options is ErrMismatch at once.
type Client struct {
	close    func()
	urls     []string
	servers  []eventstorev1connect.EventStoreClient // of urls
	tracing  *tracing
	current  *atomic.Uint32 // index of the server to call, modulo len(servers)
	standbys *standbyReads  // nil: only the server that leads answers
	least    uint64         // position that reads must know
	turns    *turns         // of the commands of Repositories and Deciders
}

// New returns a client. It connects on the first call. The error says which of the Options is wrong.
func New(o Options) (*Client, error) {
	urls, err := serverURLs(o.URLs)
	if err != nil {
		return nil, err
	}
	if o.HTTPClient != nil && o.TLS != nil {
		return nil, errors.New("eventstore: Options.HTTPClient and Options.TLS exclude each other: configure TLS in the client's transport")
	}
	c := &Client{urls: urls, close: func() {}, tracing: newTracing(o.TracerProvider), current: new(atomic.Uint32), turns: newTurns()}
	sender := o.HTTPClient
	if sender == nil {
		own := newTransport(o.TLS)
		c.close, sender = own.CloseIdleConnections, &http.Client{Transport: own, CheckRedirect: stay}
	}
	marking := *sender
	marking.Transport = transport{cmp.Or(sender.Transport, http.DefaultTransport)}
	interceptors := append([]connect.Interceptor{headers{token: o.Token, userAgent: o.UserAgent}, c.tracing}, o.Interceptors...)
	for _, url := range urls {
		c.servers = append(c.servers, eventstorev1connect.NewEventStoreClient(&marking, url, connect.WithInterceptors(interceptors...)))
	}
	return c, nil
}

// newTransport returns a transport that speaks HTTP/2 with and without TLS.
func newTransport(config *tls.Config) *http.Transport {
	t := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
		DialContext: dialer(new(net.Dialer).DialContext),
	}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	// Pings detect a server that disappeared without closing the connection.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}
	return t
}

// stay follows no redirect: the events would go along, to whatever host it names.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close closes idle connections, except those of Options.HTTPClient.
func (c *Client) Close() { c.close() }

// write tries the servers in turn until the one that leads answers or ctx ends.
func (c *Client) write(ctx context.Context, what string, call func(context.Context, eventstorev1connect.EventStoreClient) error) error {
	return c.do(ctx, what, c.current, call)
}

// read is like write, but a standby may answer if the client accepts that.
func (c *Client) read(ctx context.Context, what string, call func(context.Context, eventstorev1connect.EventStoreClient) error) error {
	return c.do(ctx, what, c.readFrom(), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		ctx, info := connect.NewClientContext(ctx)
		c.ask(info.RequestHeader())
		err := call(ctx, server)
		if err == nil {
			c.standbys.answered(info.ResponseHeader())
		}
		return err
	})
}

// readFrom is the index of the server to read from.
func (c *Client) readFrom() *atomic.Uint32 {
	if c.standbys != nil {
		return &c.standbys.current
	}
	return c.current
}

// do calls the server at an index, and others in turn, until one answers or ctx ends.
func (c *Client) do(ctx context.Context, what string, at *atomic.Uint32, call func(context.Context, eventstorev1connect.EventStoreClient) error) error {
	var pause backoff
	unfit := make([]error, len(c.servers)) // of each server that does not fit the options
	for {
		current := at.Load()
		index := int(current) % len(c.servers)
		err := call(ctx, c.servers[index])
		if err == nil {
			return nil
		}
		unfit[index] = mismatch(ctx, c.urls[index], err)
		switch {
		case !slices.Contains(unfit, nil):
			return fmt.Errorf("%s: %w", what, cmp.Or(one(unfit), errors.Join(unfit...)))
		case ctx.Err() != nil && isEnd(err):
			return fmt.Errorf("%s: %w, last error: %w", what, context.Cause(ctx), err)
		case unfit[index] == nil && !isTransient(ctx, err):
			return fmt.Errorf("%s: %w", what, clientError(err))
		}
		at.CompareAndSwap(current, current+1)
		if ended := pause.wait(ctx); ended != nil {
			return fmt.Errorf("%s: %w, last error: %w", what, ended, cmp.Or(errors.Join(unfit...), err))
		}
	}
}

// one returns the only error of a list.
func one(all []error) error {
	if len(all) == 1 {
		return all[0]
	}
	return nil
}

// Get returns the event with this ID in the channel, or ErrNotFound.
func (c *Client) Get(ctx context.Context, channel, eventID string) (*Event, error) {
	var event *Event
	err := c.read(ctx, fmt.Sprintf("get event %q of channel %q", eventID, channel), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		response, err := server.GetEvent(ctx, &eventstorev1.GetEventRequest{
			Channel: channel, Key: &eventstorev1.GetEventRequest_EventId{EventId: eventID},
		})
		if err == nil {
			event = FromRecorded(response.GetEvent())
		}
		return err
	})
	return event, err
}

// Load returns the events of an aggregate in order, starting at fromVersion. The result is empty if there are none.
func (c *Client) Load(ctx context.Context, channel, aggregateType, aggregateID string, fromVersion uint64) ([]*Event, error) {
	var events []*Event
	what := fmt.Sprintf("load aggregate %q of channel %q", aggregateID, channel)
	err := c.read(ctx, what, func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		events = nil
		stream, err := server.ReadAggregate(ctx, &eventstorev1.ReadAggregateRequest{
			Channel: channel, AggregateType: aggregateType, AggregateId: aggregateID, FromVersion: fromVersion,
		})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		for stream.Receive() {
			for _, e := range stream.Msg().GetEvents() {
				events = append(events, FromRecorded(e))
			}
		}
		return stream.Err()
	})
	switch {
	case errors.Is(err, ErrNotFound): // the first append creates the channel
		return nil, nil
	case err != nil:
		return nil, err
	}
	return events, nil
}

// lastSequence returns the last sequence of a channel, 0 if the channel does not exist.
func (c *Client) lastSequence(ctx context.Context, channel string) (uint64, error) {
	var sequence uint64
	err := c.read(ctx, fmt.Sprintf("find channel %q", channel), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		response, err := server.ListChannels(ctx, &eventstorev1.ListChannelsRequest{Prefix: channel, PageSize: 1})
		if err == nil {
			// Names are sorted, so an exact match comes first.
			if found := response.GetChannels(); len(found) > 0 && found[0].GetName() == channel {
				sequence = found[0].GetLastSequence()
			}
		}
		return err
	})
	return sequence, err
}
