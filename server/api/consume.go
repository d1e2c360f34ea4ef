package api

import (
	"context"
	"errors"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go/pb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
)

const (
	// maxAnswered bounds the sequences of one request, maxReason the bytes of a reason.
	maxAnswered = 1000
	maxReason   = 1024
	// lookupMsgs bounds the messages that are read again at a time.
	lookupMsgs = 64
)

// consumeStream is the stream of Consume.
type consumeStream = connect.BidiStream[eventstorev1.ConsumeRequest, eventstorev1.ConsumeResponse]

// membership is a stream that is a member of a group. Its handler's goroutine sends, another one receives.
type membership struct {
	log     guarded
	in      Consumers
	line    consumers.Line
	member  *consumers.Member
	waiting *deliveries

	received chan struct{} // closed after the last request
	said     error         // why it was the last; set before received is closed. nil: the client had nothing more to say
}

// Consume implements eventstore.v1.EventStore.
func (s *service) Consume(ctx context.Context, stream *consumeStream) error {
	first, err := stream.Receive()
	switch {
	case errors.Is(err, io.EOF), err == nil && first.GetOpen() == nil:
		return invalid("the first request must be open: it names the channel and the consumer")
	case err != nil:
		return err
	}
	c, err := s.join(ctx, first.GetOpen())
	if err != nil {
		return status(err)
	}
	reading := readingSide(ctx)
	reading.unlimited()
	go func() {
		defer close(c.received)
		c.said = c.receive(stream)
	}()
	err = c.deliver(ctx, stream)
	if left := c.in.Leave(context.WithoutCancel(ctx), c.member); err == nil {
		err = left
	}
	reading.end()
	<-c.received
	if err != nil {
		return endStatus(c.log, err)
	}
	return nil
}

// receive handles requests until the client or the stream ends. nil means that the client has nothing more to say.
func (c *membership) receive(stream *consumeStream) error {
	for {
		req, err := stream.Receive()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := c.handle(req); err != nil {
			return err
		}
	}
}

func (c *membership) handle(req *eventstorev1.ConsumeRequest) error {
	switch r := req.GetRequest().(type) {
	case *eventstorev1.ConsumeRequest_Ack_:
		if err := checkSequences(r.Ack.GetSequences()); err != nil {
			return err
		}
		for _, at := range r.Ack.GetSequences() {
			c.waiting.forget(at)
			c.in.Ack(c.member, at)
		}
	case *eventstorev1.ConsumeRequest_Nack_:
		return c.reject(r.Nack)
	case *eventstorev1.ConsumeRequest_Credit_:
		credit := r.Credit.GetCredit()
		if err := checkCredit(credit, c.in.MaxInflight()); err != nil {
			return err
		}
		c.in.SetWindow(c.member, int32(credit))
	case *eventstorev1.ConsumeRequest_Open_:
		return invalid("the stream is open: open another consumer on a stream of its own")
	default:
		return invalid("the request is empty: send credit, ack or nack")
	}
	return nil
}

func checkSequences(all []uint64) error {
	if len(all) > maxAnswered {
		return invalid("%d sequences: a request has at most %d", len(all), maxAnswered)
	}
	return nil
}

// reject rejects messages.
func (c *membership) reject(nack *eventstorev1.ConsumeRequest_Nack) error {
	if err := checkSequences(nack.GetSequences()); err != nil {
		return err
	}
	if n := len(nack.GetReason()); n > maxReason {
		return invalid("reason has %d bytes: at most %d", n, maxReason)
	}
	r := consumers.Rejection{Reason: nack.GetReason()}
	switch nack.GetAction() {
	case eventstorev1.ConsumeRequest_Nack_ACTION_UNSPECIFIED, eventstorev1.ConsumeRequest_Nack_ACTION_RETRY:
		if d := nack.GetDelay(); d != nil {
			if r.Delay = d.AsDuration(); d.CheckValid() != nil || r.Delay < 0 {
				return invalid("delay is %v: it must not be negative", r.Delay)
			}
		}
	case eventstorev1.ConsumeRequest_Nack_ACTION_PARK:
		if r.Park = true; !c.member.Durable() && !c.member.Queue() {
			return connect.NewError(connect.CodeFailedPrecondition, errors.New("ACTION_PARK needs a consumer with a name: open with a durable or a group"))
		}
	case eventstorev1.ConsumeRequest_Nack_ACTION_SKIP:
		r.Skip = true
	default:
		return invalid("unknown action %d", nack.GetAction())
	}
	if nack.GetDelay() != nil && (r.Park || r.Skip) {
		return invalid("delay is only for ACTION_RETRY")
	}
	for _, at := range nack.GetSequences() {
		c.waiting.forget(at)
		c.in.Reject(c.member, at, r)
	}
	return nil
}

