package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// logged is an event of the model of testConditions. Its position is its index + 1.
type logged struct {
	channel string
	event   proto.Event
}

// testConditions: a group is stored if and only if no event after its position matches its query, whether the database,
// memory or the batch itself holds that event. Its events may be on several channels.
func testConditions(t *testing.T, o stores.Options) {
	r := rand.New(rand.NewPCG(1, 2))
	s, _ := lead(t, o)
	names := []string{"eventstore.a", "eventstore.b", "eventstore.c"}
	channels := map[string]*stores.Channel{}
	for _, name := range append(names, "plain") {
		channels[name] = channel(t, s, name)
	}
	pick := func(of []string, n int) []string {
		var some []string
		for range n {
			some = append(some, of[r.IntN(len(of))])
		}
		slices.Sort(some)
		return slices.Compact(some)
	}
	tags := []string{"a:1", "a:2", "b:1", "b:2", "c:" + fmt.Sprint(1000)}
	types := []string{"One", "Two", "Three.x"}
	item := func() stores.QueryItem {
		it := stores.QueryItem{Tags: pick(tags, 1+r.IntN(2))}
		switch r.IntN(6) {
		case 0:
			it.Tags, it.Types = nil, pick(types, 1)
		case 1:
			it.Types = pick(types, 2)
		case 2:
			it.Channels = pick(append(names, "eventstore.>"), 1)
		case 3:
			it.Tags, it.AggregateIDs = nil, []string{fmt.Sprint("A", r.IntN(20))}
		case 4:
			it.Tags, it.Types = nil, []string{"Three.*"}
		}
		return it
	}
	turn := func(context.Context) (func(), error) { return func() {}, nil }
	var log []logged
	stored, refused := 0, 0
	for round := range 60 {
		if round%15 == 14 { // memory is empty
			s, _ = restart(t, s, o)
			for name := range channels {
				channels[name] = s.Channel(name)
			}
		}
		var batch []stores.Append
		var want []*stores.ConditionError
		after := slices.Clone(log)
		for range 1 + r.IntN(8) {
			condition := stores.Condition{After: uint64(len(log)) - min(uint64(len(log)), uint64(r.IntN(6)*r.IntN(20)))}
			for range r.IntN(4) {
				condition.Query.Items = append(condition.Query.Items, item())
			}
			hidden := ""
			if r.IntN(4) == 0 {
				hidden = names[r.IntN(len(names))]
				condition.May = func(channel string) bool { return channel != hidden }
			}
			g := &stores.Group{Conditions: []stores.Condition{condition}}
			if r.IntN(2) == 0 {
				if err := s.CheckCondition(testContext(t), &g.Conditions[0], turn); err != nil {
					t.Fatal(err)
				}
			}
			var group []logged
			for range 1 + r.IntN(3) {
				name := names[r.IntN(len(names))]
				a := event{typ: pick(types, 1)[0], aggregate: fmt.Sprint("A", r.IntN(20)), tags: pick(tags, r.IntN(3))}.on(t, channels[name])
				a.Group = g
				group = append(group, logged{name, *a.Event})
				batch = append(batch, a)
			}
			var conflict *stores.ConditionError
			for i := condition.After; i < uint64(len(after)) && conflict == nil; i++ {
				if e := &after[i]; e.channel != hidden && condition.Query.Matches(e.channel, &e.event) {
					conflict = &stores.ConditionError{Number: 1, After: condition.After, Position: i + 1, Channel: e.channel}
				}
			}
			for range group {
				want = append(want, conflict)
			}
			if conflict == nil {
				after = append(after, group...)
			}
			if r.IntN(3) == 0 {
				batch = append(batch, stores.Append{Channel: channels["plain"], Payload: []byte("x")})
				want = append(want, nil)
			}
		}
		position := uint64(len(log))
		for i, result := range appendAll(t, s, batch...) {
			var got *stores.ConditionError
			switch {
			case want[i] == nil && result.Err != nil:
				t.Fatalf("round %d: %v", round, result.Err)
			case want[i] == nil && batch[i].Event != nil:
				if position++; result.Position != position || result.Message.Position != position {
					t.Fatalf("round %d: position %d, want %d", round, result.Position, position)
				}
				stored++
			case want[i] == nil:
			case !errors.As(result.Err, &got) || *got != *want[i]:
				t.Fatalf("round %d: error %v, want %v", round, result.Err, want[i])
			default:
				refused++
			}
		}
		if log = after; s.Position() != uint64(len(log)) {
			t.Fatalf("round %d: the log ends at %d, want %d", round, s.Position(), len(log))
		}
	}
	if stored < 100 || refused < 100 {
		t.Errorf("only %d stored and %d refused", stored, refused)
	}
	if got := queryText(t, raw(t, o), "SELECT COUNT(*) FROM EventTags"); got == "0" {
		t.Error("no tags are stored")
	}

	// While the database looks at the events for one condition, others append, which that condition then meets.
	s, _ = restart(t, s, o)
	for name := range channels {
		channels[name] = s.Channel(name)
	}
	met := stores.Condition{Query: stores.Query{Items: []stores.QueryItem{{Types: []string{"Late.*"}}}}}
	late := uint64(0)
	if err := s.CheckCondition(testContext(t), &met, func(context.Context) (func(), error) {
		if late == 0 {
			late = appendAll(t, s, event{typ: "Late.x", aggregate: "L"}.on(t, channels[names[0]]))[0].Position
		}
		return turn(testContext(t))
	}); err != nil || late == 0 {
		t.Fatalf("position %d, error %v", late, err)
	}
	refusal := event{aggregate: "L"}.on(t, channels[names[1]])
	refusal.Group = &stores.Group{Conditions: []stores.Condition{met}}
	if got := (*stores.ConditionError)(nil); !errors.As(appendAll(t, s, refusal)[0].Err, &got) || got.Position != late {
		t.Fatalf("the event at position %d was overlooked: %v", late, got)
	}

	// A position that is not there yet, and a group that is sent again.
	beyond := event{aggregate: "Z"}.on(t, channels[names[0]])
	beyond.Group = &stores.Group{Conditions: []stores.Condition{{After: s.Position() + 1}}}
	expectError(t, appendAll(t, s, beyond)[0].Err, stores.ErrBeyondEnd)
	beyond.Group = &stores.Group{Conditions: []stores.Condition{{After: math.MaxUint64}}}
	expectError(t, appendAll(t, s, beyond)[0].Err, stores.ErrBeyondEnd)

	// What the database cannot answer refuses its own group alone, and at once.
	unknown := event{aggregate: "Z"}.on(t, channels[names[0]])
	unknown.Group = &stores.Group{Conditions: []stores.Condition{{Query: stores.Query{Items: []stores.QueryItem{{Metadata: map[string]string{"no index": "1"}}}}}}}
	results := appendAll(t, s, unknown, stores.Append{Channel: channels["plain"], Payload: []byte("x")})
	expectError(t, results[0].Err, stores.ErrNotIndexed)
	expectError(t, results[1].Err, nil)
	again := func(after uint64) []stores.Append {
		a, b := event{id: "1", aggregate: "Z"}.on(t, channels[names[0]]), event{id: "2", aggregate: "Z"}.on(t, channels[names[1]])
		a.Group = &stores.Group{Conditions: []stores.Condition{{After: after}}}
		b.Group = a.Group
		return []stores.Append{a, b}
	}
	end := s.Position()
	for range 2 {
		for i, result := range appendAll(t, s, again(end)...) {
			if result.Err != nil || result.Position != end+1+uint64(i) {
				t.Fatalf("sent again: position %d, error %v, want position %d", result.Position, result.Err, end+1+uint64(i))
			}
		}
	}
}
