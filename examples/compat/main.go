// Command compat calls the two compatible gRPC services, eventstore.EventStore and pb.EventStore, with stubs that
// protoc-gen-go-grpc generated. It stores an event through each and reads it back.
//
//	nats-streaming-server -a 127.0.0.1 -grpc_port 4280
//	go run ./examples/compat localhost:4280
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/nats-eventstore/nats-eventstore/examples/compat/stubs/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/examples/compat/stubs/compat/pb"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compat host:port")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, out io.Writer) (err error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()

	orders := eventstore.NewEventStoreClient(conn)
	created, err := orders.CreateEvent(ctx, &eventstore.CreateEventRequest{Event: &eventstore.Event{
		EventId: "1", EventType: "OrderCreated", AggregateId: "order-1", AggregateType: "Order",
		EventData: `{"amount":1}`, Stream: "eventstore.orders",
	}})
	if err != nil {
		return fmt.Errorf("create event: %w", err)
	}
	fmt.Fprintln(out, "eventstore created:", created.GetIsSuccess(), created.GetError())

	payments := pb.NewEventStoreClient(conn)
	answer, err := payments.CreateEvent(ctx, &pb.Event{
		EventId: "2", EventType: "OrderPaid", AggregateId: "order-1", AggregateType: "Order", EventData: "cash",
	})
	if err != nil {
		return fmt.Errorf("create event: %w", err)
	}
	fmt.Fprintln(out, "pb created:", answer.GetIsSuccess(), answer.GetError())
	_, refused := payments.CreateEvent(ctx, &pb.Event{EventId: "2", EventType: "OrderVoided", AggregateId: "order-1"})
	fmt.Fprintln(out, "pb refused:", status.Code(refused), status.Convert(refused).Message())

	stream, err := orders.GetEventsStream(ctx, &eventstore.GetEventsRequest{})
	if err != nil {
		return fmt.Errorf("stream events: %w", err)
	}
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("stream events: %w", err)
		}
		fmt.Fprintln(out, "event:", e.GetEventId(), e.GetEventType(), e.GetAggregateId(), e.GetEventData(), e.GetStream())
	}
	found, err := payments.GetEvents(ctx, &pb.EventFilter{EventId: "2", AggregateId: "order-1"})
	if err != nil {
		return fmt.Errorf("find events: %w", err)
	}
	for _, e := range found.GetEvents() {
		fmt.Fprintln(out, "found:", e.GetEventId(), e.GetEventType(), e.GetChannel())
	}
	none, err := orders.GetEvents(ctx, &eventstore.GetEventsRequest{EventId: "2", AggregateId: "order-2"})
	if err != nil {
		return fmt.Errorf("find events: %w", err)
	}
	fmt.Fprintln(out, "of another order:", len(none.GetEvents()))
	return nil
}
