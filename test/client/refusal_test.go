package client

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/client"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestRefusal: what stan.go returns as a text is a typed error.
func TestRefusal(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-mc", "2", "-msu", "1", "-event_versions", "eventstore.unique=unique,strict"), t, "sqlite", ""}
	sc := s.stan("client-1")
	payload := func(e *eventstorev1.Event) []byte {
		b, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	event := func(id string, version uint64, data string) []byte {
		return payload(&eventstorev1.Event{EventId: id, EventType: "Placed", AggregateId: `o "1"`, EventVersion: version, EventData: []byte(data)})
	}
	const unique = "eventstore.unique"
	for _, first := range []struct {
		channel string
		payload []byte
	}{{channel, event("a", 1, "1")}, {unique, event("b", 5, "1")}} {
		if err := sc.Publish(first.channel, first.payload); err != nil {
			t.Fatal(err)
		}
	}
	subscribe := func(channel string, options ...stan.SubscriptionOption) error {
		_, err := sc.Subscribe(channel, func(*stan.Msg) {}, options...)
		return err
	}
	if err := subscribe(channel, stan.DurableName("d")); err != nil {
		t.Fatal(err)
	}
	connect := func(id string) error {
		_, err := stan.Connect("test-cluster", id, stan.NatsURL(s.URL()))
		return err
	}
	for what, test := range map[string]struct {
		err  error
		want eventstore.Refusal
	}{
		"version":           {sc.Publish(channel, event("c", 7, "1")), eventstore.Refusal{Code: refusal.CodeWrongVersion, AggregateID: `o "1"`, Current: 1, Version: 7}},
		"taken version":     {sc.Publish(unique, event("d", 5, "1")), eventstore.Refusal{Code: refusal.CodeWrongVersion, AggregateID: `o "1"`, Version: 5}},
		"duplicate":         {sc.Publish(channel, event("a", 0, "2")), eventstore.Refusal{Code: refusal.CodeDuplicateEvent, EventID: "a"}},
		"no event":          {sc.Publish(channel, []byte("no event")), eventstore.Refusal{Code: refusal.CodeInvalidEvent}},
		"JSON":              {sc.Publish(channel, []byte(`{"too many channels": 1}`)), eventstore.Refusal{Code: refusal.CodeInvalidEvent}},
		"channels":          {sc.Publish("third", nil), eventstore.Refusal{Code: refusal.CodeLimit}},
		"letter case":       {sc.Publish("eventstore.UNIQUE", event("f", 0, "1")), eventstore.Refusal{Code: refusal.CodeOther}},
		"subscriptions":     {subscribe(channel), eventstore.Refusal{Code: refusal.CodeLimit}},
		"duplicate durable": {subscribe(channel, stan.DurableName("d")), eventstore.Refusal{Code: refusal.CodeDuplicateDurable}},
		"subject":           {subscribe("a..b"), eventstore.Refusal{Code: refusal.CodeInvalidRequest}},
		"client ID":         {connect("a b"), eventstore.Refusal{Code: refusal.CodeInvalidRequest}},
		"second client":     {connect("client-1"), eventstore.Refusal{Code: refusal.CodeClientRegistered}},
	} {
		got := eventstore.AsRefusal(test.err)
		if got == nil {
			t.Errorf("%s: %v is not a refusal", what, test.err)
			continue
		}
		test.want.Err = test.err
		if *got != test.want || got.Error() != test.err.Error() || got.Temporary() {
			t.Errorf("%s: got %+v, want %+v", what, *got, test.want)
		}
		var conflict *eventstore.ConflictError
		for _, pair := range [][2]bool{
			{got.Code == refusal.CodeWrongVersion, errors.As(got, &conflict)},
			{got.Code == refusal.CodeDuplicateEvent, errors.Is(got, eventstore.ErrDuplicate)},
			{got.Code == refusal.CodeDuplicateDurable, errors.Is(got, eventstore.ErrActive)},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: an error of the API: %v, want %v", what, pair[1], pair[0])
			}
		}
	}
	for _, own := range []error{nil, stan.ErrTimeout, stan.ErrConnectionClosed, stan.ErrMaxPings, stan.ErrBadAck, fmt.Errorf("no: %w", stan.ErrNilMsg)} {
		if got := eventstore.AsRefusal(own); got != nil {
			t.Errorf("%v is a refusal: %+v", own, *got)
		}
	}
}
