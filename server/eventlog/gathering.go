package eventlog

import "time"

// gathering says how long the writer waits for those that it has just answered. Where a commit takes milliseconds, synchronous publishers
// would otherwise fall into two halves: one publishes while the commit of the other runs, and each message waits for two commits.
type gathering struct {
	expected int // submissions that the last commit stored, or that came while it ran
	seen     int // submissions that waited at the last look
	pause    time.Duration
	until    time.Time
}

const (
	// slowDevice is the shortest commit after which the writer waits. A faster one costs less than the wait.
	slowDevice = 2 * time.Millisecond
	// mostGathered is the number of submissions from which on batches are large enough.
	mostGathered = leastFit
	// The writer waits for a pause, a share of the last commit, as long as submissions come, and for two pauses at most.
	pauseShare, mostPauses = 8, 2
	longestPause           = 2 * time.Millisecond
)

// committed notes a commit, and how many submissions were open when it ended, its own included.
func (g *gathering) committed(open int, now time.Time, took time.Duration) {
	*g = gathering{}
	if took >= slowDevice && open > 1 && open <= mostGathered {
		pause := min(took/pauseShare, longestPause)
		*g = gathering{expected: open, seen: -1, pause: pause, until: now.Add(mostPauses * pause)}
	}
}

// next returns how long to wait before the next look, given the submissions that wait. The batch begins if that is 0.
func (g *gathering) next(waiting int, now time.Time) time.Duration {
	if waiting >= g.expected || waiting <= g.seen || !now.Before(g.until) {
		*g = gathering{}
		return 0
	}
	g.seen = waiting
	return g.pause
}
