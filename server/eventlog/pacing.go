package eventlog

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// pacing slows replays down when they slow publishers down. Twenty replays take a whole machine; a commit then waits
// for their goroutines, or for a database busy with their reads. So pacing watches commits: slow ones lower the replay
// limit, fast ones raise it.
type pacing struct {
	limiter *rate.Limiter // messages per second of all replays together, by their weight
	sent    atomic.Int64  // messages sent by replays since rate was measured, by their weight
	last    atomic.Int64  // time of the last watched commit, on the clock of monotonic

	// Only the writer uses the fields below.
	base  time.Duration // shortest recent commit, approximately; 0 before the first
	since time.Duration // when rate was measured
	rate  float64       // messages sent by replays per second
	// stored counts messages stored since rate was measured; published is their rate.
	stored    int
	published float64
}

const (
	// pacedStep is how many messages a replay sends at a time under a limit.
	pacedStep = 64
	// pacedMsgs is the largest commit to watch, in messages. Larger commits spend their time on rows.
	pacedMsgs = 16
	// A commit is slow if it takes slowCommit times the base.
	slowCommit = 3
	// slower and faster multiply the limit after a slow and after another commit. They balance when about a third are
	// slow.
	slower, faster = 0.8, 1.1
	// leastRate is the lowest limit.
	leastRate = 12_800
	// relayWeight is how many messages of a replay take as much of the processor as one that a relay publishes.
	relayWeight = 4
	// catchUp times as many messages as are stored can be relayed, whatever the limit: a relay that is behind gets nearer.
	catchUp = 2
	// rateWindow is the shortest time over which rate is measured.
	rateWindow = 50 * time.Millisecond
	// publisherPause is the time without a watched commit after which replays are unlimited.
	publisherPause = 200 * time.Millisecond
)

func newPacing() *pacing {
	return &pacing{limiter: rate.NewLimiter(rate.Inf, pacedStep), since: monotonic()}
}

// grant returns how many messages, up to max, a replay may send, and how long it must wait first.
func (p *pacing) grant(max int) (messages int, wait time.Duration) {
	if p.idle() {
		p.limiter.SetLimit(rate.Inf)
	}
	messages = max
	if p.limiter.Limit() != rate.Inf {
		messages = min(max, pacedStep)
		wait = p.limiter.ReserveN(time.Now(), messages).Delay()
	}
	p.sent.Add(int64(messages))
	return messages, wait
}

// wait waits until a reader may send the messages, each of which counts as weight messages of a replay.
func (p *pacing) wait(ctx context.Context, messages, weight int) error {
	messages *= weight
	for messages > 0 {
		granted, wait := p.grant(messages)
		messages -= granted
		if wait == 0 {
			continue
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// limit returns how many messages per second replays may send now.
func (p *pacing) limit() float64 {
	if limit := p.limiter.Limit(); limit != rate.Inf && !p.idle() {
		return float64(limit)
	}
	return math.Inf(1)
}

// idle reports whether no commit was watched recently.
func (p *pacing) idle() bool {
	return monotonic()-time.Duration(p.last.Load()) > publisherPause
}

// committed records a commit that stored at least one message. Only the writer calls it.
func (p *pacing) committed(messages int, took time.Duration) {
	p.stored += messages
	if messages > pacedMsgs {
		return
	}
	now := monotonic()
	p.last.Store(int64(now))
	if p.base == 0 || took < p.base {
		p.base = took
	} else {
		p.base += p.base / 512 // adapts to a database that became slower
	}
	if d := now - p.since; d >= rateWindow {
		p.rate, p.published, p.since = float64(p.sent.Swap(0))/d.Seconds(), float64(p.stored)/d.Seconds(), now
		p.stored = 0
	}
	limit := float64(p.limiter.Limit())
	switch {
	case took > slowCommit*p.base && p.rate > 0:
		limit = max(leastRate, catchUp*relayWeight*p.published, slower*min(limit, p.rate))
	case limit < 4*p.rate:
		limit *= faster
	default:
		limit = float64(rate.Inf) // no limit needed: replays send far less
	}
	p.limiter.SetLimit(rate.Limit(limit))
}
