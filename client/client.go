package eventstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// Options configure a Client.
type Options struct {
	// URLs are the base URLs of the servers' APIs: http://127.0.0.1:50051, or https:// for servers with TLS. Only one
	// server leads at a time; if a server does not answer, the client tries the next. See also Client.WithStandbyReads.
	URLs []string
	// Token, if not empty, is sent as a bearer token with each call.
	Token string
	// TLS configures connections to https URLs, including the client certificate if the servers require one. nil uses
	// the system's root certificates.
	TLS *tls.Config
}

// Client calls the API of the event store. It is safe for concurrent use. It retries calls with backoff while no server
// is available, until the call's context ends. Pass a context with a deadline.
type Client struct {
	transport *http.Transport
	servers   []eventstorev1connect.EventStoreClient
	current   *atomic.Uint32 // index of the server to call, modulo len(servers)
	standbys  *standbyReads  // nil: only the server that leads answers
	least     uint64         // position that reads must know
	turns     *turns         // of the commands of Repositories and Deciders
}

// New returns a client. It connects on the first call.
func New(o Options) (*Client, error) {
	if len(o.URLs) == 0 {
		return nil, errors.New("eventstore: Options.URLs is empty")
	}
	c := &Client{current: new(atomic.Uint32), turns: newTurns(), transport: &http.Transport{TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}}
	c.transport.Protocols = new(http.Protocols)
	c.transport.Protocols.SetHTTP2(true)
	c.transport.Protocols.SetUnencryptedHTTP2(true)
	// Pings detect a server that disappeared without closing the connection.
	c.transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}
	for _, url := range o.URLs {
		c.servers = append(c.servers, eventstorev1connect.NewEventStoreClient(
			&http.Client{Transport: transport{c.transport}}, strings.TrimRight(url, "/"), connect.WithInterceptors(bearer(o.Token))))
	}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

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
	for {
		current := at.Load()
		err := call(ctx, c.servers[int(current)%len(c.servers)])
		switch {
		case err == nil:
			return nil
		case !isTransient(ctx, err):
			return fmt.Errorf("%s: %w", what, clientError(err))
		}
		at.CompareAndSwap(current, current+1)
		if ended := pause.wait(ctx); ended != nil {
			return fmt.Errorf("%s: %w, last error: %w", what, ended, err)
		}
	}
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

// bearer is an interceptor that sends a token with each call.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		b.set(request.Header())
		return next(ctx, request)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		b.set(conn.RequestHeader())
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (b bearer) set(header http.Header) {
	if b != "" {
		header.Set("Authorization", "Bearer "+string(b))
	}
}
