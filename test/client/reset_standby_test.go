package client

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// registered is closed when a projector that begins registers its metrics. Then it waits for the lease.
type (
	registered struct {
		noop.MeterProvider
		begun chan struct{}
	}
	registering struct {
		noop.Meter
		begun chan struct{}
	}
)

func (r registered) Meter(string, ...metric.MeterOption) metric.Meter {
	return registering{begun: r.begun}
}

func (r registering) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	close(r.begun)
	return noop.Registration{}, nil
}

// A replica that waits for the lease of one that died begins, if a reset takes the checkpoint away, and the lease with it.
func TestResetBesideStandby(t *testing.T) {
	t.Parallel()
	server, db := eventstoretest.Start(t), eventstoretest.Database(t)
	if _, err := server.Client().Append(patient(t), channel, []eventstore.NewEvent{{Type: "T", AggregateID: "a"}}); err != nil {
		t.Fatal(err)
	}
	begun, applied := make(chan struct{}), make(chan struct{})
	p := &eventstore.Projector{Name: "p", DB: db, Dialect: eventstore.SQLite, Source: server.Client().Source(channel, eventstore.Filter{}),
		MeterProvider: registered{begun: begun}, Apply: func(context.Context, *sql.Tx, *eventstore.Event) error { close(applied); return nil }}
	if _, err := p.LiveGeneration(patient(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(patient(t), "INSERT INTO eventstore_checkpoints VALUES ('p', 0, '', 0, 0, 'dead', 9000000000000000)"); err != nil {
		t.Fatal(err)
	}
	stop := running(t, p.Run)
	<-begun
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
