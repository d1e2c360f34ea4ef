package consumers

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// paceChunk is how many messages a group sends again at a time, while groups share a rate.
const paceChunk = 64

// pace bounds how fast a group sends messages again that were sent again before. All groups share the rate, and take turns: each
// reserves room for a chunk. A message that is sent again for the first time is not bounded.
type pace struct {
	limiter  *rate.Limiter // of all groups; nil: unlimited
	reserved int           // messages of a chunk that are left
	at       time.Duration // when they may be sent
}

// newLimiter returns the limiter of all groups for a rate in messages per second, or nil.
func newLimiter(perSecond int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(paceChunk, perSecond/10))
}

// allowed returns how many messages the group may send again now.
func (p *pace) allowed() int {
	switch {
	case p.limiter == nil:
		return math.MaxInt
	case p.at <= now():
		return p.reserved
	}
	return 0
}

// used says how many of the allowed messages were sent, and whether others had to be left. It reports whether they wait for the rate.
func (p *pace) used(sent int, more bool) (slowed bool) {
	if p.limiter == nil {
		return false
	}
	p.reserved -= sent
	if !more || p.reserved > 0 {
		return false
	}
	at := time.Now()
	delay := p.limiter.ReserveN(at, paceChunk).DelayFrom(at)
	p.reserved, p.at = paceChunk, now()+delay
	return delay > 0
}

// until returns the time until the reserved chunk may be sent.
func (p *pace) until() time.Duration {
	if p.reserved == 0 {
		return 0
	}
	return max(p.at-now(), 0)
}
