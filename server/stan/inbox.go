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
// sent, and drops the messages. So all are taken, however long the database needs: those that the admission has room for go to
// the event log, and the others wait in files. Publishers are bounded by the acknowledgements that they wait for.
//
// Messages wait in a line for each subject, which names the channel, and the lines take turns: a publisher that fills the memory
// delays its own channel, and others by a message or two.
type inbox struct {
	admission *eventlog.Admission
	publish   func(received) // called for one message of a subject at a time, in order of arrival
	log       *slog.Logger

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // something waits in files, or there is space for more, or the inbox stops
	files   spool
	lines   map[string]*filed // by subject; those with a message in files, or on its way from there
	turns   []*filed          // those with a message in files; the first is next
	// epochs divide the messages that went through the files by the calls of after. The last one is that of messages that
	// come now.
	epochs   []*epoch
	stopping bool
	open     int // messages on their way to the event log, or there, and not answered yet
}

// received is a published message.
type received struct {
	msg *nats.Msg
	at  time.Time
}

// held is what a message counts in the admission, in bytes, with what is kept beside it.
func (r received) held() int { return len(r.msg.Subject) + len(r.msg.Reply) + len(r.msg.Data) + 512 }

// filed is what waits in files of one subject.
type filed struct {
	subject string
	waiting []waiting
	busy    bool // one is on its way from the files to the event log
}

// waiting is a message in files.
type waiting struct {
	at    place
	epoch *epoch
}

// epoch is the messages that came before a call, and after the call before.
type epoch struct {
	open int    // messages that were not published
	call func() // made when those of this epoch, and of earlier ones, were published
}

func newInbox(admission *eventlog.Admission, dir string, publish func(received), log *slog.Logger) *inbox {
	b := &inbox{admission: admission, publish: publish, log: log, files: spool{dir: dir}}
	b.lines = make(map[string]*filed)
	b.epochs = []*epoch{{}}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// add takes a message. It waits only if the files take no more, until ctx ends. Messages of one subject are added by one
// goroutine.
func (b *inbox) add(ctx context.Context, m *nats.Msg) {
	in := received{m, time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lines[m.Subject] == nil && b.admission.TryAcquire(in.held()) {
		b.open++
		b.unlocked(func() { b.publish(in) })
		return
	}
	for said := false; !b.stopping; said = true {
		err := b.file(in)
		if err == nil {
			b.changed.Broadcast()
			return
		}
		if !said {
			b.log.Error("No space left for published messages that the database did not take yet; they wait in NATS", "error", err)
		}
		if b.lines[m.Subject] == nil {
			b.open++
			b.unlocked(func() { b.admit(ctx, in) })
			return
		}
		b.changed.Wait()
	}
}

// file has a message wait in files. The caller holds b.mu.
func (b *inbox) file(in received) error {
	at, err := b.files.put(in)
	if err != nil {
		return err
	}
	line := b.lines[in.msg.Subject]
	if line == nil {
		line = &filed{subject: in.msg.Subject}
		b.lines[line.subject] = line
	}
	if len(line.waiting) == 0 && !line.busy {
		b.turns = append(b.turns, line)
	}
	last := b.epochs[len(b.epochs)-1]
	last.open++
	line.waiting = append(line.waiting, waiting{at, last})
	return nil
}

// admit publishes a message, which counts as open, when the admission has room for it. If ctx ends before, it is dropped.
func (b *inbox) admit(ctx context.Context, in received) {
	if b.admission.Acquire(ctx, in.held()) != nil {
		b.answered() // the server stops: nobody answers it
		return
	}
	b.publish(in)
}

// after calls f once the messages that were added before were published.
func (b *inbox) after(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.epochs[len(b.epochs)-1]
	if len(b.epochs) == 1 && last.open == 0 {
		b.unlocked(f)
		return
	}
	last.call = f
	b.epochs = append(b.epochs, &epoch{})
}

// run publishes what waits in files, as the admission has room for it, until ctx ends. Then it discards what is left: to store
// it could take long, and none of it is acknowledged.
func (b *inbox) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.stopping = true
		b.changed.Broadcast()
	})
	defer stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		for !b.stopping && len(b.turns) == 0 {
			b.changed.Wait()
		}
		if b.stopping {
			b.discard()
			return
		}
		b.drain(ctx)
	}
}

// drain publishes the oldest message of the line whose turn it is. The caller holds b.mu.
func (b *inbox) drain(ctx context.Context) {
	line := b.turns[0]
	next := line.waiting[0]
	in, err := b.files.take(next.at)
	if err != nil {
		b.log.Error("Published messages are lost, their publishers get no acknowledgement", "messages", b.files.count, "error", err)
		b.discard()
		return
	}
	line.waiting = line.waiting[1:]
	b.turns = b.turns[1:]
	b.open++
	b.changed.Broadcast() // for an add that waits for space
	line.busy = true
	b.unlocked(func() { b.admit(ctx, in) })
	line.busy = false
	if len(line.waiting) > 0 {
		b.turns = append(b.turns, line)
	} else {
		delete(b.lines, line.subject)
	}
	next.epoch.open--
	b.passed()
	b.changed.Broadcast()
}

// passed makes the calls whose messages were published. The caller holds b.mu.
func (b *inbox) passed() {
	for len(b.epochs) > 1 && b.epochs[0].open == 0 {
		call := b.epochs[0].call
		b.epochs = b.epochs[1:]
		b.unlocked(call)
	}
}

// discard forgets what waits in files. The caller holds b.mu.
func (b *inbox) discard() {
	b.files.clear()
	clear(b.lines)
	b.turns = nil
	for _, e := range b.epochs {
		e.open = 0
	}
	b.passed()
	b.changed.Broadcast()
}

// unlocked calls f without the lock. The caller holds b.mu.
func (b *inbox) unlocked(f func()) {
	b.mu.Unlock()
	defer b.mu.Lock()
	f()
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
