package storetest

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Encoding runs the contract of a database whose encoding lacks characters: bad, and none of those in good. A message with bad
// is refused, whether its row or a look-up meets it, and others are stored.
func Encoding(t *testing.T, o stores.Options, good, bad string) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore."+good)
	fine := event{id: good, typ: good, aggregate: good, aggregateType: good, data: `"` + good + `"`, correlation: good}
	if r := appendAll(t, s, fine.on(t, c))[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	s, _ = restart(t, s, o) // forgets the versions of aggregates
	c = s.Channel(c.Name())
	next := uint64(1)
	for name, e := range map[string]event{
		"aggregate_id":   {aggregate: bad},
		"aggregate_type": {aggregate: good, aggregateType: bad},
		"event_type":     {aggregate: good, typ: bad},
		"event_data":     {aggregate: good, data: `"` + bad + `"`},
		"escaped data":   {aggregate: good, data: `"\u65e5"`}, // 日
		"metadata":       {aggregate: good, correlation: bad},
		"event_id":       {aggregate: good, id: bad},
		"retried":        {aggregate: good, id: bad, version: 9},
		"both":           {aggregate: bad, id: bad},
	} {
		plain := stores.Append{Channel: c, Payload: []byte(bad)}
		results := appendAll(t, s, plain, event{aggregate: name}.on(t, c), e.on(t, c), event{aggregate: name}.on(t, c), plain)
		for i, r := range results {
			if i == 2 {
				expectError(t, r.Err, stores.ErrRefused)
				continue
			}
			if next++; r.Err != nil || r.Sequence != next {
				t.Fatalf("%s: message %d: %+v, want sequence %d", name, i, r, next)
			}
		}
	}
	group := &stores.Group{Expect: []stores.Expectation{{AggregateID: bad, State: stores.ExpectNone}}}
	grouped := event{aggregate: "grouped"}.on(t, c)
	grouped.Group = group
	results := appendAll(t, s, grouped, grouped, event{aggregate: "after"}.on(t, c))
	expectError(t, results[0].Err, stores.ErrRefused)
	expectError(t, results[1].Err, stores.ErrRefused)
	if results[2].Err != nil {
		t.Fatal(results[2].Err)
	}
	readAll(t, s, c)

	_, _, err := s.ReadAggregate(testContext(t), stores.Aggregate{Channel: c, ID: bad}, 1, false, 1, 1)
	expectError(t, err, stores.ErrRefused)
	_, err = s.EventsWithID(testContext(t), bad)
	expectError(t, err, stores.ErrRefused)
	created, err := s.CreateChannels(testContext(t), []string{"one", bad, "two"})
	if err == nil || len(created) != 2 {
		t.Fatalf("created %v (%v), want two of three", created, err)
	}
	old := channel(t, s, "old")
	var batch []stores.Append
	for _, aggregate := range []string{"a", bad, "a"} {
		message := event{aggregate: aggregate}.on(t, old)
		message.Event = nil
		batch = append(batch, message)
	}
	appendAll(t, s, batch...)
	left := 0
	filled, err := s.Backfill(testContext(t), old, stores.Backfill{
		Left: func(uint64, error) { left++ }, Progress: func(uint64) {},
	})
	if err != nil || filled != 2 || left != 1 {
		t.Fatalf("%d messages became events and %d did not (%v), want 2 and 1", filled, left, err)
	}
}
