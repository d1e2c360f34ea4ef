package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// apiLog is the event log as the API uses it: a service, until it stops.
type apiLog struct {
	*service
	done <-chan struct{}
}

var _ api.Log = apiLog{}

// serveAPI serves the API, if it is to be, until stop is called. The context that it returns ends, too, if that fails, which
// is stop's error then.
func serveAPI(ctx context.Context, o *Options, mon *monitor) (served context.Context, stop func() error, err error) {
	if o.API.Port == 0 {
		return ctx, func() error { return nil }, nil
	}
	log := func() api.Log {
		if _, s := mon.now(); s != nil {
			return apiLog{s, s.ended}
		}
		return nil
	}
	server, err := api.Listen(o.API, log, mon.metrics.apiRequest, mon.log)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		defer cancel()
		failed <- server.Run()
	}()
	return ctx, func() error {
		server.Stop()
		return <-failed
	}, nil
}

// validateAPI says what is wrong with the options of the API.
func (o *Options) validateAPI(events eventBlocks) error {
	if o.API.Port == 0 {
		return nil
	}
	if err := o.API.Validate(); err != nil {
		return err
	}
	switch block := events.of(o.API.DefaultChannel); {
	case !validChannel(o.API.DefaultChannel) || block == nil:
		return fmt.Errorf("grpc default channel %q is no event channel", o.API.DefaultChannel)
	case block.mapping != nil:
		return fmt.Errorf("grpc default channel %q: its messages are not eventstore.v1.Event", o.API.DefaultChannel)
	}
	n := o.NATS
	asks := len(n.Users)+len(n.Nkeys)+len(n.TrustedOperators)+len(n.TrustedKeys) > 0 || n.Username != "" || n.Authorization != "" ||
		n.AuthCallout != nil || n.TLSVerify
	if o.NATSURL == "" && asks && o.API.Token == "" && o.API.ClientCAFile == "" {
		return errors.New("the NATS server asks its clients who they are, the gRPC API would not: set grpc_token or grpc_client_ca")
	}
	return nil
}

// Done implements api.Log.
func (l apiLog) Done() <-chan struct{} { return l.done }

// Channel implements api.Log.
func (l apiLog) Channel(name string) (api.Channel, error) {
	switch ch := l.channels.get(name); {
	case ch != nil && ch.events != nil:
		return apiChannel{ch, l}, nil
	case ch != nil, validChannel(name) && l.channels.events.of(name) == nil:
		return nil, fmt.Errorf("channel %q: %w", name, api.ErrNoEventChannel)
	case !validChannel(name):
		return nil, fmt.Errorf("channel %q: %w", name, api.ErrInvalidChannel)
	}
	return nil, fmt.Errorf("channel %q: %w", name, api.ErrUnknownChannel)
}

// Open implements api.Log.
func (l apiLog) Open(ctx context.Context, name string) (api.Channel, error) {
	ch, err := l.Channel(name)
	if !errors.Is(err, api.ErrUnknownChannel) {
		return ch, err
	}
	var opened *channel
	done := make(chan struct{})
	// Behind the gate, so that the service does not stop meanwhile; and to its end, since others wait for the same channel.
	if !l.handleAsync(func() {
		defer close(done)
		opened, err = l.channels.open(context.WithoutCancel(ctx), name)
	}) {
		return nil, api.ErrStandby
	}
	select {
	case <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		l.unavailable(err)
		return nil, channelError(err)
	}
	return apiChannel{opened, l}, nil
}

// channelError makes what refuses a channel, that of a request or of a route, an error of package api.
func channelError(err error) error {
	var refused refusal
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", api.ErrChannelRefused, err)
	}
	return err
}

// handleAsync calls f on a goroutine that the service waits for. It reports false if the service has stopped.
func (s *service) handleAsync(f func()) bool {
	called := false
	s.handle(func() {
		called = true
		s.requests.Go(f)
	})
	return called
}

