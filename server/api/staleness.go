package api

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

const (
	// stalenessHeader is that of a standby's answers. The leader sends none.
	stalenessHeader = "X-Staleness"
	// maxStalenessHeader is how stale an answer a request accepts: a duration such as 500ms; 0 asks for the leader.
	maxStalenessHeader = "X-Max-Staleness"
)

// lookWithin is how old a standby's knowledge may be when a request arrives. If it is older, the standby looks first.
const lookWithin = 100 * time.Millisecond

// Staleness says how old a standby's knowledge of the log is.
type Staleness struct {
	Position uint64        // of the last event that it knows; every earlier one is known, too
	Age      time.Duration // since it asked the database
}

// String returns the value of the header.
func (s Staleness) String() string {
	return fmt.Sprintf("position=%d; age=%dms", s.Position, s.Age.Milliseconds())
}

// Follower is the log of a standby: it is behind that of the server that leads, and takes no events.
type Follower interface {
	Log
	// Look returns nil once the log knows everything that was committed until a time before the call.
	Look(ctx context.Context, before time.Duration) error
	// Staleness is asked for at least once a second by whoever waits for new events.
	Staleness() Staleness
}

// patience is how stale an answer a caller accepts.
type patience struct {
	follower Follower // nil on the server that leads
	most     time.Duration
	bounded  bool // by most
}

// patienceOf returns that of a request, once the log can answer it.
func patienceOf(ctx context.Context, log Log) (patience, error) {
	var p patience
	call, ok := connect.CallInfoForHandlerContext(ctx)
	if ok {
		if text := call.RequestHeader().Get(maxStalenessHeader); text != "" {
			var err error
			if p.most, err = time.ParseDuration(text); err != nil || p.most < 0 {
				return p, invalid("%s is %q: send a duration such as 500ms, or 0 to ask the server that leads", maxStalenessHeader, text)
			}
			p.bounded = true
		}
	}
	p.follower, _ = log.(Follower)
	if p.follower == nil {
		return p, nil
	}
	if p.bounded && p.most == 0 {
		return p, fmt.Errorf("%w: it is a standby, and the answer must not be stale", ErrStandby)
	}
	before := lookWithin
	if p.bounded {
		before = min(before, p.most)
	}
	if err := p.follower.Look(ctx, before); err != nil {
		return p, err
	}
	if ok {
		call.ResponseHeader().Set(stalenessHeader, p.follower.Staleness().String())
	}
	return p, p.check()
}

// check returns an error once the log is too stale for the caller.
func (p patience) check() error {
	if p.follower == nil {
		return nil
	}
	if now := p.follower.Staleness(); p.bounded && now.Age > p.most {
		return fmt.Errorf("%w: it is a standby, and last saw the database %v ago, which is more than %v", ErrStandby, now.Age.Round(time.Millisecond), p.most)
	}
	return nil
}

// message is the staleness for a response, or nil on the server that leads.
func (p patience) message() *eventstorev1.Staleness {
	if p.follower == nil {
		return nil
	}
	now := p.follower.Staleness()
	return &eventstorev1.Staleness{Position: now.Position, Age: durationpb.New(now.Age)}
}