// deliver sends what waits until the stream ends. nil means that the client left in order.
func (c *membership) deliver(ctx context.Context, stream *consumeStream) error {
	start := c.member.Start()
	opened := &eventstorev1.ConsumeResponse_Opened{Resumed: start.Resumed, LastSent: start.LastSent, Unacknowledged: uint64(start.Unacked)}
	if err := stream.Send(&eventstorev1.ConsumeResponse{Opened: opened}); err != nil {
		return err
	}
	check := time.NewTicker(checkpointInterval)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.log.done():
			return ErrStandby
		case <-c.received:
			return c.said
		case <-c.waiting.left:
			return ErrRemoved
		case <-check.C:
			if err := c.log.permitConsumer(c.line.Name()); err != nil {
				return err
			}
		case <-c.waiting.ready:
			if err := c.sendNext(ctx, stream); err != nil {
				return err
			}
		}
	}
}

// sendNext sends the next messages that wait.
func (c *membership) sendNext(ctx context.Context, stream *consumeStream) error {
	taken, toRead := c.waiting.take(min(lookupMsgs, responseBytes/(c.line.MessageBytes()+1)+1))
	if err := c.log.permitConsumer(c.line.Name()); err != nil {
		return err
	}
	if toRead {
		var err error
		if taken, err = c.readAgain(ctx, taken); err != nil {
			return err
		}
	}
	response := &eventstorev1.ConsumeResponse{}
	for i := range taken {
		event, err := c.event(ctx, &taken[i])
		if err != nil {
			return err
		}
		response.Deliveries = append(response.Deliveries, &eventstorev1.ConsumeResponse_Delivery{Event: event, Deliveries: taken[i].count})
	}
	if len(response.GetDeliveries()) == 0 {
		return nil
	}
	c.waiting.sending.Store(time.Now().UnixNano())
	err := stream.Send(response)
	stuck := !c.waiting.Healthy()
	c.waiting.sending.Store(0)
	if stuck && err == nil {
		c.in.Wake(c.waiting)
	}
	return err
}

// readAgain reads messages that were not kept in memory. What is no longer stored counts as acknowledged.
func (c *membership) readAgain(ctx context.Context, taken []delivery) ([]delivery, error) {
	places := make([]uint64, len(taken))
	for i := range taken {
		places[i] = taken[i].place
	}
	found, err := c.line.Lookup(ctx, places)
	if err != nil {
		return nil, err
	}
	left := taken[:0]
	for _, it := range taken {
		var stored bool
		if it.message, stored = found[it.place]; stored {
			left = append(left, it)
		} else {
			c.in.Ack(c.member, it.place)
		}
	}
	return left, nil
}

// event returns the event of a message.
func (c *membership) event(ctx context.Context, it *delivery) (*eventstorev1.RecordedEvent, error) {
	name := c.line.Name()
	if c.line.Pattern() != "" {
		var msg pb.MsgProto
		if err := msg.Unmarshal(it.message.Data); err != nil {
			return nil, err
		}
		name = msg.Subject
	}
	ch, err := c.log.log.Channel(name)
	if err != nil {
		return nil, err
	}
	message, err := c.log.unsealOne(ctx, ch, it.message)
	if err != nil {
		return nil, err
	}
	return recorded(name, ch.Mapping(), message)
}
