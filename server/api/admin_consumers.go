package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// defaultPage is the number of items in a page of administration by default.
const defaultPage = 100

// pageSize returns the number of items in a page.
func pageSize(asked uint32) int {
	if asked == 0 {
		return defaultPage
	}
	return int(min(asked, maxPage))
}

// ListConsumers implements eventstore.v1.Admin.
func (a admin) ListConsumers(ctx context.Context, req *eventstorev1.ListConsumersRequest) (*eventstorev1.ListConsumersResponse, error) {
	after, err := consumerAfter(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	pattern := req.GetChannel()
	switch {
	case pattern != "" && !eventlog.ValidPattern(pattern):
		return nil, invalid("channel %q is not a channel or a pattern", pattern)
	case pattern == "":
		pattern = everywhere
	}
	// A caller who may administer some of the consumers sees those.
	g, err := a.administration(ctx, pattern)
	if g.Administration == nil {
		return nil, status(err)
	}
	size := pageSize(req.GetPageSize())
	resp := &eventstorev1.ListConsumersResponse{}
	for _, d := range g.List() {
		mine := req.GetChannel() == "" || req.GetChannel() == d.Name.Line || eventlog.Covers(req.GetChannel(), d.Name.Line)
		if !mine || compareNames(d.Name, after) <= 0 || g.permit(d.Name.Line) != nil {
			continue
		}
		if n := len(resp.Consumers); n == size {
			last := resp.Consumers[n-1]
			resp.NextPageToken = tokenOf(stores.ConsumerName{Line: last.GetChannel(), Client: last.GetClient(), Name: last.GetName()})
			return resp, nil
		}
		resp.Consumers = append(resp.Consumers, g.consumerOf(d))
	}
	if len(resp.Consumers) == 0 && err != nil && eventlog.ValidChannel(pattern) {
		return nil, status(err)
	}
	return resp, nil
}

func compareNames(a, b stores.ConsumerName) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Name, b.Name))
}

