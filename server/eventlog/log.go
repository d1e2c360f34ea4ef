package eventlog

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// stopGrace is how long admitted submissions may take after a stop.
const stopGrace = time.Second

// Log is the event log of a server that holds the database lease.
type Log struct {
	o       Options
	store   *stores.Store
	metrics Metrics
	log     *slog.Logger

	admission *Admission
	channels  *registry
	creator   *creator
	keeper    *keeper
	queue     *queue
	writer    *writer
	retention *retention
	tails     *tails
	order     order
	reading   *reading
	pace      *pacing
	damage    Damage
	// outage says that the database did not take the last batch: from then on, until it takes one, submissions fail at their
	// deadlines. A healthy database that is merely behind refuses nothing.
	outage atomic.Bool
	// erased counts erasures: what was read before the last one must not be delivered.
	erased atomic.Uint64

	mu    sync.Mutex     // guards ended
	ended bool           // Run no longer accepts calls
	calls sync.WaitGroup // of After
}

// New returns a log on a store. Call Recover and SetUsers, then Run.
func New(store *stores.Store, o Options, m Metrics, log *slog.Logger) *Log {
	l := &Log{
		o:         o,
		store:     store,
		metrics:   m,
		log:       log,
		admission: NewAdmission(int(o.PublishMemory)),
		channels:  newRegistry(o.Limits.MaxChannels),
		queue:     newQueue(),
		tails:     newTails(o.TailBytes),
		reading:   newReading(o.Connections, o.ReadAheadBytes),
		pace:      newPacing(),
	}
	l.order.tails = l.tails
	l.writer = &writer{
		log:      l,
		store:    store,
		queue:    l.queue,
		maxMsgs:  o.MaxBatchMsgs,
		maxBytes: o.MaxBatchBytes,
		fit:      min(leastFit, o.MaxBatchMsgs),
		pace:     l.pace,
		timeout:  o.StoreTimeout,
		calls:    make(chan *call),
	}
	l.retention = newRetention(l)
	l.keeper = newKeeper(o.Keys)
	l.creator = &creator{
		store:    store,
		channels: l.channels,
		timeout:  o.StoreTimeout,
		added:    l.add,
		failed:   l.failed,
		log:      log,
		wake:     make(chan struct{}, 1),
		wanted:   make(map[string]*request),
	}
	return l
}

// Recover registers the channels of a state. Channels with damaged rows are out of service.
func (l *Log) Recover(state *stores.State) {
	for _, d := range state.Damaged {
		l.log.Error("Recovery: "+d.Error(), "table", d.Table, "key", d.Key)
		l.damage.Note(d)
		if d.Channel != "" {
			l.channels.markDamaged(d.Channel, d)
		}
	}
	for _, c := range state.Channels {
		if l.OutOfService(c.Channel.Name()) == nil { // otherwise its name is ambiguous
			l.add(c.Channel)
		}
	}
}

// SetUsers sets who can prevent the deletion of a channel.
func (l *Log) SetUsers(u Users) { l.retention.users = u }

// add registers a stored channel.
func (l *Log) add(stored *stores.Channel) *Channel {
	ch := &Channel{name: stored.Name(), log: l, stored: stored, block: l.o.Events.Of(stored.Name())}
	ch.limits = l.o.Limits.of(ch.name, ch.block != nil)
	if ch.block != nil {
		ch.versions = ch.block.VersionsOf(l.o.Versions, ch.name)
		for i := range l.o.Copies {
			if r := &l.o.Copies[i]; r.hasFrom(ch.name) {
				ch.copies = append(ch.copies, r)
			}
		}
	}
	ch.Touch()
	if l.o.Added != nil {
		l.o.Added(ch)
	}
	ch.enforce() // its limits may be new
	l.channels.add(ch)
	return ch
}

// Run stores submissions until ctx ends. It then refuses new ones and gives the others about a second; after that, they
// fail.
func (l *Log) Run(ctx context.Context) {
	hard, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	var writing, decoding, others sync.WaitGroup
	writing.Go(func() { l.writer.run(hard) })
	for range max(2, runtime.GOMAXPROCS(0)) {
		decoding.Go(l.decoder)
	}
	others.Go(func() { l.creator.run(hard) })
	others.Go(func() { l.keeper.run(hard) })
	others.Go(func() { l.expire(hard) })
	var removing sync.WaitGroup
	removing.Go(func() { l.retention.run(ctx) })

	<-ctx.Done()
	l.queue.close()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-l.queue.drained:
	case <-grace.C:
	}
	abandon()
	<-l.queue.drained
	removing.Wait() // retention needs the writer
	l.queue.end()
	writing.Wait()
	decoding.Wait()
	others.Wait()
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.calls.Wait()
}

// After calls f on its own goroutine once everything submitted before is answered.
func (l *Log) After(f func()) {
	if !l.queue.after(f) {
		l.call(f)
	}
}

// call calls f on a goroutine that Run waits for, unless Run has ended.
func (l *Log) call(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		go f()
		return
	}
	l.calls.Go(f)
}

// Admission returns the admission that all doors share.
func (l *Log) Admission() *Admission { return l.admission }

// Channel returns a channel, or nil if it does not exist.
func (l *Log) Channel(name string) *Channel { return l.channels.get(name) }

// Channels returns the channels, sorted by name.
func (l *Log) Channels() []*Channel { return l.channels.all() }

// Open returns a channel and creates a missing one on behalf of from. ctx bounds only the caller's wait. The error is a
// Refusal, or says why the channel is out of service or could not be created.
func (l *Log) Open(ctx context.Context, from, name string) (*Channel, error) {
	ch, err := l.channels.find(name)
	if ch != nil || err != nil {
		return ch, err
	}
	type outcome struct {
		ch  *Channel
		err error
	}
	done := make(chan outcome, 1)
	l.creator.want(from, name, time.Now().Add(l.o.StoreTimeout), func(ch *Channel, err error) { done <- outcome{ch, err} })
	select {
	case o := <-done:
		return o.ch, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("open channel %q: %w (%w)", name, stores.ErrUnavailable, context.Cause(ctx))
	}
}

// OutOfService returns why a channel is out of service, or nil.
func (l *Log) OutOfService(name string) error { return l.channels.outOfService(name) }

// Damage returns the damaged rows found so far.
func (l *Log) Damage() *Damage { return &l.damage }

// ReplayLimit returns how many messages per second all replays together may read now; +Inf means no limit.
func (l *Log) ReplayLimit() float64 { return l.pace.limit() }

// Queued returns the number of unanswered submissions.
func (l *Log) Queued() int { return l.queue.unanswered() }

func (l *Log) failed(err error) {
	if l.o.Failed != nil {
		l.o.Failed(err)
	}
}
