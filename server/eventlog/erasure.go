package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

var (
	// ErrNothingToErase means that no event, or none that is not erased already, is selected.
	ErrNothingToErase = errors.New("nothing to erase: no event is selected that is not erased already")
	// ErrNotAnEvent means that a sequence is that of a message without a position.
	ErrNotAnEvent = errors.New("not an event: the limits of its channel remove it")
)

// ErasedEvents selects events to erase: those of an aggregate, one event of a channel, or those with a tag. It is stored as JSON until
// they are erased.
type ErasedEvents struct {
	Channel       string  `json:"channel,omitempty"`        // "": all event channels; required with Sequence
	AggregateType *string `json:"aggregate_type,omitempty"` // nil: any
	AggregateID   string  `json:"aggregate_id,omitempty"`
	Sequence      uint64  `json:"sequence,omitempty"`
	Tag           string  `json:"tag,omitempty"`
}

// ErasureRequest asks an Eraser for an erasure.
type ErasureRequest struct {
	Events    ErasedEvents
	Principal string
	Reason    string
	// Act returns what the audit says about an erasure.
	Act func(erasure uint64) stores.AuditEntry
	// DryRun only counts.
	DryRun bool
}

// ErasureReport says what an erasure has erased, or would erase.
type ErasureReport struct {
	stores.Erasure
	Channels []ErasedChannel // by name
	Streams  []ErasedStream
	Took     time.Duration // for which publishers waited
}

// ErasedChannel counts the messages of a channel that were erased.
type ErasedChannel struct {
	Name           string
	Events, Copies uint64
}

// ErasedStream counts the messages of a stream that were deleted.
type ErasedStream struct {
	Name    string
	Deleted uint64
	Err     error // why messages may be left; the eraser tries again
}

// Stream has copies of events outside the log.
type Stream interface {
	StreamName() string
	// Erase deletes the messages of events of a channel from the stream, by ascending sequence. It returns how many it has deleted.
	Erase(ctx context.Context, channel string, sequences []uint64) (uint64, error)
}

// ErasureMetrics is what an Eraser counts.
type ErasureMetrics interface {
	// Erased counts messages that an erasure has replaced, and how long publishers waited for it.
	Erased(events, copies uint64, waited time.Duration)
	// OpenErasures sets how many erasures are not done: those that erase nothing yet, and those of which streams or readers have not been
	// told.
	OpenErasures(pending, untold int)
	// NoErasures says that it is not known any more, since another server may lead.
	NoErasures()
}

// Eraser erases events of a log, one erasure after the other.
//
// It lists what an erasure replaces while publishers continue. The writer then replaces all of it in one transaction between two
// batches. What is listed outlives a crash: whoever leads next resumes there.
type Eraser struct {
	log      *Log
	streams  []Stream
	metrics  ErasureMetrics
	logger   *slog.Logger
	requests chan *erasureCall
	ended    chan struct{}             // closed when Run ends
	open     map[uint64]stores.Erasure // that are recorded and not done, by ID; of Run's goroutine
}

type erasureCall struct {
	request ErasureRequest
	done    chan struct{}
	report  ErasureReport
	err     error
}

const (
	// erasureRetry is the pause before an erasure that could not be finished is tried again.
	erasureRetry = 5 * time.Second
	// streamsTimeout bounds one attempt to delete the messages of streams.
	streamsTimeout = time.Minute
)

// NewEraser returns an eraser of a log, which has copies in streams. Call Run.
func NewEraser(l *Log, streams []Stream, metrics ErasureMetrics, log *slog.Logger) *Eraser {
	return &Eraser{
		log: l, streams: streams, metrics: metrics, logger: log,
		requests: make(chan *erasureCall), ended: make(chan struct{}), open: map[uint64]stores.Erasure{},
	}
}

// Erase erases events, and returns once nobody can read them from the log any more. ctx bounds only the caller's wait.
func (e *Eraser) Erase(ctx context.Context, request ErasureRequest) (ErasureReport, error) {
	c := &erasureCall{request: request, done: make(chan struct{})}
	select {
	case e.requests <- c:
	case <-e.ended:
		return ErasureReport{}, ErrStopped
	case <-ctx.Done():
		return ErasureReport{}, context.Cause(ctx)
	}
	select {
	case <-c.done:
		return c.report, c.err
	case <-ctx.Done():
		return ErasureReport{}, context.Cause(ctx)
	}
}

