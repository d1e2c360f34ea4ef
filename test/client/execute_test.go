package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// Commands that race for one account are all executed, each on the state that the previous one left.
func TestExecuteUnderContention(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		s.deposit(accounts, "a", 0)
		const workers, commands = 8, 5
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range commands {
					if _, err := accounts.Execute(patient(t), "a", func(a account, version uint64) ([]any, error) {
						if version != uint64(a.Count)+1 {
							return nil, fmt.Errorf("version %d of %+v", version, a)
						}
						return []any{deposited{int64(a.Count + 1)}}, nil
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		a, version, err := accounts.Load(patient(t), "a")
		if err != nil {
			t.Fatal(err)
		}
		const n = workers * commands
		if a.Count != n || a.Cents != n*(n+1)/2 || version != n+1 {
			t.Errorf("version %d of %+v", version, a)
		}
		harness.Verify(t, s.driver, s.source)
	})
}

// A command with an ID is executed once. The error of decide is returned unchanged. A command without events stores
// nothing.
func TestExecuteOnce(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		for n := range 3 {
			result, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) {
				return []any{opened{"Ada"}, deposited{5}}, nil
			}, eventstore.Command("command-1"), eventstore.Metadata(map[string]string{"user": "Eve"}))
			if err != nil || result.State.Cents != 5 || result.Version != 2 || result.Sequence != 2 || result.Position != 2 || result.Repeated != (result.Stored == nil) || result.Repeated != (n > 0) {
				t.Fatalf("%+v, %v", result, err)
			}
		}
		refused := errors.New("refused")
		if _, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) { return nil, refused }); !errors.Is(err, refused) {
			t.Errorf("got %v, want the error of decide", err)
		}
		if _, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) { return nil, nil }); err != nil {
			t.Error(err)
		}
		events, err := accounts.Client.Load(patient(t), channel, "Account", "a", 2)
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events from version 2 on, %v", len(events), err)
		}
		if e := events[0]; e.ID != "command-1/2" || e.Version != 2 || e.Sequence != 2 || e.Metadata["user"] != "Eve" || e.RecordedAt.IsZero() {
			t.Errorf("%+v", e)
		}
	})
}

// Concurrent calls of one command execute it once, whatever each call would decide, and all see the result.
func TestExecuteOnceAtTheSameTime(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		var decisions atomic.Int64
		var mu sync.Mutex
		states := map[account]int{}
		var wg sync.WaitGroup
		const calls = 8
		for range calls {
			wg.Go(func() {
				result, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) {
					n := decisions.Add(1)
					return slices.Repeat([]any{deposited{n}}, 1+int(n)%3), nil
				}, eventstore.Command("command-1"))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				states[result.State]++
			})
		}
		wg.Wait()
		a, _, err := accounts.Load(patient(t), "a")
		if err != nil || a.Count == 0 || a.Cents%int64(a.Count) != 0 || len(states) != 1 || states[a] != calls {
			t.Errorf("account %+v, error %v; calls saw %v", a, err, states)
		}
	})
}

// A conflicting append reports the aggregate's version and stores nothing of any aggregate.
func TestAppendConflict(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		s.deposit(accounts, "a", 2)
		event := func(id string) eventstore.NewEvent {
			e, err := accounts.Registry.New("Account", id, deposited{1})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		c := accounts.Client
		for name, expectation := range map[string]eventstore.Expectation{
			"version": eventstore.AtVersion("Account", "a", 2),
			"none":    eventstore.NoEvents("Account", "a"),
			"zero":    eventstore.AtVersion("Account", "a", 0),
		} {
			_, err := c.Append(patient(t), channel, []eventstore.NewEvent{event("b"), event("a")}, expectation)
			var conflict *eventstore.ConflictError
			if !errors.As(err, &conflict) || conflict.Current != 3 || conflict.AggregateID != "a" || conflict.Channel != channel {
				t.Errorf("%s: %v", name, err)
			}
		}
		var conflict *eventstore.ConflictError
		if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{event("a")}, eventstore.Exists("Account", "b")); !errors.As(err, &conflict) {
			t.Errorf("an aggregate without events: got %v, want a conflict", err)
		}
		positions, err := c.Append(patient(t), channel, []eventstore.NewEvent{event("b"), event("a")},
			eventstore.AtVersion("Account", "a", 3), eventstore.NoEvents("Account", "b"))
		if err != nil || len(positions) != 2 || positions[0] != (eventstore.Position{Sequence: 4, Version: 1, Position: 4}) || positions[1] != (eventstore.Position{Sequence: 5, Version: 4, Position: 5}) {
			t.Errorf("%v, %v", positions, err)
		}
		if _, err := c.Get(patient(t), channel, "missing"); !errors.Is(err, eventstore.ErrNotFound) {
			t.Errorf("a missing event: got %v, want ErrNotFound", err)
		}
	})
}

// Calls survive a server that is killed and restarted.
func TestCallsWaitForTheServer(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		s.deposit(accounts, "a", 1)
		s.Kill()
		s.Args = append(s.Args, "-grpc_port", portOf(t, s.api()))
		done := make(chan error, 1)
		go func() {
			_, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) { return []any{deposited{2}}, nil })
			done <- err
		}()
		s.Restart()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if a, _, err := accounts.Load(context.Background(), "a"); err != nil || a.Cents != 3 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
