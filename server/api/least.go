package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// minPositionHeader is the position of an event that an answer must know, such as one that the caller has appended.
const minPositionHeader = "X-Min-Position"

// positionWait bounds the wait for a position. The server that leads knows each one that was acknowledged, and a standby
// after one look at the database, unless that is a replica.
const positionWait = 5 * time.Second

// ErrBehind means that the log does not reach the position that a request names.
var ErrBehind = errors.New("the log does not reach the position")

// awaitPosition returns once the log knows the position that a request names, if it does.
func awaitPosition(ctx context.Context, log Log) error {
	call, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return nil
	}
	text := call.RequestHeader().Get(minPositionHeader)
	if text == "" {
		return nil
	}
	least, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return invalid("%s is %q: send the position of an event, a number", minPositionHeader, text)
	}
	if log.Position() >= least {
		return nil
	}
	if follower, ok := log.(Follower); ok {
		if err := follower.Look(ctx, 0); err != nil {
			return err
		}
	}
	cursor, err := log.EventCursor(stores.Query{}, least)
	if err != nil {
		return err
	}
	defer cursor.Close()
	timeout := time.NewTimer(positionWait)
	defer timeout.Stop()
	for log.Position() < least {
		select {
		case <-cursor.Ready():
		case <-ctx.Done():
			return ctx.Err()
		case <-log.Done():
			return ErrStandby
		case <-timeout.C:
			return fmt.Errorf("%w %d: as far as this server knows, it ends at %d; try again, there or at another server, and check that it is a position of this log",
				ErrBehind, least, log.Position())
		}
	}
	return nil
}
