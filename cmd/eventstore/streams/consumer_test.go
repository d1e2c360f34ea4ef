package streams

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

// Settings become those of JetStream, within its rules, and what has no equal there is said.
func TestConfig(t *testing.T) {
	t.Parallel()
	limit, own := uint32(2), uint32(10)
	paused := true
	order := "aggregate"
	c := &eventstorev1.Consumer{
		Channel: "orders", Name: "d:g", Durable: true, Queue: true, Exists: true, LastSent: 20, Unacked: 2, FirstUnacked: 15, Parked: 3,
		Members: []*eventstorev1.ConsumerMember{{MaxInflight: 5, AckWait: durationpb.New(time.Minute)}, {MaxInflight: 7}},
		Settings: &eventstorev1.ConsumerSettings{
			MaxDeliveries: &limit, Backoff: []*durationpb.Duration{durationpb.New(1), durationpb.New(2), durationpb.New(3)}, Paused: &paused, OrderBy: &order,
			Filter: &eventstorev1.ConsumerFilter{Types: []string{"OrderPaid", "refunds.>"}, Tags: []string{"a"}},
		},
	}
	template, err := relay.ParseTemplate("{channel}.{event_type}")
	if err != nil {
		t.Fatal(err)
	}
	got, notes := config(c, "d_g", template.In("orders"))
	if got.OptStartSeq != 15 || got.MaxAckPending != 12 || got.MaxDeliver != 2 || !slices.Equal(got.BackOff, []time.Duration{1, 2}) || got.AckWait != 1 ||
		got.PauseUntil == nil || !slices.Equal(got.FilterSubjects, []string{"orders.OrderPaid", "orders.refunds.>"}) {
		t.Errorf("%+v", got)
	}
	text := strings.Join(notes, "\n")
	for _, want := range []string{"up to 4 messages again", "3 parked", "order_by aggregate", "filter of tags", "paused"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said: %s", want, text)
		}
	}
	c.Settings.Filter.Types = []string{"Order*"}
	c.Settings.MaxInflight = &own
	got, notes = config(c, "d_g", template.In("orders"))
	if len(got.FilterSubjects) > 0 || !strings.Contains(strings.Join(notes, "\n"), "filter of types") || got.MaxAckPending != 20 {
		t.Errorf("%+v %v", got, notes)
	}
	stall := "stall"
	c.Settings.OnLimit = &stall
	got, notes = config(c, "d_g", template.In("orders"))
	if got.MaxDeliver != -1 || len(got.BackOff) != 3 || !strings.Contains(strings.Join(notes, "\n"), "cannot stall after 2") {
		t.Errorf("a consumer that stalls would lose a message: %+v %v", got, notes)
	}
	got, notes = config(&eventstorev1.Consumer{Name: "g", Queue: true, LastSent: 7}, "g", template)
	if got.OptStartSeq != 8 || got.MaxAckPending != defaultMaxInflight || got.AckWait != defaultAckWait || got.MaxDeliver != -1 || len(notes) > 0 {
		t.Errorf("%+v %v", got, notes)
	}
}

// Any name becomes one that JetStream takes, or an error that says what to do.
func TestNames(t *testing.T) {
	t.Parallel()
	o := Options{Streams: map[string]string{"x": "X Y"}, Consumers: map[string]string{"w/d": "mine", "g": "a.b"}}
	for channel, want := range map[string]string{"a.b": "a_b", "ä b/c*>": "___b_c__"} {
		if got, err := o.streamOf(channel); err != nil || got != want {
			t.Errorf("channel %q: stream %q, %v", channel, got, err)
		}
	}
	if _, err := o.streamOf("x"); err == nil || !strings.Contains(err.Error(), "--stream x=NAME") {
		t.Errorf("a stream with a space: %v", err)
	}
	for _, test := range []struct{ client, name, want string }{{"w", "d", "mine"}, {"w-2", "a.b", "w-2_a_b"}, {"", "d:g", "d_g"}} {
		if got, err := o.consumerName(&eventstorev1.Consumer{Client: test.client, Name: test.name}); err != nil || got != test.want {
			t.Errorf("%v: %q, %v", test, got, err)
		}
	}
	if _, err := o.consumerName(&eventstorev1.Consumer{Name: "g"}); err == nil || !strings.Contains(err.Error(), "--consumer 'g=NAME'") {
		t.Errorf("a consumer with a dot: %v", err)
	}
}
