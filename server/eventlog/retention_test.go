package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
)

func limited(l ChannelLimits) Options { return Options{Limits: Limits{ChannelLimits: l}} }

// A publish to a full channel costs only the transaction of its own message. Readers lose the removed messages at once,
// the database loses them later in steps.
func TestFullChannel(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]ChannelLimits{"messages": {MaxMsgs: 10}, "bytes": {MaxBytes: 300}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var faults storetest.Faults
			f := setup{bare: true, store: stores.Options{WrapConnector: faults.Wrap}, options: limited(limits)}.open(t)
			f.publish(t, "c", 1)
			ch := f.Channel("c")
			faults.Begins(make([]error, 1000)...)
			for i := range 300 {
				f.publish(t, "c", 1)
				last := uint64(i + 2)
				info, stored := ch.Info(), ch.stored.Info()
				if info.Last != last || info.Msgs != last-info.First+1 || info.Msgs < min(last, 8) ||
					limits.MaxMsgs > 0 && info.Msgs > 10 || limits.MaxBytes > 0 && info.Bytes > 300 {
					t.Fatalf("after %d messages: %+v", last, info)
				}
				if stored.Msgs != last {
					t.Fatalf("%d of %d messages are stored before retention runs", stored.Msgs, last)
				}
			}
			if used := 1000 - faults.Left(); used != 300 {
				t.Errorf("%d transactions for 300 messages", used)
			}
			info := ch.Info()
			c := ch.Cursor(1)
			defer c.Close()
			if got := sequences(t, c, 301); !slices.Equal(got, upTo(info.First, 301)) {
				t.Errorf("a reader from the start sees %v, want those of %+v", got, info)
			}
			f.tails.forget(&ch.tail, 301)
			second := ch.Cursor(1)
			defer second.Close()
			if got := sequences(t, second, 301); !slices.Equal(got, upTo(info.First, 301)) {
				t.Errorf("a reader from the database sees %v", got)
			}
			found, err := ch.Lookup(t.Context(), []uint64{1, info.First - 1, info.First, 301})
			if err != nil || len(found) != 2 {
				t.Errorf("looked up %d messages: %v", len(found), err)
			}
			if seq, err := ch.SequenceAt(t.Context(), 0); err != nil || seq != info.First {
				t.Errorf("the first sequence since 1970 is %d: %v", seq, err)
			}
			f.retention.trim(t.Context())
			if got := ch.stored.Info(); got != info {
				t.Errorf("the database has %+v, want %+v", got, info)
			}
			if used := 700 - faults.Left(); used > 5 {
				t.Errorf("%d transactions to remove 291 messages", used)
			}
			if got := ch.Info(); got != info {
				t.Errorf("readers see %+v, want %+v", got, info)
			}
		})
	}
}

// New limits hold from the start, even where sequences are missing or sizes are not in memory.
func TestLimitsOfRecoveredChannels(t *testing.T) {
	t.Parallel()
	f := setup{}.open(t)
	f.publish(t, "whole", 1500)
	f.publish(t, "holes", 100)
	f.publish(t, "one", 1)
	average := int64(f.Channel("whole").Info().Bytes / 1500)
	f.exec(t, "DELETE FROM Messages WHERE seq BETWEEN 1 AND 20 AND id = (SELECT id FROM Channels WHERE name = 'holes')")
	f.exec(t, "DELETE FROM Messages WHERE seq % 2 = 0 AND id = (SELECT id FROM Channels WHERE name = 'holes')")
	f.exec(t, "UPDATE Channels SET msgs = 40, bytes = (SELECT SUM(size) FROM Messages m WHERE m.id = Channels.id) WHERE name = 'holes'")
	f.stop()
	f.store.Close()

	options := Options{Limits: Limits{PerChannel: map[string]ChannelLimits{
		"whole": {MaxBytes: 20 * average}, "holes": {MaxMsgs: 10}, "one": {MaxBytes: 1, MaxMsgs: 1},
	}}}
	f = setup{bare: true, path: f.path, options: options}.open(t)
	f.retention.trim(t.Context())
	whole, holes, one := f.Channel("whole"), f.Channel("holes"), f.Channel("one")
	if info := whole.Info(); info.Msgs < 18 || info.Msgs > 20 || info.Bytes > uint64(20*average) || info != whole.stored.Info() {
		t.Errorf("byte limit: %+v, stored %+v", info, whole.stored.Info())
	}
	if info := holes.Info(); info.Msgs != 10 || info.First != 81 || info != holes.stored.Info() {
		t.Errorf("message limit with missing sequences: %+v, stored %+v", info, holes.stored.Info())
	}
	if info := one.Info(); info.Msgs != 1 || info != one.stored.Info() {
		t.Errorf("the newest message: %+v", info)
	}
}

