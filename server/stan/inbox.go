package stan

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// inbox takes published messages as NATS delivers them. A NATS server disconnects a subscriber that does not take what it is
// sent, and drops the messages. So all are taken, however long the database needs: those that the admission has room for go
// to the event log, and the others wait behind them in files. Publishers are bounded by the acknowledgements that they wait
// for.
type inbox struct {
	admission *eventlog.Admission
	publish   func(received) // called for one message at a time, in order of arrival
	log       *slog.Logger

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // something waits in files, or there is space for more, or the inbox stops
	files   spool
	// put and taken count the messages that went through the files. Calls wait for theirs to be taken.
	put, taken uint64
	calls      []behind
	draining   bool // a message that is next is on its way to publish, without the lock
	stopping   bool
	open       int // messages that were published and not answered yet
}

// received is a published message.
type received struct {
	msg *nats.Msg
	at  time.Time
}

// held is what a message counts in the admission, in bytes, with what is kept beside it.
func (r received) held() int { return len(r.msg.Subject) + len(r.msg.Reply) + len(r.msg.Data) + 512 }

// behind is a call that comes after a number of messages from the files.
type behind struct {
	put  uint64
	call func()
}

func newInbox(admission *eventlog.Admission, dir string, publish func(received), log *slog.Logger) *inbox {
	b := &inbox{admission: admission, publish: publish, log: log, files: spool{dir: dir}}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// add takes a message. It waits only if the files take no more, until ctx ends.
func (b *inbox) add(ctx context.Context, m *nats.Msg) {
	in := received{m, time.Now()}
	b.mu.Lock()
	if !b.behindFiles() && b.admission.TryAcquire(in.held()) {
		b.open++
		b.mu.Unlock()
		b.publish(in)
		return
	}
	defer b.mu.Unlock()
	for said := false; !b.stopping; said = true {
		err := b.files.put(in)
		if err == nil {
			b.put++
			b.changed.Broadcast()
			return
		}
		if !said {
			b.log.Error("No space left for published messages that the database did not take yet; they wait in NATS", "error", err)
		}
		if !b.behindFiles() {
			b.unlocked(func() { b.admit(ctx, in) })
			return
		}
		b.changed.Wait()
	}
}

// admit publishes a message when the admission has room for it, unless ctx ends before.
func (b *inbox) admit(ctx context.Context, in received) {
	if b.admission.Acquire(ctx, in.held()) != nil {
		return // the server stops
	}
	b.mu.Lock()
	b.open++
	b.mu.Unlock()
	b.publish(in)
}

// behindFiles reports whether a message that comes now is not the next one. The caller holds b.mu.
func (b *inbox) behindFiles() bool { return b.files.count > 0 || len(b.calls) > 0 || b.draining }

// after calls f once the messages that were added before were published.
func (b *inbox) after(f func()) {
	b.mu.Lock()
	if !b.behindFiles() {
		b.mu.Unlock()
		f()
		return
	}
	defer b.mu.Unlock()
	b.calls = append(b.calls, behind{b.put, f})
	b.changed.Broadcast()
}

// run publishes what waits in files, as the admission has room for it, until ctx ends. Then it discards what is left: to
// store it could take long, and none of it is acknowledged.
func (b *inbox) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.stopping = true
		b.discard()
		b.changed.Broadcast()
	})
	defer stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case len(b.calls) > 0 && b.calls[0].put <= b.taken:
			call := b.calls[0].call
			b.calls = b.calls[1:]
			b.unlocked(call)
		case b.files.count > 0:
			b.drain(ctx)
		case b.stopping:
			return
		default:
			b.changed.Wait()
		}
	}
}

// drain publishes the oldest message of the files. The caller holds b.mu.
func (b *inbox) drain(ctx context.Context) {
	in, err := b.files.take()
	if err != nil {
		b.log.Error("Published messages are lost, their publishers get no acknowledgement", "messages", b.files.count, "error", err)
		b.discard()
		return
	}
	b.changed.Broadcast() // for an add that waits for space
	b.unlocked(func() { b.admit(ctx, in) })
	b.taken++
}

// unlocked calls f without the lock; messages that come meanwhile wait behind it. The caller holds b.mu.
func (b *inbox) unlocked(f func()) {
	b.draining = true
	b.mu.Unlock()
	f()
	b.mu.Lock()
	b.draining = false
	b.changed.Broadcast()
}

// discard forgets what waits in files. The caller holds b.mu.
func (b *inbox) discard() {
	b.files.clear()
	b.taken = b.put
}

// release gives back what a message holds that does not go to the event log.
func (b *inbox) release(in received) {
	b.admission.Release(in.held())
	b.answered()
}

// answered notes that a message was answered.
func (b *inbox) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
}

// unanswered returns how many messages were added and not answered yet.
func (b *inbox) unanswered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open + b.files.count
}
