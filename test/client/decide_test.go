package client

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// The events of user names and of seats.
type (
	nameTaken  struct{ Name, User string }
	seatBooked struct{ Show, User string }
)

func (e nameTaken) Tags() []string  { return []string{"name:" + e.Name} }
func (e seatBooked) Tags() []string { return []string{"show:" + e.Show, "user:" + e.User} }

const names, shows = "eventstore.names", "eventstore.shows"

// counter counts the events that matter.
func (s *server) counter() *eventstore.Decider[int] {
	s.t.Helper()
	r := registry()
	eventstore.Register[nameTaken](r, "NameTaken")
	eventstore.Register[seatBooked](r, "SeatBooked")
	return &eventstore.Decider[int]{
		Client: s.client(), Channel: names, Registry: r, Apply: func(n int, _ *eventstore.Event) int { return n + 1 },
	}
}

func taken(name, user string) eventstore.NewEvent {
	return eventstore.NewEvent{AggregateType: "User", AggregateID: user, Data: nameTaken{name, user}}
}

// Users who want the same names at the same time: each name is taken once. A show is never overbooked, and no user has more
// seats than allowed, though shows and users are different things.
func TestDecideUnderContention(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		decider := s.counter()
		errTaken := errors.New("taken")
		var won, booked atomic.Int64
		var wg sync.WaitGroup
		const users, free, seats, most = 16, 4, 10, 2
		for n := range users {
			user, name := fmt.Sprint("user-", n), fmt.Sprint("name-", n%free)
			wg.Go(func() {
				_, err := decider.Decide(patient(t), eventstore.Query{Items: []eventstore.QueryItem{{Tags: []string{"name:" + name}}}}, func(n int) ([]eventstore.NewEvent, error) {
					if n > 0 {
						return nil, errTaken
					}
					return []eventstore.NewEvent{taken(name, user)}, nil
				})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, errTaken):
					t.Error(err)
				}
			})
			wg.Go(func() {
				type bookings struct{ show, user int }
				booker := eventstore.Decider[bookings]{Client: decider.Client, Channel: shows, Registry: decider.Registry,
					Apply: func(b bookings, e *eventstore.Event) bookings {
						data := e.Data.(seatBooked)
						if data.Show == "hamlet" {
							b.show++
						}
						if data.User == user {
							b.user++
						}
						return b
					}}
				for range most + 1 {
					_, err := booker.Decide(patient(t), eventstore.Query{Items: []eventstore.QueryItem{{Tags: []string{"show:hamlet"}}, {Tags: []string{"user:" + user}}}},
						func(b bookings) ([]eventstore.NewEvent, error) {
							if b.show >= seats || b.user >= most {
								return nil, nil
							}
							booked.Add(1) // at least once for each seat
							return []eventstore.NewEvent{{AggregateType: "Show", AggregateID: "hamlet", Data: seatBooked{"hamlet", user}}}, nil
						})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if won.Load() != free || booked.Load() < seats {
			t.Errorf("%d names of %d are taken, %d attempts to book", won.Load(), free, booked.Load())
		}
		byUser, last := map[string]int{}, uint64(0)
		end, err := decider.Client.ReadMatching(patient(t), eventstore.Query{Items: []eventstore.QueryItem{{Channels: []string{shows}}}}, 0, func(e *eventstore.Event) error {
			if e.Position <= last {
				return fmt.Errorf("position %d after %d", e.Position, last)
			}
			last = e.Position
			byUser[e.Tags[1]]++
			return nil
		})
		total := 0
		for user, n := range byUser {
			if total += n; n > most {
				t.Errorf("%s has %d seats", user, n)
			}
		}
		if err != nil || total != seats || end != free+seats {
			t.Errorf("%d seats are booked, the log ends at %d, %v", total, end, err)
		}
		harness.Verify(t, s.driver, s.source)
	})
}

