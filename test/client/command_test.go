package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// request is what a caller asks for.
type request struct {
	Cents   int64
	Comment map[string]string
}

// Messages of protobuf are the content of a command, with what encoding/json would not tell apart.
func TestCommandWithMessage(t *testing.T) {
	t.Parallel()
	accounts := onSQLite(t).accounts()
	pay := func(content *structpb.Value) error {
		_, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) { return []any{deposited{1}}, nil }, eventstore.Command("c", content))
		return err
	}
	for content, want := range map[*structpb.Value]error{structpb.NewBoolValue(true): nil, structpb.NewStringValue("true"): eventstore.ErrDuplicate} {
		if err := errors.Join(pay(structpb.NewBoolValue(true)), pay(content)); !errors.Is(err, want) {
			t.Errorf("%v: error %v, want %v", content, err, want)
		}
	}
}

// The ID of a command stands for one aggregate and one content. Whoever uses it for another command learns that, and nothing is stored.
func TestCommandIsUsedOnce(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		ask := request{5, map[string]string{"to": "Ada", "for": "lunch"}}
		pay := func(id string, options ...eventstore.ExecuteOption) error {
			result, err := accounts.Execute(patient(t), id, func(a account, _ uint64) ([]any, error) {
				return []any{deposited{int64(a.Count + 1)}}, nil // another event each time
			}, options...)
			if err == nil && (result.State.Count != 1 || result.Version != 1) {
				t.Errorf("%s: %+v", id, result)
			}
			return err
		}
		for range 2 {
			if err := pay("a", eventstore.Command("with", ask, "EUR")); err != nil {
				t.Error(err)
			}
			if err := pay("b", eventstore.Command("without")); err != nil {
				t.Error(err)
			}
		}
		other := request{5, map[string]string{"to": "Eve", "for": "lunch"}}
		for want, err := range map[string]error{
			`command "with" was executed on aggregate "a" (Account) of channel "eventstore.accounts", at position 1, but with another content`: pay("a", eventstore.Command("with", other, "EUR")),
			`at position 1, but with another content: give each command an ID of its own`:                                                      pay("a", eventstore.Command("with")),
			`on aggregate "a" (Account) of channel "eventstore.accounts", at position 1, and not on aggregate "c" (Account)`:                   pay("c", eventstore.Command("with", ask, "EUR")),
			`on aggregate "b" (Account) of channel "eventstore.accounts", at position 2, and not on aggregate "c" (Account)`:                   pay("c", eventstore.Command("without")),
		} {
			if !errors.Is(err, eventstore.ErrDuplicate) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if err := pay("c", eventstore.Command("other", make(chan int))); err == nil || !strings.Contains(err.Error(), "JSON") {
			t.Errorf("content that does not encode: %v", err)
		}
		for _, content := range []any{struct{ cents int }{5}, []*struct {
			In map[string]struct{ cents int }
		}{}} {
			if err := pay("c", eventstore.Command("other", content)); err == nil || !strings.Contains(err.Error(), "cents out of its content") {
				t.Errorf("content of which JSON leaves out a field: %v", err)
			}
		}
		events, err := s.client().Load(patient(t), channel, "Account", "c", 1)
		if err != nil || len(events) != 0 {
			t.Errorf("%d events, %v", len(events), err)
		}

		// Two at the same time.
		errs := make(chan error, 8)
		for n := range cap(errs) {
			go func() { errs <- pay(fmt.Sprint("race-", n%2), eventstore.Command("race", ask)) }()
		}
		duplicates := 0
		for range cap(errs) {
			if err := <-errs; errors.Is(err, eventstore.ErrDuplicate) {
				duplicates++
			} else if err != nil {
				t.Error(err)
			}
		}
		if duplicates != cap(errs)/2 {
			t.Errorf("%d calls for another aggregate, want %d", duplicates, cap(errs)/2)
		}
	})
}

