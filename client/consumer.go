package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// Consumer shares the events of a channel with the other members of a durable or a queue group, which may be clients of NATS
// Streaming. The server stores the position, and sends each event to one member, and again until it is handled. Handle each event so
// that a repetition does no harm, or use Reactor.Consume.
type Consumer struct {
	Client   *Client
	Channel  string // event channel, or a pattern of channels if the server allows that
	ClientID string // letters, digits, - and _
	// Group is a queue group, Durable a name under which the position outlives the members. Without a group, the durable belongs to
	// the client ID. Without both, the position ends with Run.
	Group, Durable string
	// Start is where a new consumer begins. One that exists goes on where it is.
	Start Start
	// AckWait is how long Handle may take, at least a second, before the server sends the event to somebody else. 0 means 30 s.
	AckWait time.Duration
	// Concurrency is how many events are handled at a time; 0 means 1. A group that is ordered by key on the server stays so.
	Concurrency int
	// Credit is how many events the server sends before it waits for the first to be handled. 0 means as many as Concurrency.
	Credit int
	// Registry, if not nil, decodes events. One that cannot be decoded is parked, or skipped if its type is unknown and SkipUnknown is
	// set.
	Registry    *Registry
	SkipUnknown bool
	// Handle does the work. Its context has the event as the cause of what it appends (WithCause), and a span. Without an error,
	// the event is acknowledged. A *Rejection says what becomes of the event; any other error is like one without Park and Skip.
	Handle func(ctx context.Context, event *Event) error
}

// Rejection is an error of Consumer.Handle that says what becomes of the event. The zero value sends it again.
type Rejection struct {
	Err  error // why; the server keeps its text with a parked event
	Park bool  // the server takes the event aside, for an administrator, and goes on
	Skip bool  // the event counts as handled
	// Delay is the time until the event is sent again. 0 leaves it to the consumer's setting backoff on the server; without one, the
	// event comes at once.
	Delay time.Duration

	final bool // ends Run
}

// Error implements error.
func (r *Rejection) Error() string {
	if r.Err == nil {
		return "rejected"
	}
	return r.Err.Error()
}

// Unwrap returns the cause.
func (r *Rejection) Unwrap() error { return r.Err }

const (
	// leaveTimeout bounds how long the end of Run waits for the server.
	leaveTimeout = 5 * time.Second
	// maxReason bounds the reason of a parked event, and maxAcks the acknowledgements of a request: docs/reference/api.md.
	maxReason = 1024
	maxAcks   = 1000
)

// Run handles events until ctx ends or the server refuses the consumer, and returns the reason. After an interruption it goes on, on
// another server if necessary. When ctx ends, it waits for the calls of Handle, and acknowledges what they have handled.
//
// Without Group and Durable, an event that cannot be decoded ends Run with an error: the server parks nothing for a consumer without a name.
func (c *Consumer) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	w := newWork(c, fail)
	defer w.running.Wait()
	var pause backoff
	for {
		err := c.Client.write(ctx, fmt.Sprintf("consume channel %q", c.Channel), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
			return c.attend(ctx, server, w)
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrActive) && w.opened: // the server will notice that the last stream is gone
		case err != nil:
			return err
		}
		if err := pause.wait(ctx); err != nil {
			return err
		}
	}
}

// attend handles the events of one stream. It returns nil if the server ended the stream without an error.
func (c *Consumer) attend(ctx context.Context, server eventstorev1connect.EventStoreClient, w *work) error {
	live, cancel := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx, to leave in order
	defer cancel()
	stream, err := server.Consume(live)
	if err != nil {
		return err
	}
	request, err := c.open()
	if err != nil {
		return err
	}
	_ = stream.Send(request) // Receive returns the error
	stop, told := make(chan struct{}), make(chan struct{})
	end := func() {
		_ = stream.CloseRequest()
		cancel()
		_ = stream.CloseResponse()
	}
	go func() {
		defer close(told)
		w.tell(ctx, stream, stop, end)
	}()
	defer func() {
		close(stop)
		<-told
		end()
	}()
	for {
		response, err := stream.Receive()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case connect.CodeOf(err) == connect.CodeAlreadyExists:
			return fmt.Errorf("%w: %s", ErrActive, err.Error())
		case err != nil:
			return err
		}
		w.opened = true
		for _, d := range response.GetDeliveries() {
			w.begin(ctx, d)
		}
	}
}

func (c *Consumer) open() (*eventstorev1.ConsumeRequest, error) {
	open := &eventstorev1.ConsumeRequest_Open{
		Channel: c.Channel, ClientId: c.ClientID, Group: c.Group, Durable: c.Durable,
		Credit: uint32(max(cmp.Or(c.Credit, c.Concurrency), 1)),
	}
	if c.AckWait != 0 {
		open.AckWait = durationpb.New(c.AckWait)
	}
	switch s := c.Start; {
	case s.end:
		open.Start = &eventstorev1.ConsumeRequest_Open_FromEnd{FromEnd: true}
	case s.last:
		open.Start = &eventstorev1.ConsumeRequest_Open_FromLast{FromLast: true}
	case !s.time.IsZero():
		open.Start = &eventstorev1.ConsumeRequest_Open_FromTime{FromTime: timestamppb.New(s.time)}
	case s.position > 0 && !c.pattern():
		return nil, errors.New("a channel has sequences, not positions: start with FromSequence")
	case s.sequence > 0 && c.pattern():
		return nil, errors.New("a pattern has positions, not sequences: start with FromPosition")
	case s.sequence+s.position > 0:
		open.Start = &eventstorev1.ConsumeRequest_Open_FromSequence{FromSequence: s.sequence + s.position}
	}
	return &eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Open_{Open: open}}, nil
}

// pattern reports whether the consumer reads a pattern of channels, and so acknowledges positions.
func (c *Consumer) pattern() bool { return strings.ContainsAny(c.Channel, "*>") }

// handle handles an event, and returns what becomes of it, nil if it is to be acknowledged.
func (c *Consumer) handle(ctx context.Context, event *Event) *Rejection {
	events, err := expand(c.Registry, c.SkipUnknown, event)
	if err != nil {
		named := c.Group != "" || c.Durable != ""
		return &Rejection{Err: err, Park: named, final: !named}
	}
	for i := 0; i < len(events) && err == nil; i++ {
		err = c.Client.tracing.handle(ctx, events[i], cmp.Or(c.Group, c.Durable), c.Handle)
	}
	if err == nil {
		return nil
	}
	var rejection *Rejection
	if errors.As(err, &rejection) {
		return rejection
	}
	return &Rejection{Err: err}
}
