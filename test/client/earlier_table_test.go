package client

import (
	"fmt"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// A projector goes on from the checkpoint in a table of an earlier build, which has a name and a sequence alone.
func TestCheckpointsOfAnEarlierBuild(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.deposit(s.accounts(), "a", 9)
		db, dialect := s.readModel()
		text := map[eventstore.Dialect]string{eventstore.MySQL: "VARBINARY(255)"}[dialect]
		if text == "" {
			text = "VARCHAR(255)"
		}
		for _, statement := range []string{
			"CREATE TABLE eventstore_checkpoints (name " + text + " PRIMARY KEY, sequence BIGINT NOT NULL)",
			"INSERT INTO eventstore_checkpoints (name, sequence) VALUES ('balances', 4)",
		} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		p := totals(t, db, dialect, "balances", s.client().Source(channel, eventstore.Filter{}))
		stop := running(t, p.Run)
		if err := p.WaitFor(patient(t), 10); err != nil {
			t.Fatal(err)
		}
		_ = stop()
		var events int
		if err := db.QueryRowContext(t.Context(), "SELECT events FROM balances").Scan(&events); err != nil || events != 6 {
			t.Error(fmt.Errorf("%d events are applied, want the 6 after the checkpoint: %w", events, err))
		}
	})
}
