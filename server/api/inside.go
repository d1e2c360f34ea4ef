package api

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Inside offers the API's methods to another package of this process that serves callers on the API's port: the console.
// Each caller has the rights, the bounds and the errors that the API gives to the same credentials.
type Inside struct {
	door    *Server
	service *service
}

// Visitor is a caller at one moment: a reload may change what they may do.
type Visitor struct {
	// Known is false if the credentials are missing or not valid.
	Known bool
	// Name is how the audit names the caller; empty if the API asks nobody who they are.
	Name string
	// Admin reports whether the caller may administer all channels that match a pattern.
	Admin func(pattern string) bool
	// Counts reports whether the caller may learn how much all channels hold and how fast they grow.
	Counts bool
	// AdminSome reports whether there are channels that the caller may administer.
	AdminSome bool
}

// Enter returns the context for calls on behalf of the caller of a request. token is what the caller logged in with; it may be empty.
func (i Inside) Enter(r *http.Request, token string) (context.Context, Visitor) {
	c := i.door.callerOf(r)
	c.token, c.hasToken = token, token != ""
	p := c.principal()
	by, denied := c.actor()
	return context.WithValue(r.Context(), callerKey{}, c), Visitor{
		Known:     p != nil,
		Name:      by.Principal,
		Admin:     func(pattern string) bool { return denied == nil && p.MayAll(access.Admin, pattern) },
		Counts:    p != nil && p.Monitor || p.MayAll(access.Read, everywhere),
		AdminSome: denied == nil && p.MaySome(access.Admin, everywhere),
	}
}

// Anonymous reports whether the API asks nobody who they are.
func (i Inside) Anonymous() bool {
	now := i.door.settings.Load()
	return now.policy == nil && now.Token == "" && now.ClientCAFile == ""
}

// Encrypted reports whether the port has TLS.
func (i Inside) Encrypted() bool { return i.door.Encryption() != nil }

// Refused tells the log and the metrics that a request was refused with an error of a call.
func (i Inside) Refused(r *http.Request, err error) {
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		return
	}
	if c.err = err; connect.CodeOf(err) == connect.CodeUnknown && !errors.As(err, new(*connect.Error)) {
		c.err = connect.NewError(connect.CodeUnauthenticated, err)
	}
}

// Admin is eventstore.v1.Admin.
func (i Inside) Admin() eventstorev1connect.AdminHandler { return admin{i.service} }

// ListChannels is that of eventstore.v1.EventStore.
func (i Inside) ListChannels(ctx context.Context, req *eventstorev1.ListChannelsRequest) (*eventstorev1.ListChannelsResponse, error) {
	return i.service.ListChannels(ctx, req)
}

// GetEvent is that of eventstore.v1.EventStore.
func (i Inside) GetEvent(ctx context.Context, req *eventstorev1.GetEventRequest) (*eventstorev1.GetEventResponse, error) {
	return i.service.GetEvent(ctx, req)
}

// GetHead is that of eventstore.v1.EventStore.
func (i Inside) GetHead(ctx context.Context, req *eventstorev1.GetHeadRequest) (*eventstorev1.GetHeadResponse, error) {
	return i.service.GetHead(ctx, req)
}

// Read calls send with the events that match a query.
func (i Inside) Read(ctx context.Context, req *eventstorev1.ReadRequest, send func(*eventstorev1.ReadResponse) error) error {
	return i.service.readQuery(ctx, req, send)
}

// ReadAggregate calls send with the events of an aggregate.
func (i Inside) ReadAggregate(ctx context.Context, req *eventstorev1.ReadAggregateRequest, send func(*eventstorev1.ReadAggregateResponse) error) error {
	return i.service.readAggregate(ctx, req, send)
}

// Subscribe calls send with the events that match a query until ctx ends.
func (i Inside) Subscribe(ctx context.Context, req *eventstorev1.SubscribeRequest, send func(*eventstorev1.SubscribeResponse) error) error {
	return i.service.subscribeQuery(ctx, req, send)
}

// Aggregates returns the aggregates that have an ID, on the channels that the caller may read, by channel and type.
func (i Inside) Aggregates(ctx context.Context, id string) ([]stores.Aggregate, error) {
	log, err := i.service.reading(ctx)
	if err != nil {
		return nil, status(err)
	}
	found, err := log.aggregatesWithID(ctx, id)
	return found, status(err)
}

// Record writes an act of an administrator of all channels to the audit, of which nothing else is stored.
func (i Inside) Record(ctx context.Context, action, target, detail string) error {
	g, err := admin{i.service}.administration(ctx, everywhere)
	if err != nil {
		return status(err)
	}
	return g.act(ctx, func(ctx context.Context) error { return g.Audit(ctx, g.by, action, target, detail) })
}