// Events of earlier builds have no fingerprint: then the aggregate alone tells a repetition from a mistake.
func TestCommandOfAnEarlierBuild(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	accounts := s.accounts()
	_, err := accounts.Client.Append(patient(t), channel, []eventstore.NewEvent{{ID: "c/1", Type: "Deposited", AggregateType: "Account", AggregateID: "a", Payload: []byte(`{"Cents":5}`)}})
	if err != nil {
		t.Fatal(err)
	}
	pay := func(id string) (eventstore.Result[account], error) {
		return accounts.Execute(patient(t), id, func(account, uint64) ([]any, error) { return []any{deposited{1}}, nil }, eventstore.Command("c", "content"))
	}
	if result, err := pay("a"); err != nil || !result.Repeated || result.State.Cents != 5 {
		t.Errorf("%+v, %v", result, err)
	}
	if result, err := pay("b"); !errors.Is(err, eventstore.ErrDuplicate) || result.Stored != nil {
		t.Errorf("%+v, %v", result, err)
	}
}

// A decider's command stands for its channel, its query and its content.
func TestDeciderCommandIsUsedOnce(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	decider := s.counter()
	take := func(name, user, id string) error {
		_, err := decider.Decide(patient(t), eventstore.AllOf(eventstore.QueryItem{Tags: []string{"name:" + name}}), func(int) ([]eventstore.NewEvent, error) {
			return []eventstore.NewEvent{taken(name, user)}, nil
		}, eventstore.Command(id, name, user))
		return err
	}
	for range 2 {
		if err := take("ada", "u", "1"); err != nil {
			t.Error(err)
		}
	}
	for what, err := range map[string]error{"content": take("ada", "v", "1"), "query": take("eve", "u", "1")} {
		if !errors.Is(err, eventstore.ErrDuplicate) || !strings.Contains(err.Error(), `command "1" was executed`) {
			t.Errorf("another %s: %v", what, err)
		}
	}
}

// An expectation that does not hold is told at once: deciding again would not change it.
func TestExpect(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	accounts, decider := s.accounts(), s.counter()
	s.deposit(accounts, "known", 1)
	everything := eventstore.Query{}
	for name, it := range map[string]struct {
		expect     eventstore.Expectation
		conditions bool
	}{
		"version":   {eventstore.Exists("Account", "unknown"), false},
		"condition": {eventstore.NoneAfter(0, everything), true},
	} {
		calls := 0
		_, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) {
			calls++
			return []any{deposited{1}}, nil
		}, eventstore.Expect(it.expect))
		_, decideErr := decider.Decide(patient(t), eventstore.AllOf(eventstore.QueryItem{Tags: []string{"name:ada"}}), func(int) ([]eventstore.NewEvent, error) {
			calls++
			return []eventstore.NewEvent{{Channel: channel, AggregateType: "User", AggregateID: "u", Data: nameTaken{"ada", "u"}}}, nil
		}, eventstore.Expect(it.expect.On(channel)))
		for _, err := range []error{err, decideErr} {
			var version *eventstore.ConflictError
			var condition *eventstore.ConditionError
			if errors.As(err, &version) == it.conditions || errors.As(err, &condition) != it.conditions {
				t.Errorf("%s: %v", name, err)
			}
		}
		if calls != 2 {
			t.Errorf("%s: decided %d times, want once each", name, calls)
		}
	}
	if _, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) { return []any{deposited{1}}, nil }, eventstore.Expect(eventstore.Exists("Account", "known"))); err != nil {
		t.Error(err)
	}
}

