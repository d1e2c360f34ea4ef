package client

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// TestReadAll: the events of all channels that match a query are read in either direction, up to a limit.
func TestReadAll(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		c := s.client()
		for i := range 12 {
			e := eventstore.NewEvent{Type: []string{"Even", "Odd"}[i%2], AggregateID: "a", Tags: []string{fmt.Sprint("t", i%3)}}
			if _, err := c.Append(patient(t), fmt.Sprint("eventstore.c", i%4), []eventstore.NewEvent{e}); err != nil {
				t.Fatal(err)
			}
		}
		odd := eventstore.AllOf(eventstore.QueryItem{EventTypes: []string{"Odd"}})
		for _, it := range []struct {
			query   eventstore.Query
			options eventstore.ReadOptions
			want    string
		}{
			{eventstore.Query{}, eventstore.ReadOptions{}, "1 2 3 4 5 6 7 8 9 10 11 12 "},
			{eventstore.Query{}, eventstore.ReadOptions{Start: eventstore.FromPosition(11)}, "11 12 "},
			{eventstore.Query{}, eventstore.ReadOptions{Start: eventstore.FromPosition(13)}, ""},
			{eventstore.Query{}, eventstore.ReadOptions{Backward: true, Limit: 2}, "12 11 "},
			{odd, eventstore.ReadOptions{Limit: 2}, "2 4 "},
			{odd, eventstore.ReadOptions{Backward: true, Start: eventstore.FromPosition(5)}, "4 2 "},
			{odd, eventstore.ReadOptions{Backward: true, Start: eventstore.FromTime(time.Now().Add(time.Hour)), Limit: 1}, "12 "},
			{eventstore.AllOf(eventstore.QueryItem{Channels: []string{"eventstore.c1"}, Tags: []string{"t2"}}), eventstore.ReadOptions{}, "6 "},
		} {
			got := ""
			err := c.ReadAll(patient(t), it.query, it.options, func(e *eventstore.Event) error {
				got += fmt.Sprint(e.Position, " ")
				if want := fmt.Sprint("eventstore.c", (e.Position-1)%4); e.Channel != want {
					t.Errorf("position %d is on channel %s, want %s", e.Position, e.Channel, want)
				}
				return nil
			})
			if err != nil || got != it.want {
				t.Errorf("%+v, %+v: %s, %v, want %s", it.query, it.options, got, err, it.want)
			}
		}
		err := c.ReadAll(patient(t), eventstore.Query{}, eventstore.ReadOptions{}, func(*eventstore.Event) error { return eventstore.ErrStop })
		if err != nil {
			t.Error(err)
		}
		for _, start := range []eventstore.Start{eventstore.FromSequence(1), eventstore.FromEnd()} {
			if err := c.ReadAll(patient(t), odd, eventstore.ReadOptions{Start: start}, nil); err == nil {
				t.Errorf("no error from %+v", start)
			}
		}
	})
}

// TestReplayAll: a replay of a query goes on through a restart, each event once.
func TestReplayAll(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		c := s.client()
		appendOne := func(i int) {
			e := eventstore.NewEvent{Type: "T", AggregateID: "a", Tags: []string{fmt.Sprint("t", i%2)}}
			if _, err := c.Append(patient(t), fmt.Sprint("eventstore.c", i%3), []eventstore.NewEvent{e}); err != nil {
				t.Fatal(err)
			}
		}
		for i := 1; i <= 6; i++ {
			appendOne(i)
		}
		got := make(chan uint64)
		replay := func(start eventstore.Start, last uint64) func() {
			done := make(chan error, 1)
			go func() {
				done <- c.ReplayAll(t.Context(), eventstore.AllOf(eventstore.QueryItem{Tags: []string{"t1"}}), start, func(e *eventstore.Event) error {
					got <- e.Position
					if e.Position == last {
						return eventstore.ErrStop
					}
					return nil
				})
			}()
			return func() {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		ended := replay(eventstore.FromBeginning(), 9)
		for _, want := range []uint64{1, 3, 5} {
			if p := <-got; p != want {
				t.Fatalf("position %d, want %d", p, want)
			}
		}
		s.Args = append(s.Args, "-grpc_port", portOf(t, s.api()))
		s.Stop()
		s.Restart()
		for i := 7; i <= 9; i++ {
			appendOne(i)
		}
		for _, want := range []uint64{7, 9} {
			if p := <-got; p != want {
				t.Fatalf("position %d, want %d", p, want)
			}
		}
		ended()
		ended = replay(eventstore.FromLast(), 9)
		if p := <-got; p != 9 {
			t.Errorf("from the last event: position %d", p)
		}
		ended()
		err := c.ReplayAll(t.Context(), eventstore.Query{}, eventstore.FromSequence(1), nil)
		if err == nil || errors.Is(err, t.Context().Err()) {
			t.Errorf("error %v", err)
		}
	})
}
