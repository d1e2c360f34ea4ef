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

// Execute loads an account, has decide look at it, and publishes the event that decide returns. If another event of
// the account was faster, it starts over. A command is executed once, however often Execute is called with its ID:
// nil means that its event is stored.
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
		if err == nil || !isOvertaken(err) {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// isOvertaken reports whether the account has other events than were loaded, be it that somebody executed this very
// command. Errors of the server reach stan.go as text.
func isOvertaken(err error) bool {
	return strings.Contains(err.Error(), "stan: wrong expected version") ||
		strings.Contains(err.Error(), "already stored with different content")
}

// pause waits before the next attempt: at most 10 ms at first, at most 2 s in the end, and a random part of it, so that
// those who lost a race do not meet again.
func pause(ctx context.Context, attempt int) error {
	longest := min(10*time.Millisecond<<min(attempt, 10), 2*time.Second)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rand.N(longest)):
		return nil
	}
}
