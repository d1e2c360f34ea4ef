package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// Consumers are the durables and queue groups of the server that leads: those of NATS Streaming, too. What it returns and takes is
// that of package consumers. Join and Leave wait for the database only for a bounded time.
type Consumers interface {
	// Line returns an event channel, which it creates if it is missing, or the events of a pattern.
	Line(ctx context.Context, name string) (consumers.Line, error)
	// Join adds a member that has a Receiver. It may take the place of another member of a plain durable, if the options say so.
	Join(ctx context.Context, r consumers.Request) (*consumers.Member, error)
	Leave(ctx context.Context, m *consumers.Member) error
	Ack(m *consumers.Member, seq uint64)
	Reject(m *consumers.Member, seq uint64, r consumers.Rejection)
	SetWindow(m *consumers.Member, n int32)
	Wake(c consumers.Client)
	// MaxInflight bounds the credit of a member.
	MaxInflight() int
}

// Errors of Consumers.
var (
	// ErrNoWildcards means that consumers may not name patterns.
	ErrNoWildcards = errors.New("consumers of patterns are off: start the server with -wildcards")
	// ErrUnreachable means that no event channel can match a pattern.
	ErrUnreachable = errors.New("no event channel can match the pattern, and plain channels have no common order: name each channel")
	// ErrRemoved means that somebody else ended the membership.
	ErrRemoved = errors.New("the member was removed from its group, by an administrator or by a client that took its durable over")
)

// permitConsumer returns an error unless the caller may consume a channel, or all channels that a pattern can match.
func (g guarded) permitConsumer(name string) error {
	if eventlog.ValidChannel(name) || !eventlog.ValidPattern(name) {
		return g.permit(name, access.Consume)
	}
	switch p := g.caller.principal(); {
	case p == nil:
		return errNoCaller
	case p.MayAll(access.Consume, name):
		return nil
	default:
		return fmt.Errorf("%w: principal %q has no right %q that covers the pattern %q; the server's access file grants rights", ErrDenied, p.Name, access.Consume, name)
	}
}

// line is Consumers.Line for a caller with the right.
func (g guarded) line(ctx context.Context, name string) (consumers.Line, error) {
	if err := g.permitConsumer(name); err != nil {
		return nil, err
	}
	return g.log.Consumers().Line(ctx, name)
}