// tokenOf returns the token of the page that follows a consumer, and consumerAfter reverses it.
func tokenOf(name stores.ConsumerName) string {
	text, err := json.Marshal(name)
	if err != nil {
		panic(err) // texts always marshal
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func consumerAfter(token string) (name stores.ConsumerName, err error) {
	if token == "" {
		return name, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, &name)
	}
	if err != nil {
		return name, errPageToken(token)
	}
	return name, nil
}

func errPageToken(token string) error {
	return invalid("page_token %q is not one of this method: send next_page_token of the previous response", token)
}

// GetConsumer implements eventstore.v1.Admin.
func (a admin) GetConsumer(ctx context.Context, req *eventstorev1.GetConsumerRequest) (*eventstorev1.GetConsumerResponse, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	c, err := g.describe(name)
	return &eventstorev1.GetConsumerResponse{Consumer: c}, err
}

// ConfigureConsumer implements eventstore.v1.Admin.
func (a admin) ConfigureConsumer(ctx context.Context, req *eventstorev1.ConfigureConsumerRequest) (*eventstorev1.ConfigureConsumerResponse, error) {
	change, err := changeOf(req.GetSettings(), req.GetClear())
	if err != nil {
		return nil, err
	}
	c, err := a.configure(ctx, req, consumers.ActConfigure, change)
	return &eventstorev1.ConfigureConsumerResponse{Consumer: c}, err
}

// PauseConsumer implements eventstore.v1.Admin.
func (a admin) PauseConsumer(ctx context.Context, req *eventstorev1.PauseConsumerRequest) (*eventstorev1.PauseConsumerResponse, error) {
	c, err := a.pause(ctx, req, consumers.ActPause, true)
	return &eventstorev1.PauseConsumerResponse{Consumer: c}, err
}

// ResumeConsumer implements eventstore.v1.Admin.
func (a admin) ResumeConsumer(ctx context.Context, req *eventstorev1.ResumeConsumerRequest) (*eventstorev1.ResumeConsumerResponse, error) {
	c, err := a.pause(ctx, req, consumers.ActResume, false)
	return &eventstorev1.ResumeConsumerResponse{Consumer: c}, err
}

// pause pauses or resumes a consumer that is known: a misspelt one would seem to be paused.
func (a admin) pause(ctx context.Context, req named, action string, paused bool) (*eventstorev1.Consumer, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := g.describe(name); err != nil {
		return nil, err
	}
	return a.configure(ctx, req, action, func(s *consumers.Settings) error {
		s.Paused = &paused
		return nil
	})
}

func (a admin) configure(ctx context.Context, req named, action string, change func(*consumers.Settings) error) (*eventstorev1.Consumer, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	err = g.act(ctx, func(ctx context.Context) error { return g.Configure(ctx, g.by, name, action, change) })
	if err != nil {
		return nil, err
	}
	return g.describe(name)
}

// SkipMessage implements eventstore.v1.Admin.
func (a admin) SkipMessage(ctx context.Context, req *eventstorev1.SkipMessageRequest) (*eventstorev1.SkipMessageResponse, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	if req.GetSequence() == 0 {
		return nil, invalid("sequence is missing: send that of the message to skip")
	}
	err = g.act(ctx, func(ctx context.Context) error { return g.Skip(ctx, g.by, name, req.GetSequence(), req.GetReason()) })
	if err != nil {
		return nil, err
	}
	c, err := g.describe(name)
	return &eventstorev1.SkipMessageResponse{Consumer: c}, err
}

// DropConsumer implements eventstore.v1.Admin.
func (a admin) DropConsumer(ctx context.Context, req *eventstorev1.DropConsumerRequest) (*eventstorev1.DropConsumerResponse, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	err = g.act(ctx, func(ctx context.Context) error { return g.Drop(ctx, g.by, name, req.GetForce()) })
	return &eventstorev1.DropConsumerResponse{}, err
}

// describe returns a consumer for a response.
func (g administered) describe(name stores.ConsumerName) (*eventstorev1.Consumer, error) {
	d, err := g.Describe(name)
	if err != nil {
		return nil, status(err)
	}
	return g.consumerOf(d), nil
}

func (g administered) consumerOf(d consumers.Description) *eventstorev1.Consumer {
	c := ConsumerOf(d)
	c.LagSeconds = g.LagSeconds(d)
	return c
}

// ConsumerOf returns a consumer as the API describes it, without its lag_seconds.
func ConsumerOf(d consumers.Description) *eventstorev1.Consumer {
	c := &eventstorev1.Consumer{
		Channel: d.Name.Line, Client: d.Name.Client, Name: d.Name.Name, Durable: d.Durable, Queue: d.Queue, Exists: d.Exists,
		LastSent: d.LastSent, LagMessages: d.Backlog.Msgs,
		Unacked: uint64(d.Unacked), Waiting: uint64(d.Waiting), Parked: uint64(d.Parked), FirstUnacked: d.FirstUnacked,
		StalledAt: d.StalledAt, Settings: settingsOf(d.Effective), StoredSettings: settingsOf(d.Stored),
	}
	if d.StalledAt > 0 {
		c.StalledSince = timestamppb.New(d.StalledSince)
	}
	for _, m := range d.Members {
		c.Members = append(c.Members, memberOf(m))
	}
	slices.SortStableFunc(c.Members, func(a, b *eventstorev1.ConsumerMember) int { return cmp.Compare(a.GetClient(), b.GetClient()) })
	return c
}

func memberOf(m consumers.Status) *eventstorev1.ConsumerMember {
	door := eventstorev1.ConsumerMember_DOOR_NATS_STREAMING
	switch {
	case m.IsOffline:
		door = eventstorev1.ConsumerMember_DOOR_UNSPECIFIED
	case m.Inbox == "":
		door = eventstorev1.ConsumerMember_DOOR_API
	}
	return &eventstorev1.ConsumerMember{
		Client: m.ClientID, Door: door, Offline: m.IsOffline, Pending: uint64(m.PendingCount), Stalled: m.IsStalled,
		MaxInflight: uint32(m.MaxInflight), AckWait: durationpb.New(time.Duration(m.AckWait) * time.Second),
	}
}