// A message limit holds before any rows are removed.
func TestLimitOfMessagesHoldsAtOnce(t *testing.T) {
	t.Parallel()
	f := setup{}.open(t)
	f.publish(t, "c", 100)
	f.stop()
	f.store.Close()
	f = setup{bare: true, path: f.path, options: limited(ChannelLimits{MaxMsgs: 10})}.open(t)
	ch := f.Channel("c")
	if info := ch.Info(); info.Msgs != 10 || info.First != 91 || ch.stored.Info().Msgs != 100 {
		t.Errorf("%+v", info)
	}
	c := ch.Cursor(1)
	defer c.Close()
	if got := sequences(t, c, 100); !slices.Equal(got, upTo(91, 100)) {
		t.Errorf("read %v", got)
	}
}

// Old messages are removed, all of them if no younger one follows.
func TestMessagesExpire(t *testing.T) {
	t.Parallel()
	f := setup{bare: true, options: limited(ChannelLimits{MaxAge: time.Hour})}.open(t)
	f.publish(t, "c", 10)
	ch := f.Channel("c")
	c := ch.Cursor(1)
	defer c.Close()
	f.retention.checkAges(t.Context())
	if info := ch.Info(); info.Msgs != 10 {
		t.Fatalf("young messages: %+v", info)
	}
	ch.limits.MaxAge = 1
	f.retention.checkAges(t.Context())
	if info := ch.Info(); info.Msgs != 0 || info.First != 0 || info.Last != 10 || info != ch.stored.Info() {
		t.Errorf("%+v, stored %+v", info, ch.stored.Info())
	}
	if got := quiet(t, c); len(got) > 0 || c.Position() != 11 {
		t.Errorf("read %v, position %d", got, c.Position())
	}
	ch.limits.MaxAge = time.Hour
	f.publish(t, "c", 2)
	if info := ch.Info(); info.Msgs != 2 || info.First != 11 {
		t.Errorf("%+v", info)
	}
	if got := sequences(t, c, 12); !slices.Equal(got, []uint64{11, 12}) {
		t.Errorf("read %v", got)
	}
}

// A failed removal changes nothing for readers and is repeated.
func TestFailedRemoval(t *testing.T) {
	t.Parallel()
	options := limited(ChannelLimits{MaxMsgs: 10})
	options.StoreTimeout = 50 * time.Millisecond
	var faults storetest.Faults
	f := setup{bare: true, store: stores.Options{WrapConnector: faults.Wrap}, options: options}.open(t)
	for f.Channel("c") == nil || f.Channel("c").Info().Last < 20 {
		<-f.submit("c", nil) // some fail on a slow machine
	}
	ch := f.Channel("c")
	want := ch.Info()
	faults.Begins(slices.Repeat([]error{errors.New("the database is away")}, 100)...)
	f.retention.trim(t.Context())
	if got := ch.Info(); got != want || f.counts.failed["retention"] == 0 {
		t.Errorf("readers see %+v, want %+v, and an error", got, want)
	}
	faults.Clear()
	for ch.stored.Info() != want {
		f.retention.trim(t.Context())
	}
	if got := ch.Info(); got != want {
		t.Errorf("readers see %+v, want %+v", got, want)
	}
}

// inUse is a Users for a channel with users.
type inUse struct{}

func (inUse) Retire(*Channel, func() error) (bool, error) { return false, nil }

