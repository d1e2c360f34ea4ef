package eventstore_test

import (
	"errors"
	"fmt"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
)

// What stan.go returns is a text. Here it is one that Publish returns for an event whose version does not follow.
func ExampleAsRefusal() {
	err := errors.New(`stan: wrong expected version: aggregate "order-1" is at version 3, event has version 7`)
	r := eventstore.AsRefusal(err)
	switch {
	case r == nil: // err is nil, or stan.go's own: after a timeout, the event may be stored or not
	case r.Temporary(): // publish it again
	case r.Code == refusal.CodeWrongVersion:
		fmt.Println("decide anew on", r.AggregateID, "at version", r.Current)
	}
	var conflict *eventstore.ConflictError
	fmt.Println("as through the API:", errors.As(r, &conflict), errors.Is(r, eventstore.ErrDuplicate))
	// Output:
	// decide anew on order-1 at version 3
	// as through the API: true false
}
