package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
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

// Clients implements api.Administration.
func (a administration) Clients() []api.Client {
	var all []api.Client
	for _, c := range a.term.door.Clients() {
		all = append(all, api.Client{ID: c.ID, Subscriptions: len(c.Members), Healthy: c.Healthy})
	}
	return all
}

// Kick implements api.Administration. The act is recorded first: it takes several transactions, and what ends it in the middle must not
// hide who began it.
func (a administration) Kick(ctx context.Context, by consumers.Actor, id, reason string) error {
	err := a.term.door.Kick(ctx, id, func() error { return a.Audit(ctx, by, "kick", id, reason) })
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

// Patience implements api.Administration.
func (a administration) Patience() time.Duration { return a.term.opts.StoreTimeout }