// A channel without users is deleted, and created again at its next use.
func TestInactiveChannels(t *testing.T) {
	t.Parallel()
	f := setup{bare: true, options: limited(ChannelLimits{MaxInactivity: time.Hour})}.open(t)
	f.publish(t, "c", 3)
	ch := f.Channel("c")
	woken := make(chan struct{}, 10)
	ch.Watch(func() { woken <- struct{}{} })
	f.retention.checkAges(t.Context())
	ch.limits.MaxInactivity = 1
	f.SetUsers(inUse{})
	f.retention.checkAges(t.Context())
	if f.Channel("c") != ch {
		t.Fatal("a channel in use is gone")
	}
	f.SetUsers(nobody{})
	f.retention.checkAges(t.Context())
	if f.Channel("c") != nil || !ch.Deleted() || len(woken) == 0 {
		t.Error("an inactive channel stays, or its deletion is not signalled")
	}
	if r := <-f.submit("c", nil); r.Sequence != 1 {
		t.Errorf("%+v in a new channel", r)
	}
}

// A channel that is published to without a pause stays near its limit: a removal takes what was stored since the last one, and more,
// however short a removal for the sake of a lone publisher is.
func TestRemovalKeepsUp(t *testing.T) {
	t.Parallel()
	f := setup{bare: true, options: limited(ChannelLimits{MaxMsgs: 10})}.open(t)
	step := func(ch *Channel) {
		f.retention.step = leastStep // as after a slow removal
		var err error
		if called := f.writer.onWriter(t.Context(), func() { err = f.retention.pruneStep(t.Context(), ch) }); called != nil || err != nil {
			t.Fatal(called, err)
		}
	}
	const published = 8 * leastStep
	for round := range 3 {
		f.publish(t, "full", published)
		f.publish(t, "other", published) // a channel with a limit of its own
		for _, name := range []string{"full", "other"} {
			ch := f.Channel(name)
			if step(ch); ch.stored.Info().Msgs != 10 {
				t.Errorf("round %d: %d rows of %q are left after %d messages and one removal", round, ch.stored.Info().Msgs, name, published)
			}
		}
	}
	if left := f.writer.stored; left > 20 {
		t.Errorf("%d messages still count as not removed", left)
	}
	// Once nothing is published, removals are short again.
	f.publish(t, "full", published)
	f.writer.stored = 0
	if step(f.Channel("full")); f.Channel("full").stored.Info().Msgs != 10+published-leastStep {
		t.Errorf("a removal without publishers takes %d messages", 10+published-f.Channel("full").stored.Info().Msgs)
	}
}

// Between two batches, the writer runs a call that waits for it, such as a removal, however many batches are ready.
func TestCallsRunBetweenBatches(t *testing.T) {
	t.Parallel()
	var order []byte // b: a batch, c: a call; written on the writer's goroutine
	f := setup{bare: true, options: Options{MaxBatchMsgs: 1, Stored: func() { order = append(order, 'b') }}}.open(t)
	f.publish(t, "c", 1) // creates the channel
	const n = 100
	var waiting sync.WaitGroup
	var results []<-chan stores.Result
	var failed atomic.Int64
	if err := f.writer.onWriter(t.Context(), func() { // holds the writer until all wait
		for range n {
			results = append(results, f.submit("c", nil))
			waiting.Go(func() {
				if f.writer.onWriter(t.Context(), func() { order = append(order, 'c') }) != nil {
					failed.Add(1)
				}
			})
		}
		time.Sleep(50 * time.Millisecond) // a call that comes later only costs one of the batches below
		order = nil
	}); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	for _, r := range results {
		<-r
	}
	var got []byte
	if err := f.writer.onWriter(t.Context(), func() { got = slices.Clone(order) }); err != nil || failed.Load() > 0 {
		t.Fatal(err, failed.Load())
	}
	last := bytes.LastIndexByte(got, 'c')
	if rows := bytes.Count(got[:last], []byte("bb")); rows > n/10 {
		t.Errorf("%d times a batch follows another while calls wait: %s", rows, got)
	}
}

// Retention on its own goroutine brings the database below the limits, whatever is published meanwhile.
func TestRetentionRuns(t *testing.T) {
	t.Parallel()
	f := setup{options: limited(ChannelLimits{MaxMsgs: 5})}.open(t)
	var last []<-chan stores.Result
	for i := range 2000 {
		last = append(last, f.submit(fmt.Sprint(i%3), nil))
	}
	for _, r := range last {
		if r := <-r; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, ch := range f.Channels() {
		if got := ch.Info().Msgs; got != 5 {
			t.Errorf("channel %s has %d messages", ch.Name(), got)
		}
		for ch.stored.Info().Msgs != 5 {
			if err := f.writer.onWriter(t.Context(), func() {}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
