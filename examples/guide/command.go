package guide

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/stan.go"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Bank executes commands.
type Bank struct {
	DB   *sql.DB   // of the event store
	Conn stan.Conn // to the server
}

// Execute loads an account, passes it to decide, and publishes the event that decide returns. If the account changed
// meanwhile, Execute starts over. A command is executed once, however often Execute is called with its ID. nil means that
// its event is stored.
func (b *Bank) Execute(ctx context.Context, command, account string, decide func(*Account) (*eventstorev1.Event, error)) error {
	for attempt := 0; ; attempt++ {
		a, err := Load(ctx, b.DB, account)
		if err != nil {
			return err
		}
		if a.executed[command] {
			return nil
		}
		event, err := decide(a)
		if err != nil {
			return fmt.Errorf("command %q on account %q: %w", command, account, err)
		}
		event.EventId = command
		event.AggregateId, event.AggregateType = account, "Account"
		event.EventVersion = a.Version + 1
		err = Publish(ctx, b.Conn, event)
		if err == nil || !isConflict(err) {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// isConflict reports whether another command, or another call of this command, stored its event first. stan.go returns
// server errors as text only.
func isConflict(err error) bool {
	return strings.Contains(err.Error(), "stan: wrong expected version") ||
		strings.Contains(err.Error(), "already stored with different content")
}

// pause waits before the next attempt, for a random time. The limit starts at 10 ms and doubles up to 2 s, so that commands
// that conflicted once do not conflict again.
func pause(ctx context.Context, attempt int) error {
	limit := min(10*time.Millisecond<<min(attempt, 10), 2*time.Second)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rand.N(limit)):
		return nil
	}
}
