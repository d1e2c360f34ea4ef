package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
)

// openKeys opens the keys of encrypted fields, if there are any.
func openKeys(ctx context.Context, o *config.Options, log *slog.Logger) (*keys.Ring, error) {
	if o.Keys.IsZero() {
		return nil, nil
	}
	return keys.Open(ctx, o.KeyOptions(), log)
}

// encryption is what monitoring shows of a ring.
func encryption(ring *keys.Ring) monitor.Encryption {
	n := ring.Counts()
	return monitor.Encryption{Encrypted: n.Sealed, Decrypted: n.Opened, Failed: n.Failed, Keys: n.Cached, Locked: n.Locked}
}

// Keys implements api.Administration.
func (a administration) Keys() api.Keys {
	if a.term.keys == nil {
		return nil
	}
	return a.term.keys
}

const (
	// forgetPage is how many acts are read at a time.
	forgetPage = 1000
	// forgetTimeout bounds how long a start waits until forgotten keys were looked for. Later it is tried again beside all else.
	forgetTimeout = 5 * time.Second
	forgetRetry   = 5 * time.Second
)

// forgetFirst is forgetAgain before anybody is served. It returns what is left to do.
func (t *term) forgetFirst(ctx context.Context) (later func(context.Context)) {
	later = func(context.Context) {}
	if t.keys == nil {
		return later
	}
	bounded, cancel := context.WithTimeout(ctx, forgetTimeout)
	defer cancel()
	if err := t.forgetAgain(bounded); err == nil || ctx.Err() != nil {
		return later
	}
	return func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(forgetRetry):
			}
			if t.forgetAgain(ctx) == nil {
				return
			}
		}
	}
}

// forgetAgain deletes keys whose database was set back to a time before they were forgotten: the audit table remembers.
func (t *term) forgetAgain(ctx context.Context) error {
	for before := uint64(0); ; {
		acts, err := t.store.Audit(ctx, before, forgetPage)
		if err != nil {
			return err
		}
		var names []string
		for _, act := range acts {
			if act.Action == api.ActForget {
				names = append(names, act.Target)
			}
		}
		if len(names) > 0 {
			n, err := t.keys.ForgetAgain(ctx, names)
			if n > 0 {
				t.log.Warn("Forgot subjects again, whose keys were in a restored database", "keys", n)
			}
			if err != nil {
				return err
			}
		}
		if len(acts) < forgetPage {
			return nil
		}
		before = acts[len(acts)-1].ID
	}
}
