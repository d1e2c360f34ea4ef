package eventstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// work is what a consumer has in hand. It outlives its streams: what was handled while there was none is acknowledged on the next.
type work struct {
	consumer *Consumer
	fail     context.CancelCauseFunc // ends Run
	slots    chan struct{}           // one for each event that is being handled
	running  sync.WaitGroup
	ready    chan struct{} // one slot: something is to be told
	opened   bool          // a stream was open; owned by Run

	mu       sync.Mutex // guards the fields below
	held     map[uint64]struct{}
	outcomes []outcome
	ended    bool // nothing is begun any more
}

// outcome is what became of an event.
type outcome struct {
	place    uint64
	rejected *Rejection // nil: handled
}

func newWork(c *Consumer, fail context.CancelCauseFunc) *work {
	return &work{consumer: c, fail: fail, slots: make(chan struct{}, max(c.Concurrency, 1)), ready: make(chan struct{}, 1), held: make(map[uint64]struct{})}
}

// begin handles an event on a goroutine of its own, once there is a slot. What is in hand comes again if the server did not hear of
// it yet, and is left alone.
func (w *work) begin(ctx context.Context, d *eventstorev1.ConsumeResponse_Delivery) {
	event := FromRecorded(d.GetEvent())
	event.Deliveries = int(d.GetDeliveries())
	place := event.Sequence
	if w.consumer.pattern() {
		place = event.Position
	}
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, inHand := w.held[place]; inHand || w.ended {
		<-w.slots
		return
	}
	w.held[place] = struct{}{}
	w.running.Go(func() {
		rejected := w.consumer.handle(ctx, event)
		if rejected != nil && rejected.final {
			w.fail(fmt.Errorf("consume channel %q: %w", w.consumer.Channel, rejected.Err))
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		<-w.slots
		if rejected != nil && ctx.Err() != nil {
			delete(w.held, place) // it failed because the program ends: somebody else gets it
			return
		}
		w.outcomes = append(w.outcomes, outcome{place, rejected})
		w.signal()
	})
}

func (w *work) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// consuming is the sending side of a stream.
type consuming = connect.BidiStreamForClientSimple[eventstorev1.ConsumeRequest, eventstorev1.ConsumeResponse]

// tell tells the server what became of events until stop is closed. Once ctx has ended, it tells the last of it and leaves; if the
// server does not answer that, it calls end.
func (w *work) tell(ctx context.Context, stream *consuming, stop <-chan struct{}, end func()) {
	for leaving := false; !leaving; {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			w.finish()
			leaving = true
		case <-w.ready:
		}
		if !w.send(stream) {
			w.signal() // for the next stream
			break
		}
	}
	if ctx.Err() != nil {
		_ = stream.CloseRequest()
		defer time.AfterFunc(leaveTimeout, end).Stop()
	}
	<-stop
}

// finish waits for what is being handled, and begins nothing any more.
func (w *work) finish() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.running.Wait()
}

// send sends the outcomes. It reports false if the stream is broken; they stay then.
func (w *work) send(stream *consuming) bool {
	w.mu.Lock()
	outcomes := w.outcomes
	w.outcomes = nil
	w.mu.Unlock()
	for sent := 0; sent < len(outcomes); {
		request, n := requestOf(outcomes[sent:])
		err := stream.Send(request)
		w.mu.Lock()
		if err != nil {
			w.outcomes = append(outcomes[sent:], w.outcomes...)
			w.mu.Unlock()
			return false
		}
		for _, it := range outcomes[sent : sent+n] {
			delete(w.held, it.place)
		}
		w.mu.Unlock()
		sent += n
	}
	return true
}

// requestOf returns a request about the first n of some outcomes.
func requestOf(outcomes []outcome) (request *eventstorev1.ConsumeRequest, n int) {
	if r := outcomes[0].rejected; r != nil {
		nack := &eventstorev1.ConsumeRequest_Nack{Sequences: []uint64{outcomes[0].place}, Reason: reasonOf(r)}
		switch {
		case r.Park:
			nack.Action = eventstorev1.ConsumeRequest_Nack_ACTION_PARK
		case r.Skip:
			nack.Action = eventstorev1.ConsumeRequest_Nack_ACTION_SKIP
		default:
			nack.Action = eventstorev1.ConsumeRequest_Nack_ACTION_RETRY
			if r.Delay > 0 {
				nack.Delay = durationpb.New(r.Delay)
			}
		}
		return &eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Nack_{Nack: nack}}, 1
	}
	ack := &eventstorev1.ConsumeRequest_Ack{}
	for _, it := range outcomes {
		if it.rejected != nil || len(ack.Sequences) == maxAcks {
			break
		}
		ack.Sequences = append(ack.Sequences, it.place)
	}
	return &eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Ack_{Ack: ack}}, len(ack.Sequences)
}

// reasonOf returns the text of a rejection as the server takes it.
func reasonOf(r *Rejection) string {
	text := strings.ToValidUTF8(r.Error(), "�")
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// retryDelay is how long the reactor's events wait after a failed delivery: 100 ms at first, doubling up to a minute.
func retryDelay(deliveries int) time.Duration {
	return min(100*time.Millisecond<<min(max(deliveries-1, 0), 10), time.Minute)
}
