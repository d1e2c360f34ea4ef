package guide

import (
	"context"
	"fmt"

	"github.com/nats-io/stan.go"
)

// Connect connects to the server. The returned context ends with ctx, or when the connection is lost for good.
func Connect(ctx context.Context, url, clientID string) (context.Context, stan.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	sc, err := stan.Connect("test-cluster", clientID, stan.NatsURL(url),
		stan.Pings(5, 12), // give up after a minute without an answer; restarts and failovers take less
		stan.SetConnectionLostHandler(func(_ stan.Conn, err error) {
			cancel(fmt.Errorf("connection lost: %w", err))
		}))
	if err != nil {
		cancel(err)
		return nil, nil, fmt.Errorf("connect to %s as %q: %w", url, clientID, err)
	}
	return ctx, sc, nil
}

// receive subscribes, as a member of the queue group unless its name is empty, and returns the messages one at a time. The
// caller must call stop.
func receive(sc stan.Conn, group string, options ...stan.SubscriptionOption) (messages <-chan *stan.Msg, stop func(), err error) {
	in, stopped := make(chan *stan.Msg), make(chan struct{})
	sub, err := sc.QueueSubscribe(Channel, group, func(m *stan.Msg) {
		select {
		case in <- m:
		case <-stopped:
		}
	}, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("subscribe to %s: %w", Channel, err)
	}
	return in, func() {
		close(stopped)
		_ = sub.Close() // if the connection is lost, the server closes the subscription
	}, nil
}
