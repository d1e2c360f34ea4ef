package test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/examples/guide"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A projection applies each event once, even if transactions fail, the server crashes, or a second projector runs by
// mistake. A new projection is built beside it.
func TestGuideProjectsExactlyOnce(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		bank := &guide.Bank{DB: guideDB(t, driver, source), Conn: guideConn(t, s, "bank")}
		db := bank.DB
		if driver == "sqlite" {
			db = guideDB(t, driver, databases.SQLite(t)) // the server is the only writer of its file
		}
		for _, table := range []string{guide.Checkpoints, guide.BalancesTable, guide.Balances2Table} {
			if _, err := db.ExecContext(t.Context(), table); err != nil {
				t.Fatal(err)
			}
		}
		var applied atomic.Int64
		balances := &guide.Projector{Name: "balances", DB: db, Apply: func(ctx context.Context, tx *sql.Tx, event *eventstorev1.Event) error {
			n := applied.Add(1)
			if n%5 == 1 {
				return errors.New("every fifth transaction fails before")
			}
			if err := guide.Balances(ctx, tx, event); err != nil || n%5 != 4 {
				return err
			}
			return errors.New("every fifth transaction fails after")
		}}
		stopBalances := keepRunning(t, s, balances, "balances", "balances-forgotten")

		commands := 0
		execute := func(account string, decide func(*guide.Account) (*eventstorev1.Event, error)) {
			t.Helper()
			commands++
			if err := bank.Execute(t.Context(), fmt.Sprintf("command-%d", commands), account, decide); err != nil {
				t.Fatal(err)
			}
		}
		accounts := []string{"alice", "bob", "carol"}
		for _, account := range accounts {
			execute(account, (*guide.Account).Open)
			execute(account, deposit(1000))
		}
		for i := range 12 {
			execute(accounts[i%3], withdraw(int64(i)))
		}
		reached(t, balances, 10)
		s.Kill()
		s.Restart()
		for i := range 12 {
			execute(accounts[i%2], deposit(int64(i)))
		}

		// The rebuild runs beside the old projection while events arrive.
		rebuilt := &guide.Projector{Name: "balances-2", DB: db, Apply: guide.Balances2}
		stopRebuilt := keepRunning(t, s, rebuilt, "balances-2")
		execute("carol", deposit(7))
		last, err := guide.LastSequence(t.Context(), bank.DB)
		if err != nil || last != uint64(commands) {
			t.Fatalf("last sequence %d, error %v, after %d commands", last, err, commands)
		}
		reached(t, balances, last)
		reached(t, rebuilt, last)
		stopBalances()
		stopRebuilt()
		for _, account := range accounts {
			a, err := guide.Load(t.Context(), bank.DB, account)
			if err != nil {
				t.Fatal(err)
			}
			var cents, cents2 int64
			var movements uint64
			err = db.QueryRowContext(t.Context(), "SELECT b.cents, b2.cents, movements FROM balances b JOIN balances_2 b2 ON b2.account = b.account WHERE b.account = $1", account).
				Scan(&cents, &cents2, &movements)
			if err != nil || cents != a.Cents || cents2 != a.Cents || movements != a.Version-1 {
				t.Errorf("%s: balances %d and %d after %d movements, want %d after %d (%v)", account, cents, cents2, movements, a.Cents, a.Version-1, err)
			}
		}
	})
}

// Setting back a checkpoint does not corrupt the projection. The running projector stops, and the next one rebuilds it.
func TestGuideCheckpointSetBack(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	db := guideDB(t, "sqlite", databases.SQLite(t))
	for _, table := range []string{guide.Checkpoints, guide.BalancesTable} {
		if _, err := db.ExecContext(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	}
	sc := guideConn(t, s, "client")
	open := func(account string) {
		t.Helper()
		err := guide.Publish(t.Context(), sc, &eventstorev1.Event{
			EventId: account, EventType: "AccountOpened", AggregateId: account, AggregateType: "Account"})
		if err != nil {
			t.Fatal(err)
		}
	}
	balances := &guide.Projector{Name: "balances", DB: db, Apply: guide.Balances}
	ended := make(chan error, 1)
	open("alice")
	go func() { ended <- balances.Run(t.Context(), sc) }()
	reached(t, balances, 1)
	for _, statement := range []string{"DELETE FROM balances", "UPDATE checkpoints SET sequence = 0"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	open("bob")
	select {
	case err := <-ended:
		if err == nil || err.Error() != "projection balances, sequence 2: the checkpoint was set back to 0" {
			t.Errorf("error %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the projector does not stop")
	}
	keepRunning(t, s, balances, "balances")
	reached(t, balances, 2)
	var accounts int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM balances").Scan(&accounts); err != nil || accounts != 2 {
		t.Errorf("%d accounts, error %v", accounts, err)
	}
}

// keepRunning runs one projector per client ID and restarts it when it ends, like a process supervisor. It returns a
// function that stops them.
func keepRunning(t *testing.T, s *server, p *guide.Projector, clientIDs ...string) func() {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	stop := func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	for _, id := range clientIDs {
		wg.Go(func() {
			for ctx.Err() == nil {
				connected, sc, err := guide.Connect(ctx, s.URL(), id)
				if err == nil {
					err = p.Run(connected, sc)
					_ = sc.Close() // the server may be down
				}
				t.Logf("%s ended: %v", id, err)
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond): // the pause of a supervisor, so that the loop does not spin
				}
			}
		})
	}
	return stop
}

