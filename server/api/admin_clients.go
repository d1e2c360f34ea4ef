package api

import (
	"context"
	"strconv"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// ListClients implements eventstore.v1.Admin.
func (a admin) ListClients(ctx context.Context, req *eventstorev1.ListClientsRequest) (*eventstorev1.ListClientsResponse, error) {
	g, err := a.administration(ctx, everywhere)
	if err != nil {
		return nil, status(err)
	}
	size := pageSize(req.GetPageSize())
	resp := &eventstorev1.ListClientsResponse{}
	for _, c := range g.Clients() {
		if c.ID <= req.GetPageToken() {
			continue
		}
		if n := len(resp.Clients); n == size {
			resp.NextPageToken = resp.Clients[n-1].GetClient()
			break
		}
		resp.Clients = append(resp.Clients, &eventstorev1.Client{Client: c.ID, Subscriptions: uint32(c.Subscriptions), Healthy: c.Healthy})
	}
	return resp, nil
}

// KickClient implements eventstore.v1.Admin.
func (a admin) KickClient(ctx context.Context, req *eventstorev1.KickClientRequest) (*eventstorev1.KickClientResponse, error) {
	g, err := a.administration(ctx, everywhere)
	switch {
	case err != nil:
		return nil, status(err)
	case req.GetClient() == "":
		return nil, invalid("client is missing: send the ID of a client")
	}
	err = g.act(ctx, func(ctx context.Context) error { return g.Kick(ctx, g.by, req.GetClient(), req.GetReason()) })
	return &eventstorev1.KickClientResponse{}, err
}

// ListAudit implements eventstore.v1.Admin.
func (a admin) ListAudit(ctx context.Context, req *eventstorev1.ListAuditRequest) (*eventstorev1.ListAuditResponse, error) {
	g, err := a.administration(ctx, everywhere)
	if err != nil {
		return nil, status(err)
	}
	before, err := numberAfter(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	var entries []stores.AuditEntry
	err = g.act(ctx, func(ctx context.Context) (err error) {
		entries, err = g.Audited(ctx, before, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	resp := &eventstorev1.ListAuditResponse{}
	if len(entries) > size {
		entries = entries[:size]
		resp.NextPageToken = strconv.FormatUint(entries[size-1].ID, 10)
	}
	for _, e := range entries {
		resp.Entries = append(resp.Entries, &eventstorev1.AuditEntry{
			Id: e.ID, Time: timeOf(e.Time), Principal: e.Principal, Address: e.Address, Action: e.Action, Target: e.Target, Detail: e.Detail,
		})
	}
	return resp, nil
}
