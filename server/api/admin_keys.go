package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
)

// Keys are those of encrypted fields. They do what keys.Ring documents.
type Keys interface {
	Locked() error
	List(ctx context.Context, after string, n int) ([]keys.Description, error)
	Show(ctx context.Context, subject string) ([]keys.Description, error)
	Forget(ctx context.Context, subject string) ([]keys.Description, error)
	Renew(ctx context.Context, subject string) ([]keys.Description, error)
	Rotate(ctx context.Context) (int, error)
}

// Acts on keys in the audit table. Their target is the newest key of the subject: the table outlives the person's data.
const (
	ActForget = "forget_subject"
	actRenew  = "renew_subject_key"
	actRotate = "rotate_master_key"
)

// keys returns the keys, and the administration of all channels, which they belong to.
func (a admin) keys(ctx context.Context) (administered, Keys, error) {
	g, err := a.administration(ctx, everywhere)
	if err != nil {
		return g, nil, status(err)
	}
	k := g.Keys()
	if k == nil {
		return g, nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("this server encrypts no fields: its configuration has no keys"))
	}
	return g, k, nil
}

// ListKeys implements eventstore.v1.Admin.
func (a admin) ListKeys(ctx context.Context, req *eventstorev1.ListKeysRequest) (*eventstorev1.ListKeysResponse, error) {
	_, k, err := a.keys(ctx)
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	found, err := k.List(ctx, req.GetPageToken(), size+1)
	if err != nil {
		return nil, status(err)
	}
	resp := &eventstorev1.ListKeysResponse{}
	if len(found) > size {
		found = found[:size]
		resp.NextPageToken = found[size-1].Name
	}
	if locked := k.Locked(); locked != nil {
		resp.Locked = locked.Error()
	}
	resp.Keys = keysOf(found)
	return resp, nil
}

// GetSubjectKeys implements eventstore.v1.Admin.
func (a admin) GetSubjectKeys(ctx context.Context, req *eventstorev1.GetSubjectKeysRequest) (*eventstorev1.GetSubjectKeysResponse, error) {
	_, k, err := a.keys(ctx)
	if err != nil {
		return nil, err
	}
	if req.GetSubject() == "" {
		return nil, errSubjectMissing
	}
	found, err := k.Show(ctx, req.GetSubject())
	return &eventstorev1.GetSubjectKeysResponse{Keys: keysOf(found)}, status(err)
}

// ForgetSubject implements eventstore.v1.Admin.
func (a admin) ForgetSubject(ctx context.Context, req *eventstorev1.ForgetSubjectRequest) (*eventstorev1.ForgetSubjectResponse, error) {
	found, err := a.actOn(ctx, ActForget, req.GetSubject(), req.GetReason(), Keys.Forget)
	return &eventstorev1.ForgetSubjectResponse{Keys: keysOf(found)}, err
}

// RenewSubjectKey implements eventstore.v1.Admin.
func (a admin) RenewSubjectKey(ctx context.Context, req *eventstorev1.RenewSubjectKeyRequest) (*eventstorev1.RenewSubjectKeyResponse, error) {
	found, err := a.actOn(ctx, actRenew, req.GetSubject(), req.GetReason(), Keys.Renew)
	return &eventstorev1.RenewSubjectKeyResponse{Keys: keysOf(found)}, err
}

// RotateMasterKey implements eventstore.v1.Admin.
func (a admin) RotateMasterKey(ctx context.Context, _ *eventstorev1.RotateMasterKeyRequest) (*eventstorev1.RotateMasterKeyResponse, error) {
	g, k, err := a.keys(ctx)
	if err != nil {
		return nil, err
	}
	resp := &eventstorev1.RotateMasterKeyResponse{}
	n, err := k.Rotate(ctx)
	if err != nil {
		return nil, status(err)
	}
	resp.Keys = uint64(n)
	err = g.act(ctx, func(ctx context.Context) error {
		return g.Audit(ctx, g.by, actRotate, "", fmt.Sprintf("%d keys", n))
	})
	return resp, err
}

var errSubjectMissing = invalid("subject is missing: send the person's identifier as the events have it, or key: and the name of a key")

// actOn does an act on the keys of a subject. It is recorded first: if it ends in the middle, the table shows who began it.
func (a admin) actOn(ctx context.Context, action, subject, reason string, act func(Keys, context.Context, string) ([]keys.Description, error)) (found []keys.Description, err error) {
	g, k, err := a.keys(ctx)
	switch {
	case err != nil:
		return nil, err
	case subject == "":
		return nil, errSubjectMissing
	}
	err = g.act(ctx, func(ctx context.Context) error {
		before, err := k.Show(ctx, subject)
		if err != nil {
			return err
		}
		newest := before[len(before)-1].Name
		if err := g.Audit(ctx, g.by, action, newest, reason); err != nil {
			return err
		}
		found, err = act(k, ctx, "key:"+newest)
		return err
	})
	return found, err
}

func keysOf(all []keys.Description) []*eventstorev1.SubjectKey {
	var out []*eventstorev1.SubjectKey
	for _, d := range all {
		out = append(out, &eventstorev1.SubjectKey{Name: d.Name, CreatedAt: timestamppb.New(d.Created), ForgottenAt: timestampOf(d.Forgotten)})
	}
	return out
}

func timestampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
