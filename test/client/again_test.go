package client

import (
	"context"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// onSQLite starts one server, for what does not depend on the database.
func onSQLite(t *testing.T) *server {
	t.Helper()
	return &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
}

// TestSameSliceAgain: commands whose decide returns one slice each time store their events each time. The slice stays as it was.
func TestSameSliceAgain(t *testing.T) {
	t.Parallel()
	s := onSQLite(t)
	accounts := s.accounts()
	a := accounts.Aggregate("a")
	decider := eventstore.Decider[account]{Client: accounts.Client, Channel: channel, Registry: registry(), Apply: apply}
	for name, execute := range map[string]func(context.Context, []eventstore.NewEvent) (eventstore.Outcome, error){
		"ExecuteMany": func(ctx context.Context, same []eventstore.NewEvent) (eventstore.Outcome, error) {
			return eventstore.ExecuteMany(ctx, []eventstore.Participant{a}, func() ([]eventstore.NewEvent, error) { return same, nil })
		},
		"Decide": func(ctx context.Context, same []eventstore.NewEvent) (eventstore.Outcome, error) {
			query := eventstore.AllOf(eventstore.QueryItem{AggregateIDs: []string{"a"}})
			result, err := decider.Decide(ctx, query, func(account) ([]eventstore.NewEvent, error) { return same, nil })
			return result.Outcome, err
		},
	} {
		_, before, err := accounts.Load(patient(t), "a")
		if err != nil {
			t.Fatal(err)
		}
		same := []eventstore.NewEvent{a.Event(deposited{1})}
		for n := range uint64(2) {
			outcome, err := execute(patient(t), same)
			if err != nil || len(outcome.Stored) != 1 || outcome.Stored[0].Version != before+n+1 {
				t.Errorf("%s: %+v, error %v: want version %d", name, outcome, err, before+n+1)
			}
		}
		if e := same[0]; e.ID != "" || e.Type != "" || e.Data != (deposited{1}) {
			t.Errorf("%s: the slice is now %+v", name, same)
		}
	}
}
