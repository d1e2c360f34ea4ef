package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

const (
	retentionLimit     = 10_000 // max_msgs
	retentionName      = "channel with max_msgs 10,000"
	retentionAsync     = "asynchronous publish"
	retentionSync      = "synchronous publisher"
	retentionAt        = "at the limit"
	retentionUnlimited = "unlimited channel"
	retentionRounds    = 5
	retentionSoon      = 256 // so many and more messages are removed at once
)

// retentionTrials measure what it costs to publish to a channel that loses its oldest message for each new one. A removal counts for as long as it takes.
func retentionTrials(s *setup, _ context.Context) ([]trial, error) {
	var all []trial
	for _, id := range s.chosen() {
		if id.name == ours {
			all = append(all, trial{retentionName, id, eventBytes, func(ctx context.Context) ([]figure, error) { return s.retention(ctx, id.database) }})
		}
	}
	return all, nil
}

// retention publishes in turns to a channel at its limit and to one without.
func (s *setup) retention(ctx context.Context, database string) (figures []figure, err error) {
	f, err := s.fresh(database, "retention")
	if err != nil {
		return nil, err
	}
	config := "streaming { limits { channels { limited: { max_msgs: " + strconv.Itoa(retentionLimit) + " } } } }\n"
	err = f.run(ctx, config, func() error {
		figures, err = s.publishLimited(ctx, f)
		return err
	})
	return figures, err
}

// retentionChannels by what is said of them. They are not event channels, which have no limits.
var retentionChannels = []struct{ what, channel string }{{retentionUnlimited, "unlimited"}, {retentionAt, "limited"}}

func (s *setup) publishLimited(ctx context.Context, f *freshServer) ([]figure, error) {
	conn, err := f.connect(wideWindow)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // what was measured is over
	db, err := open(f.kind, f.source)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	left := 0.0 // most rows beyond the limit after a publish
	// publish returns when the rows that the limit removes are gone.
	publish := func(channel string, n int) error {
		if err := publishTo(ctx, conn, n, templateOf(eventBytes), func(int) string { return channel }); err != nil || channel != retentionChannels[1].channel {
			return err
		}
		for first := true; ; first = false {
			var rows int
			if err := db.QueryRowContext(ctx, "SELECT msgs FROM Channels WHERE name = 'limited'").Scan(&rows); err != nil {
				return err
			}
			if first {
				left = max(left, float64(rows-retentionLimit))
			}
			if rows < retentionLimit+retentionSoon {
				return nil
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	for _, c := range retentionChannels {
		if err := publish(c.channel, 2*retentionLimit); err != nil {
			return nil, err
		}
	}
	left = 0
	n := max(1, min(s.n, 20*retentionLimit))
	rates, cpu := make([][]float64, len(retentionChannels)), make([]time.Duration, len(retentionChannels))
	latency := make([][]time.Duration, len(retentionChannels))
	for range retentionRounds {
		for i, c := range retentionChannels {
			busy, start := measure.ProcessorTime(f.PID()), time.Now()
			if err := publish(c.channel, n); err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], float64(n)/time.Since(start).Seconds())
			cpu[i] += measure.ProcessorTime(f.PID()) - busy
			took, err := latencies(ctx, conn, []string{c.channel}, eventBytes, s.limit)
			if err != nil {
				return nil, err
			}
			latency[i] = append(latency[i], took...)
		}
	}
	var figures []figure
	for i, c := range retentionChannels {
		slices.Sort(latency[i])
		figures = append(figures,
			figure{retentionAsync + ", " + c.what, measure.Median(rates[i]), perSecond},
			figure{"processor of the server, " + c.what, float64(cpu[i].Microseconds()) / float64(retentionRounds*n), microseconds})
		figures = append(figures, percentiles(retentionSync+", "+c.what, latency[i])...)
	}
	return append(figures, figure{"most messages to remove when the last was acknowledged", left, "messages"}), nil
}
