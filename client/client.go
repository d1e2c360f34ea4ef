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

// Options say how to reach the servers.
type Options struct {
	// URLs of the servers' APIs, such as http://127.0.0.1:50051, or https:// where they have TLS. Of several servers one
	// is active: a call that another one does not answer goes to the next.
	URLs []string
	// Token is sent as bearer token with each call, if it is not empty.
	Token string
	// TLS is the configuration of https URLs, with a certificate where the servers ask for one. nil: the system's roots.
	TLS *tls.Config
}

// Client calls the API of the event store. It is safe for concurrent use. Its calls are made again, with back-off, as long
// as no server is available, until their context ends: give them a deadline.
type Client struct {
	transport *http.Transport
	servers   []eventstorev1connect.EventStoreClient
	current   atomic.Uint32 // index of the server that answered last, modulo their number
}

// New returns a client. It does not connect yet.
func New(o Options) (*Client, error) {
	if len(o.URLs) == 0 {
		return nil, errors.New("eventstore: no URL of a server")
	}
	transport := &http.Transport{TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	// A connection whose server vanished without a word is noticed, and calls go to another server.
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}
	c := &Client{transport: transport}
	for _, url := range o.URLs {
		c.servers = append(c.servers, eventstorev1connect.NewEventStoreClient(
			&http.Client{Transport: answers{transport}}, strings.TrimRight(url, "/"), connect.WithInterceptors(bearer(o.Token))))
	}
	return c, nil
}

// Close ends the connections that no call uses.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// do calls one server after the other until one answers, or ctx ends.
func (c *Client) do(ctx context.Context, what string, call func(eventstorev1connect.EventStoreClient) error) error {
	var pause backoff
	for {
		at := c.current.Load()
		err := call(c.servers[int(at)%len(c.servers)])
		switch {
		case err == nil:
			return nil
		case !transient(ctx, err):
			return fmt.Errorf("%s: %w", what, clientError(err))
		}
		c.current.CompareAndSwap(at, at+1)
		if ended := pause.wait(ctx); ended != nil {
			return fmt.Errorf("%s: %w, last error: %w", what, ended, err)
		}
	}
}

// Get returns the event with the ID, of the channel; ErrNotFound if it holds none.
func (c *Client) Get(ctx context.Context, channel, eventID string) (*Event, error) {
	var event *Event
	err := c.do(ctx, fmt.Sprintf("get event %q of channel %q", eventID, channel), func(server eventstorev1connect.EventStoreClient) error {
		response, err := server.GetEvent(ctx, &eventstorev1.GetEventRequest{
			Channel: channel, Key: &eventstorev1.GetEventRequest_EventId{EventId: eventID},
		})
		if err == nil {
			event = received(response.GetEvent())
		}
		return err
	})
	return event, err
}

// Load returns the events of an aggregate from a version on, in order; none if it has none.
func (c *Client) Load(ctx context.Context, channel, aggregateType, aggregateID string, fromVersion uint64) ([]*Event, error) {
	var events []*Event
	what := fmt.Sprintf("load aggregate %q of channel %q", aggregateID, channel)
	err := c.do(ctx, what, func(server eventstorev1connect.EventStoreClient) error {
		events = nil
		stream, err := server.ReadAggregate(ctx, &eventstorev1.ReadAggregateRequest{
			Channel: channel, AggregateType: aggregateType, AggregateId: aggregateID, FromVersion: fromVersion,
		})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // its error is stream.Err
		for stream.Receive() {
			for _, e := range stream.Msg().GetEvents() {
				events = append(events, received(e))
			}
		}
		return stream.Err()
	})
	switch {
	case errors.Is(err, ErrNotFound): // the channel is created by its first event
		return nil, nil
	case err != nil:
		return nil, err
	}
	return events, nil
}

// last returns the last sequence of a channel, 0 if there is no such channel.
func (c *Client) last(ctx context.Context, channel string) (uint64, error) {
	var sequence uint64
	err := c.do(ctx, fmt.Sprintf("find channel %q", channel), func(server eventstorev1connect.EventStoreClient) error {
		response, err := server.ListChannels(ctx, &eventstorev1.ListChannelsRequest{Prefix: channel, PageSize: 1})
		if err == nil {
			// The name itself is the first of all that begin with it.
			if found := response.GetChannels(); len(found) > 0 && found[0].GetName() == channel {
				sequence = found[0].GetLastSequence()
			}
		}
		return err
	})
	return sequence, err
}

// bearer adds a token to each call.
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
