package eventstore_test

import (
	"context"
	"fmt"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// The events that a request leads to carry its ID, also those that handlers of events append.
func ExampleWithCorrelation() {
	ctx, requestID := context.Background(), "request-9422"
	ctx = eventstore.WithCorrelation(ctx, requestID)
	fmt.Println(eventstore.CorrelationID(ctx)) // appends with ctx store it
	// Output: request-9422
}
