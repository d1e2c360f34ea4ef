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

// Publish returns nil once the event is committed. It retries while the outcome is unknown, which is safe because the event
// has an event_id. Any error other than that of ctx means that the server refused the event.
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

// isTransient reports whether the event may be stored despite the error, or a retry may succeed.
func isTransient(err error) bool {
	return errors.Is(err, stan.ErrTimeout) || // no answer: the event or its acknowledgement was lost
		errors.Is(err, nats.ErrReconnectBufExceeded) || // the server is not reachable
		strings.Contains(err.Error(), "the database is unavailable")
}