// A command is executed once, whatever channels its events are on, and tells where they are. Errors of decide are returned
// unchanged.
func TestDecideOnce(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		decider := s.counter()
		query := eventstore.Query{Items: []eventstore.QueryItem{{Tags: []string{"name:ada"}}}}
		calls := 0
		register := func(n int) ([]eventstore.NewEvent, error) {
			calls++
			seat := eventstore.NewEvent{Channel: shows, AggregateType: "Show", AggregateID: "s", Tags: []string{"vip"}, Data: seatBooked{"s", "u"}}
			return []eventstore.NewEvent{seat, taken("ada", "u"), {Channel: shows, Type: "Opened", AggregateType: "Show", AggregateID: "s"}}, nil
		}
		for range 3 {
			result, err := decider.Decide(patient(t), query, register, eventstore.Command("c"),
				eventstore.Metadata(map[string]string{"user": "Eve"}), eventstore.Tags("tenant:1"))
			if err != nil || calls != 1 || result.Position != 3 || result.Repeated != (result.State == 1) || result.Repeated != (len(result.Stored) == 0) {
				t.Errorf("%+v, %d calls, %v", result, calls, err)
			}
		}
		var found []string
		end, err := decider.Client.ReadMatching(patient(t), eventstore.Query{}, 0, func(e *eventstore.Event) error {
			found = append(found, fmt.Sprint(e.Position, " ", e.ID, " ", e.Channel, " ", e.Sequence, " ", e.Type, " ", e.Tags, " ", e.Metadata["user"]))
			return nil
		})
		want := []string{
			"1 c/1 eventstore.shows 1 SeatBooked [vip show:s user:u tenant:1] Eve",
			"2 c/3 eventstore.shows 2 Opened [tenant:1] Eve",
			"3 c/2 eventstore.names 1 NameTaken [name:ada tenant:1] Eve",
		}
		if err != nil || end != 3 || fmt.Sprint(found) != fmt.Sprint(want) {
			t.Errorf("stored %q, up to %d, %v", found, end, err)
		}

		refused := errors.New("refused")
		if _, err := decider.Decide(patient(t), query, func(int) ([]eventstore.NewEvent, error) { return nil, refused }); err != refused { //nolint:errorlint // unwrapped
			t.Errorf("got %v, want the error of decide", err)
		}
		if result, err := decider.Decide(patient(t), query, func(int) ([]eventstore.NewEvent, error) { return nil, nil }); err != nil || result.State != 1 {
			t.Errorf("%+v, %v", result, err)
		}
	})
}

// An append says which events its caller has seen. The refusal names the first one that it has not.
func TestNoneAfter(t *testing.T) {
	t.Parallel()
	one(t, func(t *testing.T, s *server) {
		c := s.client()
		event := func(channel, id string, tags ...string) eventstore.NewEvent {
			return eventstore.NewEvent{Channel: channel, Type: "T", AggregateID: id, Tags: tags}
		}
		positions, err := c.Append(patient(t), names, []eventstore.NewEvent{event(shows, "a", "x"), event("", "a"), event(shows, "b")},
			eventstore.NoneAfter(0, eventstore.Query{Items: []eventstore.QueryItem{{Tags: []string{"x"}}}}), eventstore.NoEvents("", "a"), eventstore.NoEvents("", "b").On(shows))
		if want := []eventstore.Position{{Sequence: 1, Version: 1, Position: 1}, {Sequence: 1, Version: 1, Position: 3}, {Sequence: 2, Version: 1, Position: 2}}; err != nil || fmt.Sprint(positions) != fmt.Sprint(want) {
			t.Fatalf("%v, %v, want %v", positions, err, want)
		}
		var conflict *eventstore.ConditionError
		_, err = c.Append(patient(t), names, []eventstore.NewEvent{event("", "a")}, eventstore.AtVersion("", "a", 1),
			eventstore.NoneAfter(3, eventstore.Query{}), eventstore.NoneAfter(1, eventstore.Query{}))
		if !errors.As(err, &conflict) || *conflict != (eventstore.ConditionError{Condition: 1, Position: 2}) {
			t.Errorf("%v", err)
		}
		var version *eventstore.ConflictError
		_, err = c.Append(patient(t), names, []eventstore.NewEvent{event("", "z"), event(shows, "b")}, eventstore.AtVersion("", "b", 2).On(shows))
		if !errors.As(err, &version) || version.Channel != shows || version.Current != 1 {
			t.Errorf("%v", err)
		}
		if positions, err := c.Append(patient(t), "", []eventstore.NewEvent{event(shows, "c")}); err != nil || positions[0].Position != 4 {
			t.Errorf("%v, %v", positions, err)
		}
	})
}
