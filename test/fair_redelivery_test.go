package test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A durable that never acknowledges has thousands of messages due again, and gets them at the rate that all share. Another consumer does not wait
// behind them: its messages come again for the first time at once, and from then on it takes turns.
func TestRedeliveriesTakeTurns(t *testing.T) {
	t.Parallel()
	const backlog, few = 5000, 20
	s := start(t, "sqlite", databases.SQLite(t), "-c", config(t, `
		redelivery_rate: 500
		consumers: [{ack_wait: "200ms"}]`))
	sc := s.busy()
	publishAll(t, sc, backlog, func(int) (string, []byte) { return "storm", nil })
	publishAll(t, sc, few, func(int) (string, []byte) { return "bystander", nil })
	var repeated atomic.Int64 // by the rate: first repetitions are not
	if _, err := sc.Subscribe("storm", func(m *stan.Msg) {
		if m.RedeliveryCount > 1 {
			repeated.Add(1)
		}
	}, stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.MaxInflight(backlog)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return repeated.Load() > 0 })
	before := repeated.Load()
	began := time.Now()
	_, in := subscribe(t, s.connect("bystander"), "bystander", stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode())
	for count := range uint32(4) { // one delivery and three redeliveries
		for seq := uint64(1); seq <= few; seq++ {
			if m := in.next(t); m.Sequence != seq || m.RedeliveryCount != count {
				t.Fatalf("received %d (redelivered %d times), want %d (%d times)", m.Sequence, m.RedeliveryCount, seq, count)
			}
		}
	}
	n := repeated.Load() - before
	t.Logf("%d messages were sent four times in %v, and %d of the other consumer between them", few, time.Since(began).Round(time.Millisecond), n)
	if n > backlog/2 {
		t.Errorf("%d messages of another consumer were sent again before %d of this one were, twice", n, few)
	}
}
