package consume_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestRefusedOpens: what is wrong with a first request is said in the words of the caller.
func TestRefusedOpens(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-max_inflight", "1000")
	for _, it := range []struct {
		open *open
		code connect.Code
		says string
	}{
		{&open{Channel: orders, Credit: 1}, connect.CodeInvalidArgument, "client_id is missing"},
		{&open{Channel: orders, Credit: 1, ClientId: "a.b"}, connect.CodeInvalidArgument, `client_id is "a.b"`},
		{&open{Channel: orders, Credit: 1, ClientId: "a", Group: "g", Durable: "d:e"}, connect.CodeInvalidArgument, "must not contain a colon"},
		{&open{Channel: orders, ClientId: "a"}, connect.CodeInvalidArgument, "credit is missing"},
		{&open{Channel: orders, ClientId: "a", Credit: 1001}, connect.CodeInvalidArgument, "at most 1000"},
		{&open{Channel: orders, ClientId: "a", Credit: math.MaxUint32}, connect.CodeInvalidArgument, "at most 1000"},
		{&open{Channel: orders, ClientId: "a", Credit: 1, AckWait: &durationpb.Duration{Nanos: 1}}, connect.CodeInvalidArgument, "at least 1s"},
		{&open{Channel: orders, ClientId: "a", Credit: 1, AckWait: seconds(math.MaxInt32 + 1)}, connect.CodeInvalidArgument, "68 years"},
		{&open{Channel: orders, ClientId: "a", Credit: 1, AckWait: &durationpb.Duration{Seconds: 1, Nanos: -1}}, connect.CodeInvalidArgument, "ack_wait"},
		{&open{Channel: orders, ClientId: "a", Credit: 1, Start: &eventstorev1.ConsumeRequest_Open_FromTime{FromTime: &timestamppb.Timestamp{Nanos: -1}}}, connect.CodeInvalidArgument, "from_time"},
		{&open{Channel: "", ClientId: "a", Credit: 1}, connect.CodeInvalidArgument, "not a valid channel name"},
		{&open{Channel: "a..b", ClientId: "a", Credit: 1}, connect.CodeInvalidArgument, "not a valid channel name"},
		{&open{Channel: "plain", ClientId: "a", Credit: 1}, connect.CodeFailedPrecondition, "not an event channel"},
		{&open{Channel: "eventstore.>", ClientId: "a", Credit: 1}, connect.CodeFailedPrecondition, "-wildcards"},
	} {
		err := s.begin(it.open).end()
		if connect.CodeOf(err) != it.code || !strings.Contains(err.Error(), it.says) {
			t.Errorf("%v: %v, want %v: %s", it.open, err, it.code, it.says)
		}
	}
}

// TestRefusedRequests: a request that makes no sense ends the stream.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-max_inflight", "1000")
	o := &open{Channel: orders, ClientId: "a", Credit: 1}
	ack := func(n int) *eventstorev1.ConsumeRequest {
		return &eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Ack_{Ack: &eventstorev1.ConsumeRequest_Ack{Sequences: make([]uint64, n)}}}
	}
	reject := func(n *nack) *eventstorev1.ConsumeRequest {
		return &eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Nack_{Nack: n}}
	}
	const park, skip = eventstorev1.ConsumeRequest_Nack_ACTION_PARK, eventstorev1.ConsumeRequest_Nack_ACTION_SKIP
	for _, it := range []struct {
		request *eventstorev1.ConsumeRequest
		code    connect.Code
		says    string
	}{
		{&eventstorev1.ConsumeRequest{}, connect.CodeInvalidArgument, "the request is empty"},
		{&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Open_{Open: o}}, connect.CodeInvalidArgument, "the stream is open"},
		{&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Credit_{Credit: &eventstorev1.ConsumeRequest_Credit{Credit: 1001}}}, connect.CodeInvalidArgument, "at most 1000"},
		{ack(1001), connect.CodeInvalidArgument, "at most 1000"},
		{reject(&nack{Action: 9}), connect.CodeInvalidArgument, "unknown action 9"},
		{reject(&nack{Reason: strings.Repeat("x", 1025)}), connect.CodeInvalidArgument, "at most 1024"},
		{reject(&nack{Delay: seconds(-1)}), connect.CodeInvalidArgument, "must not be negative"},
		{reject(&nack{Action: skip, Delay: seconds(1)}), connect.CodeInvalidArgument, "only for ACTION_RETRY"},
		{reject(&nack{Action: park, Sequences: []uint64{1}}), connect.CodeFailedPrecondition, "open with a durable or a group"},
	} {
		m := s.join(o)
		m.send(it.request)
		err := m.end()
		if connect.CodeOf(err) != it.code || !strings.Contains(err.Error(), it.says) {
			t.Errorf("%v: %v, want %v: %s", it.request, err, it.code, it.says)
		}
	}

	early := s.stream()
	early.send(ack(1))
	wantCode(t, "an ack before open", early.end(), connect.CodeInvalidArgument)
	nothing := s.stream()
	if err := nothing.CloseRequest(); err != nil {
		t.Error(err)
	}
	wantCode(t, "a stream without a request", nothing.end(), connect.CodeInvalidArgument)
	if m := s.join(o); m.opened.GetResumed() {
		t.Error("a plain consumer outlived its stream")
	}
}

