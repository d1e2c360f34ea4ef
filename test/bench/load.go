package main

import "time"

// A load is what one throughput measure does.
type load struct {
	name        string
	kind        kind
	publishers  int  // connections that publish at the same time
	window      int  // of all publishers: published and not yet acknowledged
	subscribers int  // at the same time
	durable     bool // subscribers
}

type kind int

const (
	publishAsync kind = iota
	publishSync
	publishLive // asynchronous, with subscribers that receive it
	replay
)

const (
	wideWindow   = 16384
	narrowWindow = 1024
	replayWindow = 1024 // most unacknowledged messages of a subscriber

	asyncOne  = "asynchronous publish, 1 publisher, 16,384 in flight"
	sync1     = "synchronous publish, 1 publisher"
	sync64    = "synchronous publish, 64 publishers"
	replayOne = "replay, durable subscriber"
)

var (
	publishLoads = []load{
		{name: asyncOne, kind: publishAsync, publishers: 1, window: wideWindow},
		{name: "asynchronous publish, 1 publisher, 1,024 in flight", kind: publishAsync, publishers: 1, window: narrowWindow},
		{name: "asynchronous publish, 8 publishers, 16,384 in flight", kind: publishAsync, publishers: 8, window: wideWindow},
	}
	syncLoads = []load{
		{name: sync1, kind: publishSync, publishers: 1},
		{name: sync64, kind: publishSync, publishers: 64},
	}
	liveLoads = []load{
		{name: "asynchronous publish, 10 live subscribers", kind: publishLive, publishers: 1, window: wideWindow, subscribers: 10},
	}
	replayLoads = []load{
		{name: replayOne, kind: replay, subscribers: 1, durable: true},
		{name: "replay, plain subscriber", kind: replay, subscribers: 1},
		{name: "replay, 20 plain subscribers at once, all together", kind: replay, subscribers: 20},
	}
	sizeLoads = []load{
		{name: asyncOne, kind: publishAsync, publishers: 1, window: wideWindow},
		{name: sync1, kind: publishSync, publishers: 1},
		{name: replayOne, kind: replay, subscribers: 1, durable: true},
	}
)

// leastMessages are the first that a load is tried with. Some peers need seconds for them.
const leastMessages = 250

// maxBytes bounds the events of one measure.
const maxBytes = 256 << 20

type loadSize struct {
	load string
	size int
}

// grow calls publish with more and more messages until they take about the time limit, and remembers how many they
// were. It returns messages per second.
func grow(o options, counts map[loadSize]int, at loadSize, publish func(n int) (time.Duration, error)) (float64, error) {
	most := min(o.n, maxBytes/at.size)
	for n := max(counts[at], min(leastMessages, most)); ; n = min(4*n, most) {
		took, err := publish(n)
		if err != nil {
			return 0, err
		}
		if counts[at] != 0 || took >= o.limit/2 || n == most {
			counts[at] = n
			return float64(n) / took.Seconds(), nil
		}
	}
}