// Run resumes erasures that were interrupted, then erases what it is asked to, until ctx ends. An erasure that is not done, for whatever
// reason, is tried again.
func (e *Eraser) Run(ctx context.Context) {
	defer close(e.ended)
	defer e.metrics.NoErasures()
	known := false // what was open at the start
	retry := time.NewTimer(0)
	defer retry.Stop()
	for waiting := true; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
			return
		case c := <-e.requests:
			c.report, c.err = e.serve(ctx, &c.request)
			close(c.done)
		case <-retry.C:
			waiting = false
			if !known {
				open, err := e.log.store.OpenErasures(ctx)
				if err != nil {
					e.failed(ctx, err)
					break
				}
				for _, erasure := range open {
					e.note(erasure)
				}
				e.count()
				known = true
			}
			for _, id := range slices.Sorted(maps.Keys(e.open)) {
				e.resume(ctx, e.open[id])
			}
		}
		if !waiting && (!known || len(e.open) > 0) {
			waiting = true
			retry.Reset(erasureRetry)
		}
	}
}

// note remembers how far an erasure is.
func (e *Eraser) note(erasure stores.Erasure) {
	if e.open[erasure.ID] = erasure; erasure.State == stores.ErasureDone {
		delete(e.open, erasure.ID)
	}
	e.count()
}

func (e *Eraser) count() {
	pending := 0
	for _, open := range e.open {
		if open.State == stores.ErasurePending {
			pending++
		}
	}
	e.metrics.OpenErasures(pending, len(e.open)-pending)
}

func (e *Eraser) failed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		e.logger.Error("Erasure interrupted; retrying", "error", err)
		e.log.failed(err)
	}
}

// resume continues an erasure.
func (e *Eraser) resume(ctx context.Context, erasure stores.Erasure) {
	report := ErasureReport{Erasure: erasure}
	if erasure.State == stores.ErasurePending {
		e.logger.Info("Resuming an erasure", "erasure", erasure.ID)
		if err := e.replace(ctx, &report); err != nil {
			e.failed(ctx, err)
			return
		}
	}
	if err := e.tell(ctx, &report); err != nil {
		e.failed(ctx, err)
	}
}

// serve answers a request.
func (e *Eraser) serve(ctx context.Context, request *ErasureRequest) (ErasureReport, error) {
	report := ErasureReport{Erasure: stores.Erasure{Requested: time.Now().UnixNano(), Principal: request.Principal, Reason: request.Reason, State: stores.ErasurePending}}
	selector, err := json.Marshal(request.Events)
	if err != nil {
		return report, err
	}
	report.Selector = string(selector)
	found := e.newList(&report.Erasure)
	if found.most = 1; request.DryRun {
		found.most = 0
	}
	switch err := found.next(ctx); {
	case err != nil:
		return report, err
	case len(found.messages) == 0:
		return report, ErrNothingToErase
	case request.DryRun:
		report.count(found.messages)
		return report, nil
	}
	report.ID = e.log.store.NewErasureID()
	if err := e.log.store.BeginErasure(ctx, report.Erasure, request.Act(report.ID)); err != nil {
		return report, err
	}
	e.note(report.Erasure)
	if err := e.replace(ctx, &report); err != nil {
		return report, fmt.Errorf("erasure %d is recorded and will be resumed: %w", report.ID, err)
	}
	if err := e.tell(ctx, &report); err != nil {
		e.failed(ctx, err) // Run tries again
	}
	return report, nil
}

