package guide

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Publish returns nil when the event is committed, and another error than that of ctx when it is refused. The event
// needs an event_id: while it is unknown whether the event is stored, Publish publishes it again.
func Publish(ctx context.Context, sc stan.Conn, event *eventstorev1.Event) error {
	payload, err := proto.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode event %q: %w", event.EventId, err)
	}
	for attempt := 0; ; attempt++ {
		err := sc.Publish(Channel, payload)
		if err == nil {
			return nil
		}
		if !isTransient(err) {
			return fmt.Errorf("publish event %q: %w", event.EventId, err)
		}
		if ended := pause(ctx, attempt); ended != nil {
			return fmt.Errorf("publish event %q: %w, last error: %w", event.EventId, ended, err)
		}
	}
}

// isTransient reports whether the event may be stored by now, or could be in a moment.
func isTransient(err error) bool {
	return errors.Is(err, stan.ErrTimeout) || // no answer: the event or its acknowledgement was lost
		errors.Is(err, nats.ErrReconnectBufExceeded) || // the server is away
		strings.Contains(err.Error(), "the database is unavailable")
}
