package eventlog

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// pacing slows replays down while publishers notice them. Twenty replays take all that a machine has, and then a commit
// waits for its turn among their goroutines, or for a database that is busy with their reads, many times longer than it
// takes. So commits are watched: while they are slow, replays get less, and more again when they are not.
type pacing struct {
	limiter *rate.Limiter // of messages that all replays together send in a second
	sent    atomic.Int64  // messages that replays sent since the rate was taken
	last    atomic.Int64  // on the clock of monotonic: the last commit that was watched

	// What follows is the writer's.
	base  time.Duration // about the least time that a commit took lately; 0: none did
	since time.Duration // when the rate was taken
	rate  float64       // of messages that replays sent, in a second
}

const (
	// pacedStep is how many messages a replay sends at a time while there is a limit.
	pacedStep = 64
	// pacedMsgs is the most messages of a commit that is watched: the time of larger ones is that of their rows.
	pacedMsgs = 16
	// slowCommit is how many times its least time a commit takes that is slow.
	slowCommit = 3
	// slower and faster are the factors of the limit after a slow commit, and after another one: they balance where about a
	// third is slow.
	slower, faster = 0.8, 1.1
	// leastRate is what replays get in any case.
	leastRate = 12_800
	// rateWindow is the least time over which their rate is taken.
	rateWindow = 50 * time.Millisecond
	// publisherPause is the time without a commit after which replays have no limit.
	publisherPause = 200 * time.Millisecond
)

func newPacing() *pacing {
	return &pacing{limiter: rate.NewLimiter(rate.Inf, pacedStep), since: monotonic()}
}

// grant returns how many messages a replay may send, at most max, and after which time.
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

// wait returns when a replay may send some messages.
func (p *pacing) wait(ctx context.Context, messages int) error {
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

// idle says whether there was no commit lately that was watched.
func (p *pacing) idle() bool {
	return monotonic()-time.Duration(p.last.Load()) > publisherPause
}

// committed takes note of a commit of so many messages, at least one of which was stored. The writer calls it.
func (p *pacing) committed(messages int, took time.Duration) {
	if messages > pacedMsgs {
		return
	}
	now := monotonic()
	p.last.Store(int64(now))
	if p.base == 0 || took < p.base {
		p.base = took
	} else {
		p.base += p.base / 512 // such as that of a database that has moved
	}
	if d := now - p.since; d >= rateWindow {
		p.rate, p.since = float64(p.sent.Swap(0))/d.Seconds(), now
	}
	limit := float64(p.limiter.Limit())
	switch {
	case took > slowCommit*p.base && p.rate > 0:
		limit = max(leastRate, slower*min(limit, p.rate))
	case limit < 4*p.rate:
		limit *= faster
	default:
		limit = float64(rate.Inf) // it limits nothing: replays want less
	}
	p.limiter.SetLimit(rate.Limit(limit))
}
