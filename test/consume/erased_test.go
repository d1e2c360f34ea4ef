package consume_test

import (
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb/pbconnect"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestErased: a member gets an erased event with its mark, in its turn: for the first time, again, and after it was parked. The services
// of other event stores say it in event_data.
func TestErased(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		named := func(id string) *eventstorev1.Event {
			return &eventstorev1.Event{EventId: id, EventType: "Named", AggregateType: "Person", AggregateId: "p-" + id[:1], EventData: []byte(`{"name":"Zylphabella"}`), Tags: []string{"name:Zylphabella"}}
		}
		if _, err := s.client().Append(t.Context(), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{named("a1"), named("b1"), named("a2"), named("a3")}}); err != nil {
			t.Fatal(err)
		}
		name := &open{Channel: orders, ClientId: "c", Group: "g", Durable: "d", Credit: 3, Start: &eventstorev1.ConsumeRequest_Open_FromSequence{FromSequence: 1}}
		before := s.join(name)
		if got := strings.Join(before.take(3), " "); got != "1*1 2*1 3*1" {
			t.Fatal(got)
		}
		before.nack(&nack{Sequences: []uint64{1}, Action: eventstorev1.ConsumeRequest_Nack_ACTION_PARK, Reason: "no address for Zylphabella"})
		until(t, "the event is parked", func() bool {
			return len(rows(t, driver, source, "SELECT sequence FROM parked_messages WHERE sequence = 1")) == 1
		})
		if _, err := s.admin().EraseEvents(t.Context(), &eventstorev1.EraseEventsRequest{Events: &eventstorev1.EraseEventsRequest_AggregateId{AggregateId: "p-a"}, Reason: "request 1"}); err != nil {
			t.Fatal(err)
		}
		// One more that was never sent, and those that nobody has acknowledged.
		before.die()
		after := s.join(name)
		after.credit(7)
		seen := map[uint64]bool{}
		check := func(n int) {
			t.Helper()
			for len(seen) < n {
				d, err := after.next()
				if err != nil {
					t.Fatal(err)
				}
				r := d.GetEvent()
				e := r.GetEvent()
				if erased := e.GetAggregateId() == "p-a"; erased != (e.GetErased().GetErasure() == 1) || erased && (len(e.GetEventData()) > 0 || len(e.GetTags()) > 0 || e.GetEventType() != "Named") {
					t.Errorf("sequence %d: %v", r.GetSequence(), e)
				}
				seen[r.GetSequence()] = true
				after.ack(r.GetSequence())
			}
		}
		check(3)
		if seen[1] {
			t.Error("what is parked was delivered")
		}
		if got := rows(t, driver, source, "SELECT reason FROM parked_messages WHERE sequence = 1"); len(got) != 1 || got[0] != "" {
			t.Errorf("the reason: %q", got)
		}
		if _, err := s.admin().ReplayParked(t.Context(), &eventstorev1.ReplayParkedRequest{Channel: orders, Name: "d:g", All: true}); err != nil {
			t.Fatal(err)
		}
		check(4)
		after.leave()

		const mark = `{"erased":{"erasure":"1"}}`
		want := map[string]string{"a1": mark, "b1": `{"name":"Zylphabella"}`, "a2": mark, "a3": mark}
		answers := map[string]map[string]string{}
		first := eventstoreconnect.NewEventStoreClient(http.DefaultClient, s.url())
		for what, req := range map[string]*eventstore.GetEventsRequest{"all": {}, "by aggregate": {AggregateId: "p-a"}, "by ID": {EventId: "a2"}} {
			resp, err := first.GetEvents(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			answers[what] = map[string]string{}
			for _, e := range resp.GetEvents() {
				if e.GetStream() == orders {
					answers[what][e.GetEventId()] = e.GetEventData()
				}
			}
		}
		second, err := pbconnect.NewEventStoreClient(http.DefaultClient, s.url(), connect.WithProtoJSON()).GetEvents(t.Context(), &pb.EventFilter{AggregateId: "p-a"})
		if err != nil {
			t.Fatal(err)
		}
		answers["by the other service"] = map[string]string{}
		for _, e := range second.GetEvents() {
			answers["by the other service"][e.GetEventId()] = e.GetEventData()
		}
		for what, got := range answers {
			if n := map[string]int{"all": 4, "by ID": 1}[what]; len(got) != max(n, 1) && n > 0 || n == 0 && len(got) != 3 {
				t.Errorf("%s: %v", what, got)
			}
			for id, data := range got {
				if data != want[id] {
					t.Errorf("%s: event %s has %s", what, id, data)
				}
			}
		}
	})
}
