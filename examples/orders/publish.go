package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

type publisher struct {
	events int
	window int
	run    string
	expect bool
}

// publish sends the events without waiting for each acknowledgement. It returns
// once each one is acknowledged, refused or timed out. An acknowledged event is
// committed to the database. The server stores the events of a connection in order.
func (p publisher) publish(ctx context.Context, sc stan.Conn, say *log.Logger) error {
	var acks acks
	start := time.Now()
	sent := 0
	var failed error
	for ; sent < p.events && ctx.Err() == nil; sent++ {
		event, err := orderEvent(p.run, sent)
		if err != nil {
			failed = err
			break
		}
		if p.expect {
			// Optimistic concurrency: the server accepts version N only for the Nth
			// event of the order. Without event_version it assigns the next one.
			event.EventVersion = uint64(sent%steps) + 1
		}
		payload, err := proto.Marshal(event)
		if err != nil {
			failed = fmt.Errorf("encode %s of %s: %w", event.EventType, event.AggregateId, err)
			break
		}
		// PublishAsync blocks while the window is full.
		acks.pending.Add(1)
		if _, err := sc.PublishAsync(channel, payload, func(_ string, err error) { acks.done(event, err) }); err != nil {
			acks.pending.Done()
			failed = fmt.Errorf("publish %s of %s: %w", event.EventType, event.AggregateId, err)
			break
		}
	}
	// stan.go reports a timeout 30 s (PubAckWait) after the last event at the latest.
	acks.pending.Wait()
	took := time.Since(start)
	acks.mu.Lock()
	defer acks.mu.Unlock()
	say.Printf("%d events of %d acknowledged in %v (%.0f/s)",
		acks.stored, p.events, took.Round(time.Millisecond), float64(acks.stored)/took.Seconds())
	if failed == nil && sent < p.events {
		failed = interrupted(ctx)
		if failed == nil {
			failed = errors.New("interrupted")
		}
	}
	return errors.Join(failed, acks.err())
}

// acks counts acknowledgements. stan.go reports them in its own goroutines.
type acks struct {
	pending sync.WaitGroup

	mu      sync.Mutex // guards the rest
	stored  int
	refused int
	first   error
	stale   bool // first is a wrong expected version
}

func (a *acks) done(event *eventstorev1.Event, err error) {
	defer a.pending.Done()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.stored++
		return
	}
	a.refused++
	if a.first == nil {
		a.first = fmt.Errorf("%s of %s: %w", event.EventType, event.AggregateId, err)
		a.stale = isWrongVersion(err)
	}
}

// err summarizes the events that were not acknowledged. The caller holds mu.
func (a *acks) err() error {
	switch {
	case a.refused == 0:
		return nil
	case a.stale:
		return fmt.Errorf("%d events not stored, first %w (reload the order, decide again, publish)", a.refused, a.first)
	}
	return fmt.Errorf("%d events not acknowledged, first %w", a.refused, a.first)
}

// isWrongVersion reports whether the server refused an event because its order is
// at another version. stan.go returns server errors as text only; this prefix is
// part of the server's contract.
func isWrongVersion(err error) bool {
	return strings.HasPrefix(err.Error(), "stan: wrong expected version")
}