// replace lists what a pending erasure is to replace, and replaces it.
func (e *Eraser) replace(ctx context.Context, report *ErasureReport) error {
	l, found := e.log, e.newList(&report.Erasure)
	list := func(ctx context.Context) (int, error) {
		found.messages = nil
		if err := found.next(ctx); err != nil {
			return 0, err
		}
		report.count(found.messages)
		return len(found.messages), l.store.ListErased(ctx, report.ID, found.messages)
	}
	for {
		n, err := list(ctx)
		if err != nil {
			return err
		}
		if n < erasedAtOnce {
			break
		}
	}
	var err error
	called := l.writer.onWriter(ctx, func() {
		began := time.Now()
		if _, err = list(ctx); err != nil { // published since
			return
		}
		report.Erased = time.Now().UnixNano()
		if err = l.store.Erase(ctx, report.ID, report.Erased); err == nil {
			l.forget()
		}
		report.Took = time.Since(began)
	})
	if err = errors.Join(called, err); err != nil {
		return err
	}
	report.State, report.Selector = stores.ErasureErased, ""
	e.note(report.Erasure)
	e.metrics.Erased(report.Events, report.Copies, report.Took)
	l.log.Info("Events have been erased", "erasure", report.ID, "events", report.Events, "copies", report.Copies, "principal", report.Principal, "reason", report.Reason,
		"publishers_waited", report.Took.Round(time.Millisecond))
	return nil
}

// forget drops everything that was read before an erasure. It runs on the writer's goroutine.
func (l *Log) forget() {
	l.erased.Add(1)
	for _, ch := range l.Channels() {
		l.tails.remove(&ch.tail)
	}
	l.tails.remove(&l.order.memory)
}

// count adds messages to the report.
func (r *ErasureReport) count(messages []stores.ErasedMessage) {
	for _, m := range messages {
		name := m.Channel.Name()
		i, found := slices.BinarySearchFunc(r.Channels, name, func(c ErasedChannel, name string) int {
			switch {
			case c.Name < name:
				return -1
			case c.Name > name:
				return 1
			}
			return 0
		})
		if !found {
			r.Channels = slices.Insert(r.Channels, i, ErasedChannel{Name: name})
		}
		if m.Position > 0 {
			r.Channels[i].Events++
			r.Events++
		} else {
			r.Channels[i].Copies++
			r.Copies++
		}
	}
}

// tell announces an erasure to readers, and deletes the messages of streams.
func (e *Eraser) tell(ctx context.Context, report *ErasureReport) error {
	messages, err := e.log.store.Listed(ctx, report.ID)
	if err != nil {
		return err
	}
	var channels []listedEvents
	for _, m := range messages {
		if m.Position == 0 {
			continue
		}
		if n := len(channels); n == 0 || channels[n-1].channel != m.Channel.Name() {
			channels = append(channels, listedEvents{channel: m.Channel.Name()})
		}
		last := &channels[len(channels)-1]
		last.sequences = append(last.sequences, m.Sequence)
		last.positions = append(last.positions, m.Position)
	}
	if err := e.announce(ctx, report.ID, channels); err != nil {
		return err
	}
	left := false
	report.Streams = nil
	bounded, cancel := context.WithTimeout(ctx, streamsTimeout)
	defer cancel()
	for _, s := range e.streams {
		told := ErasedStream{Name: s.StreamName()}
		for _, c := range channels {
			n, err := s.Erase(bounded, c.channel, c.sequences)
			told.Deleted += n
			told.Err = errors.Join(told.Err, err)
		}
		if told.Err != nil {
			left = true
			e.logger.Error("Failed to delete erased events from a stream; retrying", "erasure", report.ID, "stream", told.Name, "error", told.Err)
		} else if told.Deleted > 0 {
			e.logger.Info("Erased events have been deleted from a stream", "erasure", report.ID, "stream", told.Name, "messages", told.Deleted)
		}
		if told.Err != nil || told.Deleted > 0 {
			report.Streams = append(report.Streams, told)
		}
	}
	var logged error
	if called := e.log.writer.onWriter(ctx, func() { logged = e.log.store.EmptyLog(ctx) }); called != nil {
		return called
	}
	if logged != nil {
		left = true
		e.logger.Warn("Erased events are still in the log of the database; retrying", "erasure", report.ID, "error", logged)
	}
	if left {
		return nil
	}
	if err := e.log.store.FinishErasure(ctx, report.ID); err != nil {
		return err
	}
	report.State = stores.ErasureDone
	e.note(report.Erasure)
	return nil
}

// listedEvents are the events of a channel that an erasure has erased, by sequence.
type listedEvents struct {
	channel              string
	sequences, positions []uint64
}
