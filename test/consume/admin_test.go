package consume_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

func (s *server) admin() eventstorev1connect.AdminClient {
	return eventstorev1connect.NewAdminClient(http.DefaultClient, s.url())
}

// TestParkedAndReplayed: messages that nobody can handle are parked at their limit of deliveries, and come again, in order and with a
// new count, once an administrator replays them.
func TestParkedAndReplayed(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		s.fill(orders, 6)
		limit, onLimit, name := uint32(2), "park", "d:workers"
		if _, err := s.admin().ConfigureConsumer(t.Context(), &eventstorev1.ConfigureConsumerRequest{
			Channel: orders, Name: name,
			Settings: &eventstorev1.ConsumerSettings{MaxDeliveries: &limit, OnLimit: &onLimit},
		}); err != nil {
			t.Fatal(err)
		}
		o := &open{Channel: orders, ClientId: "a", Group: "workers", Durable: "d", Credit: 1}
		m := s.join(o)
		var seen []string
		for range 8 {
			d, err := m.next()
			if err != nil {
				t.Fatal(err)
			}
			seq := d.GetEvent().GetSequence()
			seen = append(seen, fmt.Sprint(seq, "*", d.GetDeliveries()))
			if seq == 1 || seq == 4 {
				m.nack(&nack{Sequences: []uint64{seq}, Reason: "poison"})
			} else {
				m.ack(seq)
			}
		}
		slices.Sort(seen)
		want(t, "what the consumer saw", seen, []string{"1*1", "1*2", "2*1", "3*1", "4*1", "4*2", "5*1", "6*1"})
		m.leave()
		parked := func() (all []string) {
			list, err := s.admin().ListParked(t.Context(), &eventstorev1.ListParkedRequest{Channel: orders, Name: name})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list.GetMessages() {
				all = append(all, fmt.Sprint(p.GetSequence(), "*", p.GetDeliveries()))
			}
			return all
		}
		want(t, "parked", parked(), []string{"1*2", "4*2"})
		m = s.join(o)
		if _, err := s.admin().ReplayParked(t.Context(), &eventstorev1.ReplayParkedRequest{Channel: orders, Name: name, All: true}); err != nil {
			t.Fatal(err)
		}
		for _, again := range []string{"1*1", "4*1"} {
			want(t, "replayed", m.take(1), []string{again})
			m.ack(uint64(again[0] - '0'))
		}
		m.leave()
		want(t, "parked at the end", parked(), nil)
	})
}

// TestKickStream: a kick ends the streams of a client, and only those. Its durable keeps its position.
func TestKickStream(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	s.fill(orders, 2)
	o := &open{Channel: orders, ClientId: "a", Durable: "d", Credit: 1}
	a, b := s.join(o), s.join(&open{Channel: orders, ClientId: "b", Durable: "d", Credit: 1})
	a.take(1)
	s.connect("b")
	list, err := s.admin().ListClients(t.Context(), &eventstorev1.ListClientsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var clients []string
	for _, c := range list.GetClients() {
		clients = append(clients, fmt.Sprint(c.GetClient(), " ", c.GetSubscriptions(), " ", c.GetHealthy()))
	}
	if !slices.Equal(clients, []string{"a 1 true", "b 1 true"}) {
		t.Errorf("clients %v", clients)
	}
	if _, err := s.admin().KickClient(t.Context(), &eventstorev1.KickClientRequest{Client: "a", Reason: "hangs"}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "a stream whose client was kicked", a.end(), connect.CodeAborted)
	if _, err := s.admin().KickClient(t.Context(), &eventstorev1.KickClientRequest{Client: "a"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("kicked twice: %v", err)
	}
	want(t, "the other client", b.take(1), []string{"1*1"})
	if got := s.join(o).opened; got.GetUnacknowledged() != 1 {
		t.Errorf("the durable of a kicked client: %v", got)
	}
}
