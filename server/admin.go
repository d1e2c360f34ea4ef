package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// administration is what administrators may do during a term.
type administration struct {
	*consumers.Consumers
	term *term
}

var _ api.Administration = administration{}

// Administration implements api.Log.
func (l apiLog) Administration() api.Administration { return administration{l.term.consumers, l.term} }

// LagSeconds implements api.Administration.
func (a administration) LagSeconds(d consumers.Description) float64 {
	if d.Group == nil {
		return 0
	}
	return a.term.monitor.LagSeconds(d.Group, d.Backlog)
}

// Clients implements api.Administration. A client may subscribe by NATS Streaming and by gRPC under one ID.
func (a administration) Clients() []api.Client {
	var all []api.Client
	streams := a.Receivers()
	add := func(c api.Client) {
		for _, m := range streams[c.ID] {
			c.Subscriptions++
			c.Healthy = c.Healthy && m.Client().Healthy()
		}
		delete(streams, c.ID)
		all = append(all, c)
	}
	for _, c := range a.term.door.Clients() {
		add(api.Client{ID: c.ID, Subscriptions: len(c.Members), Healthy: c.Healthy})
	}
	for id := range streams {
		add(api.Client{ID: id, Healthy: true})
	}
	slices.SortFunc(all, func(a, b api.Client) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Kick implements api.Administration. The act is recorded first: it takes several transactions, and what ends it in the middle must not
// hide who began it.
func (a administration) Kick(ctx context.Context, by consumers.Actor, id, reason string) error {
	record := func() error { return a.Audit(ctx, by, "kick", id, reason) }
	err := a.term.door.Kick(ctx, id, record)
	streams := a.Receivers()[id]
	if errors.Is(err, stan.ErrUnknownClient) && len(streams) > 0 {
		err = record()
	}
	if err == nil {
		errs := make([]error, len(streams))
		for i, m := range streams {
			errs[i] = a.Leave(ctx, m, false)
		}
		err = errors.Join(errs...)
	}
	switch {
	case errors.Is(err, stan.ErrUnknownClient):
		return fmt.Errorf("%q: %w", id, api.ErrUnknownClient)
	case errors.Is(err, stan.ErrStopped):
		return api.ErrStandby
	}
	return err
}

// Audited implements api.Administration.
func (a administration) Audited(ctx context.Context, before uint64, limit int) ([]stores.AuditEntry, error) {
	return a.term.store.Audit(ctx, before, limit)
}

// Erase implements api.Administration.
func (a administration) Erase(ctx context.Context, by consumers.Actor, events eventlog.ErasedEvents, reason string, dryRun bool) (eventlog.ErasureReport, error) {
	return a.term.eraser.Erase(ctx, eventlog.ErasureRequest{
		Events: events, Principal: by.Principal, Reason: reason, DryRun: dryRun,
		Act: func(erasure uint64) stores.AuditEntry {
			return a.Entry(by, "erase", fmt.Sprintf("erasure %d", erasure), reason)
		},
	})
}

// Erasures implements api.Administration.
func (a administration) Erasures(ctx context.Context, before uint64, limit int) ([]stores.Erasure, error) {
	return a.term.store.Erasures(ctx, before, limit)
}

// Patience implements api.Administration.
func (a administration) Patience() time.Duration { return a.term.opts.StoreTimeout }
