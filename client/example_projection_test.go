package eventstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

var errBadAddress = errors.New("bad address")

// What an application has: its database, opened with the driver of its choice, and the client.
var (
	database *sql.DB
	events   *eventstore.Client
)

// The form of the read model is part of the program: raise Version with it.
func ExampleProjector_Run() {
	projector := eventstore.Projector{
		Name: "balances", Version: 2, // was 1
		Create: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+eventstore.Table(ctx, "balances")+" (account TEXT PRIMARY KEY, cents BIGINT NOT NULL)")
			return err
		},
		Drop: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+eventstore.Table(ctx, "balances"))
			return err
		},
		Live: func(ctx context.Context, tx *sql.Tx) error {
			fmt.Println("generation", eventstore.Generation(ctx), "is live")
			return nil
		},
		DB: database, Dialect: eventstore.PostgreSQL,
		Source: events.Source("eventstore.accounts", eventstore.Filter{EventTypes: []string{"Deposited"}}),
		Apply: func(ctx context.Context, tx *sql.Tx, event *eventstore.Event) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO "+eventstore.Table(ctx, "balances")+" VALUES ($1, 0) ON CONFLICT (account) DO NOTHING", event.AggregateID)
			return err
		},
	}
	err := projector.Run(context.Background())
	var gap *eventstore.GapError
	switch {
	case errors.As(err, &gap): // an eventstore.ErrGap
		fmt.Println("the log ends at", gap.End, "before our checkpoint", gap.Checkpoint)
	case errors.Is(err, eventstore.ErrSuperseded):
		fmt.Println("a later version of this program has taken over")
	}
}

// Some events can wait for a corrected program; an error that nobody expected stops the projection.
func ExampleDecision() {
	projector := eventstore.Projector{Name: "letters", DB: database, Dialect: eventstore.PostgreSQL}
	projector.OnError = func(event *eventstore.Event, err error) eventstore.Decision {
		if errors.Is(err, errBadAddress) {
			return eventstore.Park
		}
		return eventstore.Stop
	}
}

// A projection that reads a few of many types skips the others.
func ExampleSkipUnknown() {
	projector := eventstore.Projector{Name: "letters", OnError: eventstore.SkipUnknown}
	fmt.Println(projector.OnError(&eventstore.Event{}, eventstore.ErrUnknownType) == eventstore.Skip)
	// Output: true
}

// Parked events are applied once the program is corrected.
func ExampleProjector_ReplayParked() {
	ctx := context.Background()
	projector := eventstore.Projector{Name: "letters", DB: database, Dialect: eventstore.PostgreSQL}
	parked, err := projector.Parked(ctx)
	if err != nil {
		return
	}
	for _, it := range parked {
		if it.Event.AggregateID == "test" {
			_, err = projector.DiscardParked(ctx, it.Place)
		}
		fmt.Println(it.ParkedAt, it.Event.Type, it.Reason, err)
	}
	replayed, err := projector.ReplayParked(ctx)
	fmt.Println(replayed, err)
}

// Rebuild repairs a read model while readers read the live generation.
func ExampleProjector_Rebuild() {
	ctx := context.Background()
	projector := eventstore.Projector{Name: "balances", DB: database, Dialect: eventstore.PostgreSQL} // and the rest, as for Run
	if err := projector.Rebuild(ctx); err != nil {
		return
	}
	live, err := projector.LiveGeneration(ctx)
	fmt.Println("read from", eventstore.TableOf("balances", live), err)
	fmt.Println(projector.DropOld(ctx))
}

// Reset starts over in the same table, without a second one.
func ExampleProjector_Reset() {
	projector := eventstore.Projector{Name: "balances", DB: database, Dialect: eventstore.PostgreSQL}
	err := projector.Reset(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM balances")
		return err
	})
	fmt.Println(err)
}

// A reader waits until a read model contains what it has stored.
func ExampleProjector_WaitFor() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	projector := eventstore.Projector{Name: "balances", DB: database, Dialect: eventstore.PostgreSQL}
	fmt.Println(projector.WaitFor(ctx, 42))
	at, err := projector.Checkpoint(ctx)
	fmt.Println(at, err)
}

// An alert needs the lag, wherever the projector runs.
func ExampleProjector_Progress() {
	projector := eventstore.Projector{Name: "balances", DB: database, Dialect: eventstore.PostgreSQL, Source: events.SourceAll(eventstore.Query{})}
	progress, err := projector.Progress(context.Background())
	if err == nil && (progress.Delay > time.Minute || !progress.Leader || progress.Parked > 0) {
		fmt.Println("behind by", progress.Lag, "events")
	}
}

// A reactor that sends mail begins with the next event.
func ExampleReactor_Run() {
	reactor := eventstore.Reactor{
		Name: "mail", DB: database, Dialect: eventstore.PostgreSQL, Start: eventstore.FromEnd(),
		Handle: func(_ context.Context, event *eventstore.Event) error {
			fmt.Println("mail about", event.AggregateID)
			return nil
		},
	}
	fmt.Println(reactor.Run(context.Background(), events.Source("eventstore.accounts", eventstore.Filter{})))
	at, err := reactor.Checkpoint(context.Background())
	fmt.Println(at, err)
}

// After a restore of the server's database, a reactor goes on with what comes next.
func ExampleReactor_Reset() {
	reactor := eventstore.Reactor{Name: "mail", DB: database, Dialect: eventstore.PostgreSQL, Start: eventstore.FromEnd()}
	fmt.Println(reactor.Reset(context.Background()))
}

// A reader of its own keeps what it needs to know the log again.
func ExampleLogSource() {
	ctx := context.Background()
	source := events.SourceAll(eventstore.Query{}).(eventstore.LogSource)
	checkpoint := eventstore.Checkpoint{Place: 42, Channel: "eventstore.accounts", Sequence: 17, RecordedAt: time.Unix(1795600000, 0)} // stored before
	if err := source.Check(ctx, checkpoint); err != nil {
		fmt.Println(err)
		return
	}
	end, err := source.End(ctx)
	fmt.Println("behind by", end-checkpoint.Place, err)
	after, err := source.Locate(ctx, eventstore.FromTimeAgo(time.Hour))
	fmt.Println(after, err)
}