// reached waits until a projection has processed a sequence.
func reached(t *testing.T, p *guide.Projector, sequence uint64) {
	t.Helper()
	deadline := time.After(2 * patience)
	for {
		last, err := p.Checkpoint(t.Context())
		if err == nil && last >= sequence {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("projection %s is at sequence %d, want %d: %v", p.Name, last, sequence, err)
		case <-time.After(10 * time.Millisecond): // polls the database
		}
	}
}

// A replay starts at the requested position and leaves other subscribers' positions alone.
func TestGuideReplays(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		bank := &guide.Bank{DB: guideDB(t, driver, source), Conn: guideConn(t, s, "bank")}
		open := func(accounts ...string) {
			t.Helper()
			for _, account := range accounts {
				if err := bank.Execute(t.Context(), "open-"+account, account, (*guide.Account).Open); err != nil {
					t.Fatal(err)
				}
			}
		}
		open("a", "b", "c")
		// A client sends a start time as its distance from now, so the time the request takes shifts it. This pause is
		// longer than that.
		noon := time.Now()
		<-time.After(time.Second)
		open("d", "e", "f")

		last, err := guide.LastSequence(t.Context(), bank.DB)
		if err != nil || last != 6 {
			t.Fatalf("last sequence %d, error %v", last, err)
		}
		for _, replay := range []struct {
			start stan.SubscriptionOption
			first uint64
		}{
			{stan.DeliverAllAvailable(), 1},       // everything
			{stan.StartAtSequence(3), 3},          // from a sequence on
			{stan.StartAtTime(noon), 4},           // from a time on
			{stan.StartAtTimeDelta(time.Hour), 1}, // the last hour
			{stan.StartWithLastReceived(), 6},     // the latest, then new ones
		} {
			var got, want []uint64
			err := guide.Replay(t.Context(), s.URL(), replay.start, last, func(sequence uint64, event *eventstorev1.Event) error {
				if account := string(rune('a' + sequence - 1)); event.AggregateId != account {
					t.Errorf("sequence %d is of account %s, want %s", sequence, event.AggregateId, account)
				}
				got = append(got, sequence)
				return nil
			})
			for sequence := replay.first; sequence <= last; sequence++ {
				want = append(want, sequence)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("from %d: got %v, error %v", replay.first, got, err)
			}
		}
		_, live := subscribe(t, bank.Conn, guide.Channel) // without an option: new ones
		open("g")
		if m := live.next(t); m.Sequence != 7 {
			t.Errorf("a new subscription starts at %d", m.Sequence)
		}

		if got := audit(t, s, "audit-1", 4); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
			t.Errorf("the first client read %v", got)
		}
		if got := audit(t, s, "audit-2", 2); !slices.Equal(got, []uint64{1, 2}) {
			t.Errorf("the second client read %v", got)
		}
		if got := audit(t, s, "audit-1", 2); !slices.Equal(got, []uint64{5, 6}) {
			t.Errorf("the first client resumed with %v", got)
		}
	})
}

// audit reads the next n events of a client's durable "audit".
func audit(t *testing.T, s *server, clientID string, n int) []uint64 {
	t.Helper()
	sc := guideConn(t, s, clientID)
	_, in := subscribe(t, sc, guide.Channel, stan.DurableName("audit"), stan.DeliverAllAvailable(), stan.MaxInflight(1), stan.SetManualAckMode())
	read := make([]uint64, n)
	for i := range read {
		m := in.next(t)
		read[i] = m.Sequence
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	if err := sc.Close(); err != nil {
		t.Fatal(err)
	}
	return read
}
