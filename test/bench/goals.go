package main

import (
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// A goal is a bound of a figure that the report is judged by.
type goal struct {
	text    string
	atLeast bool // else at most
	bound   float64
	unit    string
	value   func(*report) (float64, bool)
}

// Figures of the usual size, of our server unless a peer is named.
func rateOf(section, name, database, peer string) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		return r.median(cell{section, name, database, eventBytes, perSecond}, peer)
	}
}

func scaleOf(count int, what, unit, database string) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		return r.median(cell{"scale", scaleName(count) + ", " + what, database, scaleBytes, unit}, ours)
	}
}

func fairOf(what, database string) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		return r.median(cell{"fairness", fairName + ", " + what + " p50", database, eventBytes, milliseconds}, ours)
	}
}

func groupOf(what, order, database string) func(*report) (float64, bool) {
	return rateOf("consumers", groupName+", "+what+", "+order, database, ours)
}

func projectedOf(what, database string) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		return r.median(cell{"projection", projectionName + ", " + what, database, projectionBytes, perSecond}, ours)
	}
}

// latencyOf is a median latency of our server.
func latencyOf(section, name, database string) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		return r.median(cell{section, name + " p50", database, eventBytes, milliseconds}, ours)
	}
}

// divided is a ratio of two figures, which are there or not.
func divided(a, b func(*report) (float64, bool)) func(*report) (float64, bool) {
	return func(r *report) (float64, bool) {
		x, okX := a(r)
		y, okY := b(r)
		if !okX || !okY || y == 0 {
			return 0, false
		}
		return x / y, true
	}
}

// former is what a lone publisher is compared with on a database: NATS Streaming in the mode that acknowledges what is durable.
var former = map[string]string{"sqlite": referenceFile, "postgres": reference, "mysql": reference}

