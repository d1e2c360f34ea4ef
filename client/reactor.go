package eventstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"
)

// Reactor does what events ask for outside its database: sends a message, calls a service, executes a command. Each event
// is handled at least once, and again only if the program ended, or the database failed, between Handle and the note that it
// was handled. Where even that must not be, give what Handle calls a key, such as the event's ID.
type Reactor struct {
	Name    string // at most 255 bytes: the key of what it remembers
	DB      *sql.DB
	Dialect Dialect // of DB
	// Registry decodes events, if it is not nil. An event of an unknown type is an error, or with SkipUnknown is not handled.
	Registry    *Registry
	SkipUnknown bool
	// Handle does the work. If it fails it is called again, with back-off, Attempts times in all; 0 means that it is called
	// until ctx ends.
	Handle   func(ctx context.Context, event *Event) error
	Attempts int
	// Park, if not nil, is told of an event that Handle failed on Attempts times, or that cannot be decoded; if it returns
	// nil the event counts as handled. Without it Run ends with the error.
	Park func(ctx context.Context, event *Event, reason error) error
}

// Run handles the events of a source, in order, until ctx ends or something fails, which it returns. Run again, it goes on
// after the last event that was handled. It makes the table eventstore_checkpoints if there is none.
func (r *Reactor) Run(ctx context.Context, source Source) error {
	p := &Projector{Name: r.Name, DB: r.DB, Dialect: r.Dialect}
	at, err := p.begin(ctx)
	if err != nil {
		return fmt.Errorf("begin reactor %q: %w", r.Name, err)
	}
	move := func(to uint64) error {
		if to <= at {
			return nil
		}
		note, cancel := noting(ctx)
		defer cancel()
		moved, err := r.DB.ExecContext(note, r.Dialect.texts().moveCheckpoint, to, r.Name, at)
		if err != nil {
			return err
		}
		if n, err := moved.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, fmt.Errorf("%w: it is no longer at %d", ErrGap, at))
		}
		at = to
		return nil
	}
	err = source.Receive(ctx, at, func(batch Batch) error {
		if batch.Checkpoint > at {
			if err := batch.follows(at); err != nil {
				return err
			}
		}
		for _, event := range batch.Events {
			if err := r.react(ctx, event); err != nil {
				return err
			}
			if err := move(event.Sequence); err != nil {
				return err
			}
		}
		return move(batch.Checkpoint)
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("reactor %q after sequence %d: %w", r.Name, at, err)
}

// Work handles the events of a channel as a member of a durable queue group of NATS Streaming, named after the reactor: of
// all that run, one gets each event, in any order. It remembers what was handled in the table eventstore_reactions, which it
// makes if there is none; see Forget. An event is sent to another member if it was not handled within ackWait. ackWait is
// at least a second.
func (r *Reactor) Work(ctx context.Context, sc stan.Conn, channel string, ackWait time.Duration) error {
	if err := create(ctx, r.DB, r.Dialect.texts().createReactions); err != nil {
		return fmt.Errorf("begin reactor %q: %w", r.Name, err)
	}
	messages, stop, err := receive(sc, channel, r.Name, stan.DurableName(r.Name), stan.DeliverAllAvailable(),
		stan.MaxInflight(1), stan.SetManualAckMode(), stan.AckWait(ackWait))
	if err != nil {
		return fmt.Errorf("reactor %q: %w", r.Name, err)
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			if err := r.once(ctx, channel, m); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return fmt.Errorf("reactor %q, sequence %d of channel %q: %w", r.Name, m.Sequence, channel, err)
			}
			if err := m.Ack(); err != nil {
				return fmt.Errorf("acknowledge sequence %d of channel %q: %w", m.Sequence, channel, err)
			}
		}
	}
}

// once handles a message unless that was done before.
func (r *Reactor) once(ctx context.Context, channel string, m *stan.Msg) error {
	var one int
	err := r.DB.QueryRowContext(ctx, r.Dialect.texts().reaction, r.Name, channel, m.Sequence).Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
		return err // nil: done
	}
	event, err := published(channel, m)
	if err != nil {
		return err
	}
	if err := r.react(ctx, event); err != nil {
		return err
	}
	note, cancel := noting(ctx)
	defer cancel()
	_, err = r.DB.ExecContext(note, r.Dialect.texts().putReaction, r.Name, channel, m.Sequence)
	return err
}

// noting returns the context in which it is noted that an event was handled: also if ctx ended meanwhile.
func noting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// Forget removes what Work remembers of a channel's events before a sequence. None of them may be unacknowledged.
func (r *Reactor) Forget(ctx context.Context, channel string, before uint64) error {
	if _, err := r.DB.ExecContext(ctx, r.Dialect.texts().forgetReactions, r.Name, channel, before); err != nil {
		return fmt.Errorf("forget what reactor %q handled: %w", r.Name, err)
	}
	return nil
}

// react handles an event, or parks it.
func (r *Reactor) react(ctx context.Context, event *Event) error {
	if r.Registry != nil {
		err := r.Registry.Decode(event)
		if r.SkipUnknown && errors.Is(err, ErrUnknownType) {
			return nil
		}
		if err != nil {
			return r.park(ctx, event, err)
		}
	}
	var pause backoff
	for attempt := 1; ; attempt++ {
		err := r.Handle(ctx, event)
		if err == nil {
			return nil
		}
		if attempt == r.Attempts {
			return r.park(ctx, event, err)
		}
		if ended := pause.wait(ctx); ended != nil {
			return fmt.Errorf("handle %s, sequence %d: %w, last error: %w", event.Type, event.Sequence, ended, err)
		}
	}
}

func (r *Reactor) park(ctx context.Context, event *Event, reason error) error {
	if r.Park == nil {
		return fmt.Errorf("handle %s, sequence %d: %w", event.Type, event.Sequence, reason)
	}
	if err := r.Park(ctx, event, reason); err != nil {
		return fmt.Errorf("park %s, sequence %d (%w): %w", event.Type, event.Sequence, reason, err)
	}
	return nil
}