// Events occur when the command is called, or when it says so. A NewEvent sets more than its data.
func TestEventsOfACommand(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	accounts := s.accounts()
	before, then, third := time.Now(), time.Unix(1e9, 5).UTC(), time.Unix(2e9, 0).UTC()
	for _, options := range [][]eventstore.ExecuteOption{
		{eventstore.Metadata(map[string]string{"user": "Eve", "tenant": "1"})},
		{eventstore.OccurredAt(then)},
		{eventstore.OccurredAt(time.Time{})},
	} {
		if _, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) {
			return []any{deposited{1}, eventstore.NewEvent{Data: deposited{2}, Metadata: map[string]string{"user": "Bob"}, Tags: []string{"vip"}, OccurredAt: third}}, nil
		}, options...); err != nil {
			t.Fatal(err)
		}
	}
	events, err := accounts.Client.Load(patient(t), channel, "Account", "a", 1)
	if err != nil || len(events) != 6 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if at := events[0].OccurredAt; at.Before(before.Add(-time.Microsecond)) || at.After(time.Now()) {
		t.Errorf("occurred at %v", at)
	}
	if !events[2].OccurredAt.Equal(then) || !events[4].OccurredAt.IsZero() || !events[5].OccurredAt.Equal(third) {
		t.Errorf("occurred at %v, %v, %v", events[2].OccurredAt, events[4].OccurredAt, events[5].OccurredAt)
	}
	if e := events[1]; e.Metadata["user"] != "Bob" || e.Metadata["tenant"] != "1" || fmt.Sprint(e.Tags) != "[vip]" || !e.OccurredAt.Equal(third) {
		t.Errorf("%+v", e)
	}
}

// Transfers in all directions at the same time, by two programs: no cent is lost, none block each other.
func TestExecuteMany(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		const each, names, workers, transfers = 100, "abcd", 8, 6
		all := s.accounts()
		for _, name := range names {
			if _, err := all.Execute(patient(t), string(name), func(account, uint64) ([]any, error) { return []any{deposited{each}}, nil }); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for w := range workers {
			accounts := []*eventstore.Repository[account]{all, s.accounts()}[w%2]
			wg.Go(func() {
				for n := range transfers {
					from := accounts.Aggregate(string(names[(w+n)%len(names)]))
					to := accounts.Aggregate(string(names[(w+n+1+n%(len(names)-1))%len(names)]))
					outcome, err := eventstore.ExecuteMany(patient(t), []eventstore.Participant{from, to}, func() ([]eventstore.NewEvent, error) {
						return []eventstore.NewEvent{to.Event(deposited{1}), from.Event(deposited{-1})}, nil
					}, eventstore.Command(fmt.Sprint(w, "-", n)))
					if err != nil || len(outcome.Stored) != 2 || outcome.Stored[0].Version != to.Version || outcome.Stored[1].Version != from.Version ||
						outcome.Position != from.Position || to.State.Count != int(to.Version) {
						t.Errorf("%+v, %+v, %+v, %v", outcome, from, to, err)
					}
				}
			})
		}
		wg.Wait()
		sum := int64(0)
		for _, name := range names {
			a, _, err := all.Load(patient(t), string(name))
			if sum += a.Cents; err != nil {
				t.Error(err)
			}
		}
		if sum != each*int64(len(names)) {
			t.Errorf("%d cents, want %d", sum, each*len(names))
		}
		harness.Verify(t, s.driver, s.source)
	})
}

