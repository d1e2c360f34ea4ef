package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// openKeys opens the keys of encrypted fields, if there are any.
func openKeys(ctx context.Context, o *config.Options, log *slog.Logger) (*keys.Ring, error) {
	if o.Keys.IsZero() {
		return nil, nil
	}
	return keys.Open(ctx, o.KeyOptions(), log)
}

// Keys implements api.Administration.
func (a administration) Keys() api.Keys {
	if a.term.keys == nil {
		return nil
	}
	return a.term.keys
}

// forgetPage is how many acts are read at a time.
const forgetPage = 1000

// forgetAgain deletes keys whose database was set back to a time before they were forgotten: the audit table remembers.
func (t *term) forgetAgain(ctx context.Context) {
	if t.keys == nil {
		return
	}
	for before := uint64(0); ; {
		acts, err := t.store.Audit(ctx, before, forgetPage)
		if err != nil {
			t.forgetFailed(ctx, err)
			return
		}
		for _, act := range acts {
			if act.Action != api.ActForget {
				continue
			}
			n, err := t.keys.ForgetAgain(ctx, act.Target, act.Time)
			if err != nil {
				t.forgetFailed(ctx, err)
				return
			}
			if n > 0 {
				t.log.Warn("Forgot a subject again, whose key was in a restored database", "subject", act.Target, "keys", n)
			}
		}
		if len(acts) < forgetPage {
			return
		}
		before = acts[len(acts)-1].ID
	}
}

func (t *term) forgetFailed(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, stores.ErrUnavailable) {
		t.log.Error(fmt.Sprintf("Failed to look for forgotten keys: %v", err))
	}
}