// goals are those that the project has set itself.
func goals() []goal {
	async := func(database, peer string) func(*report) (float64, bool) {
		return rateOf("publish", asyncOne, database, peer)
	}
	replayed := func(database, peer string) func(*report) (float64, bool) {
		return rateOf("replay", replayOne, database, peer)
	}
	list := []goal{
		{"PostgreSQL, asynchronous publish ÷ reference without caching", true, 10, "×", divided(async("postgres", ours), async("postgres", reference))},
		{"PostgreSQL, asynchronous publish ÷ reference with cache and bulk insert", true, 1, "×", divided(async("postgres", ours), async("postgres", referenceBulk))},
		{"PostgreSQL, asynchronous publish ÷ raw insert of the same rows", true, 0.8, "×", divided(async("postgres", ours), async("postgres", raw))},
		{"PostgreSQL, replay ÷ reference without caching", true, 100, "×", divided(replayed("postgres", ours), replayed("postgres", reference))},
		{"PostgreSQL, replay ÷ raw keyset SELECT", true, 0.8, "×", divided(replayed("postgres", ours), replayed("postgres", raw))},
		{"SQLite, asynchronous publish ÷ raw batched INSERT", true, 0.8, "×", divided(async("sqlite", ours), async("sqlite", raw))},
		{"SQLite, replay", true, 150_000, "/s", replayed("sqlite", ours)},
	}
	for _, database := range allDatabases {
		one := func(peer string) func(*report) (float64, bool) { return rateOf("sync", sync1, database, peer) }
		followed := func(what string) func(*report) (float64, bool) {
			return latencyOf("following", followingName+", "+followingOne+what, database)
		}
		kept := func(what string) func(*report) (float64, bool) {
			return rateOf("retention", retentionName+", "+retentionAsync+", "+what, database, ours)
		}
		list = append(list,
			goal{database + ", latency of one synchronous publisher ÷ one-row commit", false, 1.5, "×", divided(one(raw), one(ours))},
			goal{database + ", 64 synchronous publishers ÷ one, where a sync takes 4 ms longer", true, 20, "×", divided(rateOf("delayed", sync64, database, ours), rateOf("delayed", sync1, database, ours))},
			goal{database + ", one synchronous publisher ÷ " + former[database], true, 1, "×", divided(one(ours), one(former[database]))},
			goal{database + ", one synchronous publisher without a disk ÷ " + former[database], true, 0.8, "×", divided(rateOf("diskless", sync1, database, ours), rateOf("diskless", sync1, database, former[database]))},
			goal{database + ", latency of a synchronous publisher beside 20 replays ÷ alone", false, 2, "×", divided(fairOf(fairReplays, database), fairOf(fairIdle, database))},
			goal{database + ", latency of a synchronous publisher beside 20 API subscriptions that catch up ÷ alone", false, 2, "×", divided(followed(followingCatchUp), followed(followingIdle))},
			goal{database + ", latency of a synchronous publisher beside a relay that catches up ÷ alone", false, 2, "×", divided(followed(followingRelay), followed(followingIdle))},
			goal{database + ", cost of a message at max_msgs ÷ in an unlimited channel", false, 1.2, "×", divided(kept(retentionUnlimited), kept(retentionAt))},
			goal{database + ", ReadAggregate of 10 events, p50", false, 5, "ms", latencyOf("aggregates", aggregatesName+", "+aggregateOf(10), database)},
			goal{database + ", ReadAggregate of 1,000 events, p50", false, 50, "ms", latencyOf("aggregates", aggregatesName+", "+aggregateOf(1000), database)},
			goal{database + ", ordered queue group ÷ unordered, backlog", true, 0.8, "×", divided(groupOf(groupBacklog, orderedGroup, database), groupOf(groupBacklog, unordered, database))},
			goal{database + ", ordered queue group ÷ unordered, live", true, 0.8, "×", divided(groupOf(groupLive, orderedGroup, database), groupOf(groupLive, unordered, database))},
			goal{database + ", SQL projection, one row for each event", true, 20_000, "/s", projectedOf(projectionInsert, database)},
			goal{database + ", start on 10 million events", false, 1000, "ms", scaleOf(10_000_000, scaleReady, milliseconds, database)},
			goal{database + ", start on 10 million events ÷ on 1,000", false, 1, "×", divided(scaleOf(10_000_000, scaleReady, milliseconds, database), scaleOf(1000, scaleReady, milliseconds, database))},
			goal{database + ", append p99 at 10 million events ÷ at 100,000", false, 1.25, "×", divided(scaleOf(10_000_000, scaleAppend+" p99", milliseconds, database), scaleOf(100_000, scaleAppend+" p99", milliseconds, database))},
			goal{database + ", read of an aggregate, p99 at 10 million events ÷ at 100,000", false, 1.25, "×", divided(scaleOf(10_000_000, scaleRead+" p99", milliseconds, database), scaleOf(100_000, scaleRead+" p99", milliseconds, database))},
			goal{database + ", memory with 10 million events in 1,000 channels", false, 512, "MiB", scaleOf(10_000_000, scaleBusy, mebibytes, database)},
		)
	}
	return list
}

// goals writes each goal whose figures were measured beside them.
func (r *report) goals(b *strings.Builder) {
	var rows strings.Builder
	for _, g := range goals() {
		v, ok := g.value(r)
		if !ok {
			continue
		}
		sign, verdict := "≤", "**no**"
		if g.atLeast {
			sign = "≥"
		}
		if g.atLeast && v >= g.bound || !g.atLeast && v <= g.bound {
			verdict = "yes"
		}
		fmt.Fprintf(&rows, "| %s | %s %s %s | %s %s | %s |\n", g.text, sign, measure.Number(g.bound), g.unit, measure.Number(v), g.unit, verdict)
	}
	if rows.Len() > 0 {
		fmt.Fprintf(b, "\n## Goals\n\n| | goal | measured | reached |\n|---|--:|--:|---|\n%s", rows.String())
	}
}
