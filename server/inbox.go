package server

import (
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"
)

// inbox is the queue of published messages as NATS delivers them. A NATS server disconnects a subscriber that does not
// take what it is sent, and drops the messages. So all are taken, however long the database needs: up to a bound of bytes they
// are in memory, and behind those in files. Publishers are bounded by the acknowledgements that they wait for.
//
// A message counts as in memory from put until release, wherever it is by then.
type inbox struct {
	max int // bytes in memory, one message aside
	log *slog.Logger

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // what take or a put without space waits for
	held    int        // bytes in memory, of open messages
	open    int
	memory  []received
	files   spool // messages behind those of memory
	// put and taken count the messages that went through the files, and calls wait for theirs to be taken.
	put, taken uint64
	calls      []behind
	discarding bool
	closed     bool
}

// received is a message or a call.
type received struct {
	msg  *nats.Msg
	call func()
}

// behind is a call that comes after a number of messages from the files.
type behind struct {
	put  uint64
	call func()
}

func newInbox(max int, dir string, log *slog.Logger) *inbox {
	b := &inbox{max: max, log: log, files: spool{dir: dir}}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// heldSize is what a message counts, in bytes, with what is kept beside it.
func heldSize(m *nats.Msg) int { return len(m.Subject) + len(m.Reply) + len(m.Data) + 512 }

// add queues a message. It waits only if the files take no more.
func (b *inbox) add(m *nats.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for said := false; ; said = true {
		if size := heldSize(m); !b.behindFiles() && (b.held == 0 || b.held+size <= b.max) {
			b.held += size
			b.open++
			b.memory = append(b.memory, received{msg: m})
			b.changed.Broadcast()
			return
		}
		if b.discarding {
			return
		}
		err := b.files.put(m)
		if err == nil {
			b.put++
			b.changed.Broadcast()
			return
		}
		if !said {
			b.log.Error("Published messages wait in NATS: there is no space left for those that the database did not take yet", "error", err)
		}
		b.changed.Wait()
	}
}

// behindFiles says whether what comes now does not follow on what is in memory.
func (b *inbox) behindFiles() bool { return b.files.count > 0 || len(b.calls) > 0 }

// after calls f, on the goroutine of take's caller, after the messages that are queued now.
func (b *inbox) after(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.behindFiles() {
		b.calls = append(b.calls, behind{b.put, f})
	} else {
		b.memory = append(b.memory, received{call: f})
	}
	b.changed.Broadcast()
}

// take waits for messages and calls, and removes the oldest. There are none only after close.
func (b *inbox) take() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if len(b.memory) > 0 {
			items := b.memory
			b.memory = nil
			return items
		}
		if len(b.calls) > 0 && b.calls[0].put <= b.taken {
			call := b.calls[0].call
			b.calls = b.calls[1:]
			return []received{{call: call}}
		}
		if b.files.count > 0 && b.held < b.max {
			m, err := b.files.take()
			if err != nil {
				b.log.Error("Published messages are lost, their publishers get no acknowledgement", "messages", b.files.count, "error", err)
				b.discard()
				continue
			}
			b.taken++
			b.held += heldSize(m)
			b.open++
			b.changed.Broadcast() // for a put that waits for space
			return []received{{msg: m}}
		}
		if b.closed {
			return nil
		}
		b.changed.Wait()
	}
}

// release gives back the memory of messages that were answered.
func (b *inbox) release(messages, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open -= messages
	b.held -= bytes
	b.changed.Broadcast()
}

// stop discards the messages in files: to store them could take long, and none is acknowledged.
func (b *inbox) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.discarding = true
	b.discard()
	b.changed.Broadcast()
}

func (b *inbox) discard() {
	b.files.clear()
	b.taken = b.put
}

// close ends take when all was taken.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.changed.Broadcast()
}

// unanswered returns how many messages were added and not answered yet.
func (b *inbox) unanswered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open + b.files.count
}