// TestStarts: a new consumer begins where it asks; one that exists goes on.
func TestStarts(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	s.fill(orders, 5)
	info, err := s.client().GetEvent(t.Context(), &eventstorev1.GetEventRequest{Channel: orders, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 5}})
	if err != nil {
		t.Fatal(err)
	}
	var members []*member
	var firsts []string
	after := info.GetEvent().GetRecordedAt().AsTime().Add(1)
	for _, it := range []struct {
		start any
		first string
	}{
		{nil, "1*1"},
		{&eventstorev1.ConsumeRequest_Open_FromSequence{FromSequence: 3}, "3*1"},
		{&eventstorev1.ConsumeRequest_Open_FromLast{FromLast: true}, "5*1"},
		{&eventstorev1.ConsumeRequest_Open_FromTime{FromTime: timestamppb.New(after.AddDate(-1, 0, 0))}, "1*1"},
		{&eventstorev1.ConsumeRequest_Open_FromTime{FromTime: timestamppb.New(after)}, "6*1"},
		{&eventstorev1.ConsumeRequest_Open_FromEnd{FromEnd: true}, "6*1"},
	} {
		o := &open{Channel: orders, ClientId: "a", Credit: 1}
		switch start := it.start.(type) {
		case *eventstorev1.ConsumeRequest_Open_FromSequence:
			o.Start = start
		case *eventstorev1.ConsumeRequest_Open_FromLast:
			o.Start = start
		case *eventstorev1.ConsumeRequest_Open_FromTime:
			o.Start = start
		case *eventstorev1.ConsumeRequest_Open_FromEnd:
			o.Start = start
		}
		members = append(members, s.join(o))
		firsts = append(firsts, it.first)
	}
	if _, err := s.client().Append(t.Context(), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{{EventType: "Added", AggregateId: "last"}}}); err != nil {
		t.Fatal(err)
	}
	for i, m := range members {
		want(t, fmt.Sprint("start ", i), m.take(1), firsts[i:i+1])
	}
}

// TestPattern: with the option, a group reads all channels of a pattern. Acknowledgements name positions.
func TestPattern(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-wildcards")
	s.fill("eventstore.a", 2)
	s.fill("eventstore.b", 2)
	o := &open{Channel: "eventstore.*", ClientId: "a", Group: "g", Durable: "d", Credit: 2}
	m := s.join(o)
	first, err := m.next()
	if err != nil {
		t.Fatal(err)
	}
	if e := first.GetEvent(); e.GetChannel() != "eventstore.a" || e.GetSequence() != 1 || e.GetPosition() != 1 {
		t.Errorf("the first event is %v", e)
	}
	m.take(1)
	m.ack(1, 2)
	third, err := m.next()
	if err != nil {
		t.Fatal(err)
	}
	if e := third.GetEvent(); e.GetChannel() != "eventstore.b" || e.GetSequence() != 1 || e.GetPosition() != 3 {
		t.Errorf("the third event is %v", e)
	}
	m.take(1)
	m.ack(3)
	m.leave()
	m = s.join(o)
	if got := m.opened; got.GetLastSent() != 4 || got.GetUnacknowledged() != 1 {
		t.Errorf("opened %v", got)
	}
	want(t, "after a new start", m.take(1), []string{"2*2"})
	err = s.begin(&open{Channel: "other.>", ClientId: "a", Credit: 1}).end()
	wantCode(t, "a pattern that matches no event channel", err, connect.CodeFailedPrecondition)
}