// An aggregate of which a decision has read must not change, whether or not the decision stores events of it, or in its channel.
func TestExecuteManyReads(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		limits := *accounts
		limits.Channel, limits.AggregateType = "eventstore.limits", "Limit"
		other := eventstore.Repository[int]{Client: accounts.Client, Channel: channel, AggregateType: "Count", Registry: registry(),
			Apply: func(n int, _ *eventstore.Event) int { return n + 1 }}
		a, limit, count := accounts.Aggregate("a"), limits.Aggregate("a"), other.Aggregate("a")
		change := func(ctx context.Context, execute func(context.Context, string, func(account, uint64) ([]any, error), ...eventstore.ExecuteOption) (eventstore.Result[account], error)) {
			if _, err := execute(ctx, "a", func(account, uint64) ([]any, error) { return []any{deposited{1}}, nil }); err != nil {
				t.Error(err)
			}
		}
		elsewhere, elsewhereLimits := s.accounts(), *s.accounts()
		elsewhereLimits.Channel, elsewhereLimits.AggregateType = limits.Channel, limits.AggregateType
		calls := 0
		outcome, err := eventstore.ExecuteMany(patient(t), []eventstore.Participant{limit, count, a}, func() ([]eventstore.NewEvent, error) {
			switch calls++; calls { // another program is faster
			case 1:
				change(patient(t), elsewhereLimits.Execute)
			case 2:
				change(patient(t), elsewhere.Execute)
			case 3:
				change(patient(t), elsewhereLimits.Execute)
			}
			return []eventstore.NewEvent{count.Event(deposited{9})}, nil
		})
		if err != nil || calls != 4 || limit.State.Count != 2 || a.State.Count != 1 || count.State != 1 || len(outcome.Stored) != 1 || count.Sequence != 2 {
			t.Errorf("%d calls, %+v, %+v, %+v, %+v, %v", calls, outcome, limit, count, a, err)
		}
		for what, use := range map[string]func() error{
			"named twice": func() error {
				_, err := eventstore.ExecuteMany(patient(t), []eventstore.Participant{a, accounts.Aggregate("a")}, nil)
				return err
			},
			"no aggregates": func() error { _, err := eventstore.ExecuteMany(patient(t), nil, nil); return err },
			"another client": func() error {
				_, err := eventstore.ExecuteMany(patient(t), []eventstore.Participant{a, elsewhere.Aggregate("b")}, nil)
				return err
			},
			`name that aggregate, too`: func() error {
				_, err := eventstore.ExecuteMany(patient(t), []eventstore.Participant{a}, func() ([]eventstore.NewEvent, error) {
					return []eventstore.NewEvent{accounts.Aggregate("b").Event(deposited{1})}, nil
				})
				return err
			},
			"Repository.Apply is nil": func() error {
				_, err := (&eventstore.Repository[int]{Client: accounts.Client, Channel: channel, Registry: registry()}).Execute(patient(t), "a", nil)
				return err
			},
		} {
			if err := use(); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("got %v, want: %s", err, what)
			}
		}
	})
}

// A command on aggregates of several channels is executed once, whichever channel its events went to.
func TestExecuteManyOnce(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	accounts := s.accounts()
	limits := *accounts
	limits.Channel = "eventstore.limits"
	for n := range 4 {
		a, limit := accounts.Aggregate("a"), limits.Aggregate("a")
		all := []eventstore.Participant{a, limit}
		if n%2 == 1 {
			all = []eventstore.Participant{limit, a}
		}
		outcome, err := eventstore.ExecuteMany(patient(t), all, func() ([]eventstore.NewEvent, error) {
			return []eventstore.NewEvent{limit.Event(deposited{1}), limit.Event(deposited{2})}, nil
		}, eventstore.Command("c", 1))
		if err != nil || outcome.Repeated != (n > 0) || limit.State.Cents != 3 || outcome.Position != 2 || a.Version != 0 {
			t.Errorf("%+v, %+v, %v", outcome, limit, err)
		}
	}
	_, err := eventstore.ExecuteMany(patient(t), []eventstore.Participant{limits.Aggregate("a"), accounts.Aggregate("b")}, nil, eventstore.Command("c", 1))
	if !errors.Is(err, eventstore.ErrDuplicate) || !strings.Contains(err.Error(), "but not with the same content on aggregate") {
		t.Errorf("other aggregates: %v", err)
	}
}

// Commands of one client on one aggregate never conflict: each is decided once, and the one that came first is stored first. Nobody
// waits longer than its context allows.
func TestCommandsTakeTurns(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	accounts := s.accounts()
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) {
			close(entered)
			<-leave
			return []any{deposited{1}}, nil
		})
		done <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	copied := *accounts
	copied.Client = accounts.Client.AtLeast(0)
	if _, err := copied.Execute(ctx, "a", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if _, err := accounts.Execute(patient(t), "b", func(account, uint64) ([]any, error) { return nil, nil }); err != nil {
		t.Errorf("another aggregate: %v", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	var decisions sync.WaitGroup
	calls := make(chan uint64, 100)
	for range cap(calls) {
		decisions.Go(func() {
			if _, err := accounts.Execute(patient(t), "a", func(_ account, version uint64) ([]any, error) {
				calls <- version // would block on a second attempt
				return []any{deposited{1}}, nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	decisions.Wait()
	for want := uint64(1); want <= uint64(cap(calls)); want++ {
		if got := <-calls; got != want {
			t.Fatalf("decision %d was made at version %d", want, got)
		}
	}
}