// Channels implements api.Log.
func (l apiLog) Channels() []api.Channel {
	all := slices.DeleteFunc(l.channels.all(), func(ch *channel) bool { return ch.events == nil })
	slices.SortFunc(all, func(a, b *channel) int { return cmp.Compare(a.name, b.name) })
	channels := make([]api.Channel, len(all))
	for i, ch := range all {
		channels[i] = apiChannel{ch, l}
	}
	return channels
}

// Append implements api.Log.
func (l apiLog) Append(ctx context.Context, to api.Channel, events []api.Encoded, expect []stores.Expectation) ([]stores.Result, error) {
	ch := to.(apiChannel).channel
	if ch.events.mapping != nil {
		return nil, fmt.Errorf("channel %q: %w whose messages are eventstore.v1.Event, but %s", ch.name, api.ErrNoEventChannel, ch.events.Payload.Message)
	}
	results := make([]stores.Result, len(events))
	answered := make(chan struct{})
	group := make([]publication, len(events))
	together := &stores.Group{Expect: expect}
	for i := range events {
		e := &events[i]
		p := &group[i]
		*p = publication{
			ch:     ch,
			append: stores.Append{Channel: ch.stored, Payload: e.Payload, Event: &e.Event, Versions: ch.versions, Group: together},
			answer: func(r stores.Result) {
				if results[i] = r; i == len(results)-1 { // they are answered in order
					close(answered)
				}
			},
		}
		if !l.deliverable(ch.name, "", e.Payload) {
			return nil, fmt.Errorf("event %d is %w", i+1, api.ErrTooLarge)
		}
		if err := l.route(ctx, p); err != nil {
			l.unavailable(err)
			return nil, fmt.Errorf("event %d: %w", i+1, channelError(err))
		}
		l.metrics.publishReceived(len(e.Payload))
	}
	queued := false
	l.handle(func() {
		l.writer.queue.put(publication{ch: ch, group: group})
		queued = true
	})
	if !queued {
		return nil, api.ErrStandby
	}
	select {
	case <-answered:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the events may be stored or not", ctx.Err())
	}
	for i := range results {
		if results[i].Err != nil { // then all have it
			return nil, results[i].Err
		}
	}
	return results, nil
}

// EventsWithID implements api.Log.
func (l apiLog) EventsWithID(ctx context.Context, id string) ([]stores.FoundEvent, error) {
	return l.store.EventsWithID(ctx, id)
}

// AggregatesWithID implements api.Log.
func (l apiLog) AggregatesWithID(ctx context.Context, id string) ([]stores.Aggregate, error) {
	return l.store.AggregatesWithID(ctx, id)
}

// ReadAggregate implements api.Log.
func (l apiLog) ReadAggregate(ctx context.Context, a stores.Aggregate, from uint64, backward bool, maxMsgs, maxBytes int) ([]stores.VersionedMessage, error) {
	if l.isDone() {
		return nil, api.ErrStandby
	}
	return l.store.ReadAggregate(ctx, a, from, backward, maxMsgs, maxBytes)
}

func (l apiLog) isDone() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// apiChannel is an event channel as the API uses it.
type apiChannel struct {
	*channel
	log apiLog
}

// Stored implements api.Channel.
func (c apiChannel) Stored() *stores.Channel { return c.stored }

// Mapping implements api.Channel.
func (c apiChannel) Mapping() *proto.Mapping { return c.events.mapping }

// Strict implements api.Channel.
func (c apiChannel) Strict() bool { return c.versions == stores.VersionsStrict }

// Read implements api.Channel.
func (c apiChannel) Read(ctx context.Context, from, to uint64) ([]stores.Message, error) {
	if c.log.isDone() {
		return nil, api.ErrStandby
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.read(ctx, from, to, batchMsgs)
}

// SequenceAt implements api.Channel.
func (c apiChannel) SequenceAt(ctx context.Context, ns int64) (uint64, error) {
	return c.log.store.SequenceAt(ctx, c.stored, ns)
}

// Watch implements api.Channel.
func (c apiChannel) Watch() (<-chan struct{}, func()) { return c.watch() }
