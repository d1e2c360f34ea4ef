package client

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// located tells when a reader without a checkpoint asks where to begin.
type located struct {
	eventstore.LogSource
	tell func()
}

func (l located) Locate(ctx context.Context, start eventstore.Start) (uint64, error) {
	l.tell()
	return l.LogSource.Locate(ctx, start)
}

// A replica that waits for the lease of one that died begins, if a reset takes the checkpoint away, and the lease with it.
func TestResetBesideStandby(t *testing.T) {
	t.Parallel()
	server, db := eventstoretest.Start(t), eventstoretest.Database(t)
	if _, err := server.Client().Append(patient(t), channel, []eventstore.NewEvent{{Type: "T", AggregateID: "a"}}); err != nil {
		t.Fatal(err)
	}
	waits, applied := make(chan struct{}), make(chan struct{})
	died := sync.OnceFunc(func() {
		_, err := db.ExecContext(t.Context(), "INSERT INTO eventstore_checkpoints VALUES ('p', 0, '', 0, 0, 'dead', 9000000000000000)")
		if err != nil {
			t.Error(err)
		}
		close(waits)
	})
	source := server.Client().Source(channel, eventstore.Filter{}).(eventstore.LogSource)
	p := &eventstore.Projector{Name: "p", DB: db, Dialect: eventstore.SQLite, Start: eventstore.FromSequence(1), Source: located{source, died},
		Apply: func(context.Context, *sql.Tx, *eventstore.Event) error { close(applied); return nil }}
	stop := running(t, p.Run)
	<-waits
	if err := p.Reset(patient(t), func(context.Context, *sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-applied:
	case <-patient(t).Done():
		t.Error("the replica waits for a lease that is gone")
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
