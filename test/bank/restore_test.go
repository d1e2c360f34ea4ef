package bank

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
)

// backupDatabase is a backup of the event store.
const backupDatabase = "backup"

// TestRestoredBackup: the event store is restored from an older backup while clients move money. The service stops with ErrGap instead of
// showing views of events that do not exist. After the steps of docs/operate/restore.md its views say what the log says, and go on.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	s := startSystem(t)
	s.openAccounts()
	s.move("before", 40)
	s.events.Stop()
	s.copyDatabase(eventsDatabase, backupDatabase)
	s.events.Restart()
	lost := s.move("lost", 40)
	s.awaitViews()

	stopCrowd := s.startCrowd()
	s.events.Stop()
	s.copyDatabase(backupDatabase, eventsDatabase)
	s.events.Restart()
	select {
	case <-s.bank.process.Done():
	case <-time.After(patience):
		t.Fatalf("the service still runs:\n%s", s.bank.log)
	}
	if text := s.bank.log.String(); !strings.Contains(text, eventstore.ErrGap.Error()) || !strings.Contains(text, "the log ends at") {
		t.Errorf("the service says:\n%s", text)
	}
	for _, key := range lost {
		if n := s.read().keys[key]; n != 0 {
			t.Fatalf("the restored log has %d events of transfer %s", n, key)
		}
	}

	s.recover()
	s.bank = s.launch(viewsDatabase, s.bankPort)
	after := s.move("after", 40)
	crowd := stopCrowd()
	log := s.read()
	for _, key := range crowd { // it may have been stored before the restore, and lost
		if n := log.keys[key]; n != 0 && n != 2 {
			t.Errorf("the log has %d events of transfer %s", n, key)
		}
	}
	for _, key := range after {
		if log.keys[key] != 2 {
			t.Errorf("transfer %s succeeded, the log has %d events of it", key, log.keys[key])
		}
	}
	if log.total() != accounts*deposit {
		t.Errorf("the log has %d cents, %d were deposited", log.total(), accounts*deposit)
	}
	s.readViews(s.url(), viewsDatabase, log)
}

// move moves money, and returns the keys of the transfers that succeeded.
func (s *system) move(name string, transfers int) []string {
	s.t.Helper()
	c := &client{bank: s.url(), name: name, random: rand.New(rand.NewPCG(1, 2))}
	answered, stop := make(chan struct{}), make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(s.t, answered, stop)
	}()
	for n := 0; n < transfers; n++ {
		select {
		case <-answered:
		case <-done:
			s.t.FailNow()
		}
	}
	close(stop)
	select {
	case <-answered:
		<-done
	case <-done:
	}
	return c.stored
}

// startCrowd starts clients that move money until stop, which returns the keys of the transfers that succeeded.
func (s *system) startCrowd() (stop func() []string) {
	answered, stopping := make(chan struct{}), make(chan struct{})
	var running, draining sync.WaitGroup
	draining.Go(func() {
		for range answered { //nolint:revive // only the end matters
		}
	})
	all := make([]*client, 8)
	for i := range all {
		all[i] = &client{bank: s.url(), name: fmt.Sprint("crowd-", i), random: rand.New(rand.NewPCG(3, uint64(i)))}
		running.Go(func() { all[i].run(s.t, answered, stopping) })
	}
	return func() (keys []string) {
		close(stopping)
		running.Wait()
		close(answered)
		draining.Wait()
		for _, c := range all {
			keys = append(keys, c.stored...)
		}
		return keys
	}
}

// awaitViews waits until the views are as far as the log.
func (s *system) awaitViews() {
	s.t.Helper()
	s.readViews(s.url(), viewsDatabase, s.read())
}

// copyDatabase puts a copy of a database that nobody uses in the place of another one.
func (s *system) copyDatabase(from, to string) {
	s.t.Helper()
	if err := s.database.DropDatabase(to); err != nil {
		s.t.Fatal(err)
	}
	db, err := sql.Open("postgres", s.database.DSN("postgres"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(s.t.Context(), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", to, from)); err != nil {
		s.t.Fatal(err)
	}
}

// recover does what docs/operate/restore.md says: it builds one view beside the old one, empties the other, and starts the reactor over, whose
// work can be repeated.
func (s *system) recover() {
	s.t.Helper()
	db, err := sql.Open("postgres", s.views(viewsDatabase))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	client, err := eventstore.New(eventstore.Options{URLs: []string{"http://" + address(s.apiPort)}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	file, err := sqlprojection.Read("../../examples/bank/balances.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	balances, err := file.Projector(client, db, eventstore.PostgreSQL)
	if err == nil {
		err = balances.Rebuild(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	statements := eventstore.Projector{Name: "statements", DB: db, Dialect: eventstore.PostgreSQL}
	if err := statements.Reset(s.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM statements")
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := db.ExecContext(s.t.Context(), "DELETE FROM eventstore_checkpoints WHERE name = 'fraud'"); err != nil {
		s.t.Fatal(err)
	}
}
