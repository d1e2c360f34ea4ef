package eventstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Reactor does the work that events trigger outside its database: it sends a message, calls a service or executes a
// command. It handles each event at least once. It repeats an event only if the program or the database fails between
// Handle and the commit of the checkpoint. To rule out that case too, pass Event.Key as an idempotency key to what Handle
// calls.
type Reactor struct {
	Name    string // key of the reactor's progress, at most 255 bytes
	DB      *sql.DB
	Dialect Dialect // of DB
	// Registry, if not nil, decodes events. An unknown event type is an error, unless SkipUnknown is set: then the event
	// is skipped.
	Registry    *Registry
	SkipUnknown bool
	// Start is where Run begins if the reactor has no checkpoint: FromEnd for one that must not repeat the past. It needs a LogSource. The
	// zero value is the first event. A start at a time in the future is the end.
	Start Start
	// Lease is how long a replica that died or hangs keeps the others waiting in Run; 0 means 5 s.
	Lease time.Duration
	// MeterProvider gets the metrics of Run that docs/guides/projections.md lists; nil means that of OpenTelemetry's global one.
	MeterProvider metric.MeterProvider
	// Handle does the work. Its context has the event as the cause of what it appends (WithCause), and a span. After an
	// error it is retried with backoff, up to Attempts calls in total; 0 means no limit.
	Handle   func(ctx context.Context, event *Event) error
	Attempts int
	// Park, if not nil, receives events that Handle failed on Attempts times, and events that cannot be decoded. If it
	// returns nil, the event counts as handled. Without Park, such an event ends Run with an error.
	Park func(ctx context.Context, event *Event, reason error) error
	// TracerProvider creates the span of each call of Handle. nil means the global one, of package otel.
	TracerProvider trace.TracerProvider
}

// Run handles the events of a source in order until ctx ends or something fails, and returns the reason. The next Run
// continues after the last handled event. Run creates the table eventstore_checkpoints unless it exists.
//
// Replicas may run a reactor of one name: one has the lease and handles events, the others stand by, as with a Projector. A replica that
// hangs in Handle for longer than Lease, without its database, may handle an event that another one handles again. Run returns a
// *GapError if the log does not reach the checkpoint, or lost the event there.
func (r *Reactor) Run(ctx context.Context, source Source) error {
	if err := createCheckpoints(ctx, r.DB, r.Dialect); err != nil {
		return fmt.Errorf("begin reactor %q: %w", r.Name, err)
	}
	gauges, err := newGauges(r.MeterProvider, r.Name, "reactor")
	if err != nil {
		return fmt.Errorf("begin reactor %q: %w", r.Name, err)
	}
	defer gauges.close()
	for {
		err := r.serve(ctx, source, gauges)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, errLeaseLost):
			return fmt.Errorf("reactor %q: %w", r.Name, err)
		}
	}
}

