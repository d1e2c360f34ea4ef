package main

import (
	"context"
	"errors"
	"math"
)

// A store is a peer that runs.
type store interface {
	// connect returns a client with a connection of its own.
	connect(ctx context.Context) (client, error)
	// settle does what happens some time after a load.
	settle(ctx context.Context) error
	// kill ends all processes of the store, its database included, with kill -9.
	kill() error
	// restart starts them again.
	restart(ctx context.Context) error
	close() error
}

// A client does what an event-sourced application asks of a store. One goroutine uses it.
type client interface {
	// call asks the store for nothing: it is the way there and back.
	call(ctx context.Context) error
	// append stores events at the end of a stream if that is at a version, and returns the new one. anyVersion asks for none.
	// If the stream is at another version, the error is errConflict.
	append(ctx context.Context, to stream, at version, events [][]byte) (version, error)
	// read returns the first events of a stream, in order.
	read(ctx context.Context, of stream, limit int) ([][]byte, error)
	// head returns the version of a stream.
	head(ctx context.Context, of stream) (version, error)
	// category returns the first events of all streams of a category, in the order of the log.
	category(ctx context.Context, name string, limit int) ([][]byte, error)
	// follow calls handle with each event of a category from the first on, in the order of the log: those that are stored, then
	// each that comes. It ends when handle returns an error, which it returns, or with ctx.
	follow(ctx context.Context, category string, handle func(event []byte) error) error
	close()
}

// A stream is the events of one aggregate.
type stream struct{ category, id string }

// A version says where a stream ends, as its store counts it. 0 is a stream without events.
type version uint64

const anyVersion version = math.MaxUint64

var (
	errConflict = errors.New("the stream is at another version")
	errStop     = errors.New("enough")
	errLacks    = errors.New("the store does not have this operation")
)

// An ability is what not every store has.
type ability int

const (
	reads   ability = 1 << iota // a stream, or a category that is one of many in the log
	expects                     // versions of streams
)

var _, _, _, _, _, _ client = (*oursClient)(nil), (*sqlClient)(nil), (*tableClient)(nil), (*messageClient)(nil), (*jetClient)(nil), (*streamingClient)(nil)
