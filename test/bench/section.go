package main

import (
	"context"
	"fmt"
)

// A section is a part of the report that can be measured alone.
type section struct {
	name   string
	about  string // a sentence of the report
	once   bool   // takes long, and its figures are far apart where something is wrong
	trials func(*setup, context.Context) ([]trial, error)
}

// sections in the order in which they are measured: a replay reads what was published before.
var sections []section

func init() { // refers to itself through the flags
	sections = []section{
		{"publish", "Events of 512 bytes; each is acknowledged when it is durable, as the peer understands it.", false, loads(publishLoads, eventBytes)},
		{"sync", "A synchronous publisher waits for each acknowledgement before it publishes the next event.", false, loads(syncLoads, eventBytes)},
		{"delayed", "The same where each sync of a file takes 4 ms longer, as on a slow disk; strace delays them.", false, delayedTrials},
		{"diskless", "The same with all files in memory, where a sync costs nothing.", false, disklessTrials},
		{"live", "Until the last of ten subscribers has received the last event.", false, loads(liveLoads, eventBytes)},
		{"replay", "Events of a channel from the first on, up to 1,024 of them unacknowledged; all are acknowledged.", false, loads(replayLoads, eventBytes)},
		{"memory", "Most resident memory of each server's process for the loads of the sections before, and one more; PostgreSQL and MariaDB have their own beside it.", true, memoryTrials},
		{"sizes", "The same with events of other sizes.", false, sizeTrials},
		{"fairness", "Latency of one synchronous publisher, beside others that are in processes of their own on the same machine.", false, fairnessTrials},
		{"following", "Latency of publishers beside subscriptions of the API, which are in a process of their own, and beside a relay to the embedded JetStream.", false, followingTrials},
		{"retention", "Publishing to a channel that loses its oldest message for each new one, in turns with one that keeps all.", false, retentionTrials},
		{"aggregates", "All events of one of many aggregates through the API, read one aggregate after the other.", false, aggregatesTrials},
		{"growth", "What one operation costs among many of its kind; one run.", true, growthTrials},
		{"scale", "Start, appends and reads of this server on databases that hold many events, in 1,000 channels, and its resident memory: when it is ready, and after appends to all channels and replays of 100.", false, scaleTrials},
		{"queries", "Events of all channels through the API, by query, from databases that hold many events in 1,000 channels; and appends with conditions to them; one run.", true, queryTrials},
		{"consumers", "What order by key costs a queue group, what idle durables cost, and what those cost that never acknowledge.", false, consumersTrials},
		{"commands", "Commands of the Go library that all change the same aggregate, one after the other from each of 32 writers: how many a second, and how long each takes.", false, commandsTrials},
		{"projection", "A SQL projection that catches up through the Go library, into another database of the same kind, which commits durably.", false, projectionTrials},
		{"sizing", "What an operator plans with, for each event and for each of what the server keeps; one run.", true, sizingTrials},
	}
}

func sectionNames() (list []string) {
	for _, s := range sections {
		list = append(list, s.name)
	}
	return list
}

// A trial is one measure of one peer, taken once in each run.
type trial struct {
	name string
	peer peerID
	size int // of events
	take func(context.Context) ([]figure, error)
}

// A figure is what a trial found. Some find several.
type figure struct {
	what  string // empty: the trial's only one
	value float64
	unit  string
}

func (f figure) detail() string {
	if f.what == "" {
		return ""
	}
	return f.what + " "
}

const perSecond = "/s"

// loads are the trials of a section that measures all peers by the same loads.
func loads(list []load, size int) func(*setup, context.Context) ([]trial, error) {
	return func(s *setup, ctx context.Context) ([]trial, error) { return s.loadTrials(ctx, list, size) }
}

// sizeTrials are those of the plot of cost against size.
func sizeTrials(s *setup, ctx context.Context) ([]trial, error) {
	var all []trial
	for _, size := range s.sizes {
		trials, err := s.loadTrials(ctx, sizeLoads, size)
		if err != nil {
			return nil, err
		}
		all = append(all, trials...)
	}
	return all, nil
}

// loadTrials puts those of one load on one database side by side.
func (s *setup) loadTrials(ctx context.Context, list []load, size int) ([]trial, error) {
	var all []trial
	for _, l := range list {
		for _, id := range s.chosen() {
			if !id.takes(l) {
				continue
			}
			p, err := s.peer(ctx, id)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", id.on(), err)
			}
			all = append(all, trial{l.name, id, size, func(ctx context.Context) ([]figure, error) {
				rate, err := p.run(ctx, l, size)
				return []figure{{"", rate, perSecond}}, err
			}})
		}
	}
	return all, nil
}
