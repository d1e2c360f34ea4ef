package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
)

// defaultAckWait is that of NATS Streaming's clients.
const defaultAckWait = 30 * time.Second

// validClientID is the rule of NATS Streaming.
var validClientID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// join makes the stream a member of the group that its first request names.
func (s *service) join(ctx context.Context, open *eventstorev1.ConsumeRequest_Open) (*membership, error) {
	if err := checkNames(open); err != nil {
		return nil, err
	}
	ackWait, err := ackWaitOf(open.GetAckWait())
	if err != nil {
		return nil, err
	}
	log, err := s.leading(ctx)
	if err != nil {
		return nil, err
	}
	in := log.log.Consumers()
	if err := checkCredit(open.GetCredit(), in.MaxInflight()); err != nil {
		return nil, err
	}
	if open.GetCredit() == 0 {
		return nil, invalid("credit is missing: say how many events the member may hold, such as 100")
	}
	line, err := log.line(ctx, open.GetChannel())
	if err != nil {
		return nil, err
	}
	c := &membership{log: log, in: in, line: line, waiting: newDeliveries(open.GetClientId(), line), received: make(chan struct{})}
	r := consumers.Request{
		Client: c.waiting, Line: line, Receiver: c.waiting,
		QGroup: open.GetGroup(), DurableName: open.GetDurable(),
		MaxInFlight: int32(open.GetCredit()), AckWaitInSecs: ackWait,
	}
	if err := setStart(&r, open); err != nil {
		return nil, err
	}
	c.member, err = in.Join(ctx, r)
	if errors.Is(err, consumers.ErrDuplicateDurable) {
		return nil, fmt.Errorf("durable %q of client %q has an active subscription, here or by NATS Streaming: close it first (%w)", open.GetDurable(), open.GetClientId(), err)
	}
	return c, err
}

// checkNames checks the names of a consumer, as NATS Streaming does.
func checkNames(open *eventstorev1.ConsumeRequest_Open) error {
	switch {
	case open.GetClientId() == "":
		return invalid("client_id is missing: name the client")
	case !validClientID.MatchString(open.GetClientId()):
		return invalid("client_id is %q: use letters, digits, - and _", open.GetClientId())
	case open.GetGroup() != "" && strings.Contains(open.GetDurable(), ":"):
		return invalid("durable is %q: the durable name of a queue group must not contain a colon", open.GetDurable())
	}
	return nil
}

// ackWaitOf returns a time to wait for acknowledgements in seconds.
func ackWaitOf(d *durationpb.Duration) (int32, error) {
	wait := defaultAckWait
	if d != nil {
		if err := d.CheckValid(); err != nil {
			return 0, invalid("ack_wait: %w", err)
		}
		wait = d.AsDuration()
	}
	if seconds := math.Ceil(wait.Seconds()); wait >= time.Second && seconds <= math.MaxInt32 {
		return int32(seconds), nil
	}
	return 0, invalid("ack_wait is %v: it must be at least 1s, and at most 68 years", wait)
}

func checkCredit(credit uint32, limit int) error {
	if int64(credit) > int64(limit) {
		return invalid("credit is %d: this server allows at most %d (max_inflight)", credit, limit)
	}
	return nil
}

// setStart sets where a new group begins.
func setStart(r *consumers.Request, open *eventstorev1.ConsumeRequest_Open) error {
	r.Start = consumers.First
	switch start := open.GetStart().(type) {
	case *eventstorev1.ConsumeRequest_Open_FromSequence:
		r.Start, r.StartSequence = consumers.SequenceStart, start.FromSequence
	case *eventstorev1.ConsumeRequest_Open_FromTime:
		ns, err := nanoseconds(start.FromTime)
		if err != nil {
			return err
		}
		r.Start, r.StartTimeDelta = consumers.TimeDeltaStart, time.Now().UnixNano()-ns
	case *eventstorev1.ConsumeRequest_Open_FromLast:
		if start.FromLast {
			r.Start = consumers.LastReceived
		}
	case *eventstorev1.ConsumeRequest_Open_FromEnd:
		if start.FromEnd {
			r.Start = consumers.NewOnly
		}
	}
	return nil
}
