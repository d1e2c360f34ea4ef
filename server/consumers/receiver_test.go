package consumers

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// received records what a member without an inbox gets, as "sequence*deliveries".
type received struct {
	mu    sync.Mutex
	got   []string
	left  int
	waits uint64 // a sequence that waits
}

func (r *received) Waits(seq uint64) bool { return seq == r.waits }

func (r *received) Receive(m stores.Message, deliveries uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, fmt.Sprint(m.Sequence, "*", deliveries))
}

func (r *received) Left() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left++
}

// wait waits until n messages were received and returns all.
func (r *received) wait(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		r.mu.Lock()
		got := slices.Clone(r.got)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
	}
	t.Fatalf("received %v, want %d messages", r.got, n)
	return nil
}

// A receiver and an inbox share a queue group. What the receiver leaves behind goes to the inbox.
func TestReceiverSharesGroup(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	f.publish("c", 10)
	to := &received{}
	r := f.request("a", "q", "d")
	r.Receiver, r.MaxInFlight = to, 4
	m := f.join(r)
	if got, want := to.wait(t, 4), []string{"1*1", "2*1", "3*1", "4*1"}; !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
	f.Ack(m, 2)
	to.wait(t, 5)
	f.join(f.request("b", "q", "d"))
	f.sink.wait(t, 5)
	if err := f.Leave(t.Context(), m, false); err != nil {
		t.Fatal(err)
	}
	if err := f.Leave(t.Context(), m, false); err != nil || to.left != 1 {
		t.Errorf("left %d times, error %v", to.left, err)
	}
	sent := f.sink.wait(t, 9)
	slices.Sort(sent)
	if want := []string{"b 10", "b 1r", "b 3r", "b 4r", "b 5r", "b 6", "b 7", "b 8", "b 9"}; !slices.Equal(sent, want) {
		t.Errorf("the inbox got %v, want %v", sent, want)
	}
}

// After a crash, the durable of a receiver is offline, and keeps its position and its messages. It does not belong to a client of the
// same ID that is registered. A queue group without a durable name is gone.
func TestReceiverAfterCrash(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.publish("c", 10)
	durable, plain := &received{}, &received{}
	r := f.request("a", "", "d")
	r.Receiver, r.MaxInFlight = durable, 4
	m := f.join(r)
	r = f.request("a", "q", "")
	r.Receiver = plain
	f.join(r)
	durable.wait(t, 4)
	plain.wait(t, 10)
	f.Ack(m, 1)
	durable.wait(t, 5)
	f.Ack(m, 2)
	durable.wait(t, 6)
	until(t, f.raw(), 6, "SELECT MAX(lastsent) FROM Consumers WHERE lastsent < 10")
	after := open(t, f, Options{}, func(id string) Client { return &fakeClient{id: id} })
	if len(after.active) > 0 {
		t.Errorf("%d members are active after the crash", len(after.active))
	}
	again := &received{}
	r = after.request("a", "", "d")
	r.Receiver = again
	m = after.join(r)
	if got, want := m.Start(), (Start{Resumed: true, LastSent: 6, Unacked: 4}); got != want {
		t.Errorf("resumed %+v, want %+v", got, want)
	}
	got := again.wait(t, 8)
	for i := range got {
		got[i] = got[i][:len(got[i])-2]
	}
	if want := []string{"3", "4", "5", "6", "7", "8", "9", "10"}; !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
	r = after.request("a", "q", "")
	r.Receiver = &received{}
	if m := after.join(r); m.Start().Resumed {
		t.Error("the queue group survived")
	}
}

// A message that its receiver has not sent on yet is not delivered again, and counts no delivery. Others are.
func TestReceiverWaits(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{}, nil)
	f.publish("c", 2)
	to := &received{waits: 1}
	r := f.request("a", "q", "d")
	r.Receiver, r.AckWaitInSecs = to, 1
	f.join(r)
	if got, want := to.wait(t, 4)[:4], []string{"1*1", "2*1", "2*2", "2*3"}; !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
}
