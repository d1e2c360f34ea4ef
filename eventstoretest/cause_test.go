package eventstoretest_test

import (
	"context"
	"errors"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// TestCauseOfTheEnd: a call whose context ends returns why, wherever it is then.
func TestCauseOfTheEnd(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	client := server.Client()
	shutdown := errors.New("shutdown")
	for call, do := range map[eventstoretest.Call]func(context.Context) error{
		eventstoretest.Append: func(ctx context.Context) error {
			_, err := client.Append(ctx, channel, []eventstore.NewEvent{deposit("")})
			return err
		},
		eventstoretest.ReadAggregate: func(ctx context.Context) error {
			_, err := client.Load(ctx, channel, "Account", "a", 1)
			return err
		},
	} {
		gate := eventstoretest.NewGate()
		server.Inject(call, 1, eventstoretest.Hold(gate))
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- do(ctx) }()
		<-gate.Reached()
		cancel(shutdown)
		if err := <-done; !errors.Is(err, shutdown) {
			t.Errorf("%s: error %v, want the cause", call, err)
		}
	}
}