// serve waits for the lease, and handles events until it is lost or something fails.
func (r *Reactor) serve(ctx context.Context, source Source, gauges *gauges) error {
	l := newLease(r.DB, r.Dialect, r.Name, r.Lease)
	first := func(ctx context.Context) (uint64, error) { return locate(ctx, source, r.Start) }
	if _, err := l.checkpoint(ctx, first); err != nil {
		return err
	}
	if err := l.take(ctx, nil); err != nil {
		return err
	}
	defer l.release(ctx)
	gauges.lead(true)
	defer gauges.lead(false)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := l.keep(ctx, true, cancel)
	defer stop()
	checkpoint, exists, err := readCheckpoint(ctx, r.DB, l.texts, r.Name)
	if err != nil || !exists {
		return errors.Join(err, errLeaseLost)
	}
	if log, ok := source.(LogSource); ok {
		if err := log.Check(ctx, checkpoint); err != nil {
			return err
		}
		defer gauges.watch(ctx, log)()
	}
	advance := func(to Checkpoint) error {
		if to.Place <= checkpoint.Place {
			return nil
		}
		save, cancel := saveContext(ctx)
		defer cancel()
		if err := l.move(save, r.DB, to); err != nil {
			return err
		}
		checkpoint = to
		gauges.at(checkpoint)
		return nil
	}
	gauges.at(checkpoint)
	err = receive(ctx, source, checkpoint, func(batch Batch) error {
		if batch.Checkpoint > checkpoint.Place {
			if err := batch.checkFollows(checkpoint.Place); err != nil {
				return err
			}
		}
		for _, event := range batch.Events {
			outcome, err := r.handle(ctx, event, gauges)
			if err != nil {
				return err
			}
			gauges.count(ctx, outcome)
			one := Batch{Events: []*Event{event}, Checkpoint: batch.place(event), ByPosition: batch.ByPosition}
			if err := advance(checkpoint.after(one)); err != nil {
				return err
			}
		}
		if to := checkpoint; batch.Checkpoint > to.Place {
			to.Place = batch.Checkpoint
			if err := advance(to); err != nil {
				return err
			}
		}
		if batch.CaughtUp {
			gauges.caughtUp(checkpoint)
		}
		return nil
	})
	if cause := context.Cause(ctx); errors.Is(cause, errLeaseLost) {
		return cause
	}
	return fmt.Errorf("after checkpoint %d: %w", checkpoint.Place, err)
}

// Checkpoint returns the sequence, or position, up to which Run has handled all events, 0 if there is none. The table
// eventstore_checkpoints must exist.
func (r *Reactor) Checkpoint(ctx context.Context) (uint64, error) {
	c, _, err := readCheckpoint(ctx, r.DB, r.Dialect.projectionTexts(), r.Name)
	return c.Place, err
}

// Reset makes Run begin anew, at Start, by deleting its checkpoint. A reactor that is running does so, too. The table
// eventstore_checkpoints must exist.
func (r *Reactor) Reset(ctx context.Context) error {
	if _, err := r.DB.ExecContext(ctx, r.Dialect.projectionTexts().dropCheckpoint, r.Name); err != nil {
		return fmt.Errorf("reset reactor %q: %w", r.Name, err)
	}
	return nil
}

// Once returns a function that handles an event unless a record says that it was handled before. It is what streaming.Worker calls. Once
// creates the table eventstore_reactions of the records unless it exists; Forget removes old ones.
func (r *Reactor) Once(ctx context.Context) (func(context.Context, *Event) error, error) {
	if err := createTable(ctx, r.DB, r.Dialect.texts().createReactions); err != nil {
		return nil, fmt.Errorf("begin reactor %q: %w", r.Name, err)
	}
	return func(ctx context.Context, event *Event) error {
		handled, err := r.handled(ctx, event)
		if err != nil || handled {
			return err
		}
		if _, err := r.handle(ctx, event, nil); err != nil {
			return err
		}
		return r.record(ctx, event)
	}, nil
}

