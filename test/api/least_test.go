package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// atLeast returns a context whose call wants an answer that knows a position.
func atLeast(ctx context.Context, position any) context.Context {
	ctx, call := connect.NewClientContext(ctx)
	call.RequestHeader().Set("X-Min-Position", fmt.Sprint(position))
	return ctx
}

// TestReadYourOwnWrite: a read that names the position of an append sees its events, on the leader and on a standby.
func TestReadYourOwnWrite(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, leaderAddress := start(t, driver, source)
		leader := dial(t, leaderAddress)
		add(t, leader, orders, event("a", 1))
		_, address, _ := readStandBy(t, driver, source)
		standby := dial(t, address)
		for n := uint64(2); n <= 20; n++ {
			channel := []string{orders, payments, fmt.Sprint("eventstore.new", n)}[n%3]
			id := fmt.Sprint("event-", n)
			position := add(t, leader, channel, withID(id, event("a", 0))).GetEvents()[0].GetPosition()
			c := []client{standby, leader}[n%2]
			if resp, err := c.GetEvent(atLeast(patient(t), position), &eventstorev1.GetEventRequest{
				Channel: channel, Key: &eventstorev1.GetEventRequest_EventId{EventId: id},
			}); err != nil || resp.GetEvent().GetPosition() != position {
				t.Fatalf("event %d: %v, %v", n, resp, err)
			}
			position = add(t, leader, channel, event("a", 0)).GetEvents()[0].GetPosition()
			stream, err := c.Read(atLeast(patient(t), position), &eventstorev1.ReadRequest{
				Query: &eventstorev1.Query{}, Start: &eventstorev1.ReadRequest_FromPosition{FromPosition: position}})
			if got := all(t, stream, err); len(got) != 1 || len(got[0].GetEvents()) != 1 {
				t.Fatalf("read from position %d: %v", position, got)
			}
		}

		// Who asks too early waits.
		for _, c := range []client{standby, leader} {
			answered := make(chan error, 1)
			last := add(t, leader, orders, event("b", 0)).GetEvents()[0].GetPosition()
			go func() {
				stream, err := c.ReadAggregate(atLeast(patient(t), last+1), &eventstorev1.ReadAggregateRequest{Channel: orders, AggregateType: "Order", AggregateId: fmt.Sprint("late-", last)})
				responses, err := drain(stream, err)
				if err == nil && len(responses) != 1 {
					err = fmt.Errorf("%d responses", len(responses))
				}
				answered <- err
			}()
			add(t, leader, orders, event(fmt.Sprint("late-", last), 1))
			if err := <-answered; err != nil {
				t.Errorf("who asks before the append: %v", err)
			}
		}
	})
}

// TestPositionOutOfReach: a position that no event gets in time is an error that says so.
func TestPositionOutOfReach(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	_, leaderAddress := start(t, "sqlite", source)
	leader := dial(t, leaderAddress)
	add(t, leader, orders, event("a", 1))
	_, address, _ := readStandBy(t, "sqlite", source)
	for name, c := range map[string]client{"leader": leader, "standby": dial(t, address)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.ListChannels(atLeast(patient(t), 2), &eventstorev1.ListChannelsRequest{})
			wantCode(t, "beyond the end", err, connect.CodeUnavailable)
			if err == nil || !strings.Contains(err.Error(), "does not reach the position 2: as far as this server knows, it ends at 1") {
				t.Errorf("beyond the end: %v", err)
			}
			brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err = c.ListChannels(atLeast(brief, uint64(1)<<63), &eventstorev1.ListChannelsRequest{})
			wantCode(t, "deadline", err, connect.CodeDeadlineExceeded)
			for _, bad := range []string{"-1", "x", "1.5", "99999999999999999999"} {
				_, err = c.ListChannels(atLeast(patient(t), bad), &eventstorev1.ListChannelsRequest{})
				wantCode(t, bad, err, connect.CodeInvalidArgument)
			}
			if _, err := c.ListChannels(atLeast(patient(t), 0), &eventstorev1.ListChannelsRequest{}); err != nil {
				t.Errorf("position 0: %v", err)
			}
		})
	}
}