// handled reports whether a record says that an event was handled.
func (r *Reactor) handled(ctx context.Context, event *Event) (bool, error) {
	var one int
	err := r.DB.QueryRowContext(ctx, r.Dialect.texts().reaction, r.Name, event.Channel, event.Sequence).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// record stores that an event was handled.
func (r *Reactor) record(ctx context.Context, event *Event) error {
	save, cancel := saveContext(ctx)
	defer cancel()
	_, err := r.DB.ExecContext(save, r.Dialect.texts().putReaction, r.Name, event.Channel, event.Sequence)
	return err
}

// Consume handles events as a member of a durable queue group, like a streaming.Worker, but by the API: members of both kinds share
// the work of one reactor. The consumer says what to consume; its Group and Durable are by default the reactor's name, and its ClientID is a random
// one. After Attempts deliveries, and if it cannot be decoded, an event goes to Park, or is parked on the server if Park is nil.
func (r *Reactor) Consume(ctx context.Context, consumer Consumer) error {
	if err := createTable(ctx, r.DB, r.Dialect.texts().createReactions); err != nil {
		return fmt.Errorf("begin reactor %q: %w", r.Name, err)
	}
	if consumer.Group == "" && consumer.Durable == "" {
		consumer.Group, consumer.Durable = r.Name, r.Name
	}
	consumer.ClientID = cmp.Or(consumer.ClientID, "reactor-"+rand.Text())
	consumer.Registry = nil // an event that was handled before need not decode
	consumer.Handle = r.once
	if err := consumer.Run(ctx); ctx.Err() == nil {
		return fmt.Errorf("reactor %q: %w", r.Name, err)
	}
	return context.Cause(ctx)
}

// once handles an event of a Consumer unless a record says that it was handled before.
func (r *Reactor) once(ctx context.Context, event *Event) error {
	handled, err := r.handled(ctx, event)
	if err != nil || handled {
		return r.again(event, err)
	}
	if err := r.try(ctx, event); err != nil {
		return err
	}
	return r.again(event, r.record(ctx, event))
}

// try handles an event once. The error says what becomes of it.
func (r *Reactor) try(ctx context.Context, event *Event) error {
	events, err := expand(r.Registry, r.SkipUnknown, event)
	final := err != nil
	for i := 0; i < len(events) && err == nil; i++ {
		err = r.react(ctx, events[i])
		final = r.Attempts > 0 && event.Deliveries >= r.Attempts
	}
	var rejection *Rejection
	switch {
	case err == nil, errors.As(err, &rejection):
		return err
	case !final:
		return r.again(event, err)
	case r.Park == nil:
		return &Rejection{Err: err, Park: true}
	}
	return r.again(event, r.park(ctx, event, err))
}

// again has an event sent again after an error.
func (r *Reactor) again(event *Event, err error) error {
	if err == nil {
		return nil
	}
	return &Rejection{Err: err, Delay: retryDelay(event.Deliveries)}
}

// saveContext returns a context that outlives ctx by a few seconds, so that handled work is recorded even if ctx ends.
func saveContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// Forget removes the records of a channel's events before a sequence. All these events must be acknowledged.
func (r *Reactor) Forget(ctx context.Context, channel string, before uint64) error {
	if _, err := r.DB.ExecContext(ctx, r.Dialect.texts().forgetReactions, r.Name, channel, before); err != nil {
		return fmt.Errorf("forget records of reactor %q before sequence %d of channel %q: %w", r.Name, before, channel, err)
	}
	return nil
}

// handle handles an event, or parks it. It counts the attempts that fail, unless gauges is nil.
func (r *Reactor) handle(ctx context.Context, event *Event, gauges *gauges) (outcomes, error) {
	events, err := expand(r.Registry, r.SkipUnknown, event)
	if err != nil {
		gauges.failed(ctx)
		return outcomes{parked: 1}, r.park(ctx, event, err)
	}
	outcome := outcomes{applied: 1}
	if len(events) == 0 {
		outcome = outcomes{skipped: 1}
	}
	for _, e := range events {
		parked, err := r.retry(ctx, e, gauges)
		if err != nil {
			return outcome, err
		}
		if parked {
			outcome = outcomes{parked: 1}
		}
	}
	return outcome, nil
}

// retry handles an event until that succeeds, or parks it.
func (r *Reactor) retry(ctx context.Context, event *Event, gauges *gauges) (parked bool, err error) {
	var pause backoff
	for attempt := 1; ; attempt++ {
		err := r.react(ctx, event)
		if err == nil {
			return false, nil
		}
		gauges.failed(ctx)
		if attempt == r.Attempts {
			return true, r.park(ctx, event, err)
		}
		if ended := pause.wait(ctx); ended != nil {
			return false, fmt.Errorf("handle %s, sequence %d: %w, last error: %w", event.Type, event.Sequence, ended, err)
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
