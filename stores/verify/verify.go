// Package verify compares a database with itself, with the payloads of its messages and with the rules of the
// configuration.
//
// One goroutine reads the tables in one state of the database; others decode messages and compare their columns. What
// contradicts what this server or NATS Streaming writes becomes a Finding, never an error.
package verify

import (
	"context"
	"fmt"
	"runtime"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Rules are what the configuration says about a channel.
type Rules struct {
	Valid    bool            // the server accepts the channel's name
	Events   bool            // it is an event channel
	Mapping  *proto.Mapping  // reads an event from a payload
	Versions stores.Versions // which event_version an event may carry
}

// Options say what Run compares the database with and how it reports.
type Options struct {
	Rules func(channel string) Rules
	// Erased are missing messages that are no fault. It may be nil.
	Erased Erased
	Chain  Chain
	Limit  int // how many findings of a kind to keep; all are counted
	// Progress is called after each step of some thousand rows. It may be nil.
	Progress func(phase string, done, total uint64)
}

// Run reads the whole database and compares it with itself, with the payloads and with the rules. It takes no lease and
// writes nothing. It sees one state of the database while a server continues to write. Its memory does not grow with
// the number of messages.
//
// An error means that the database could not be verified: it comes from stores.ReadSnapshot or ctx.
func Run(ctx context.Context, database stores.Options, o Options) (*Report, error) {
	var report *Report
	err := stores.ReadSnapshot(ctx, database, func(ctx context.Context, s *stores.Snapshot) error {
		c := &check{
			Options:  o,
			snapshot: s,
			workers:  runtime.GOMAXPROCS(0),
			report:   &Report{Driver: s.Driver, Schema: s.Schema},
			findings: newFindings(o.Limit),
			notes:    newFindings(o.Limit),
			channels: map[int64]*channelCheck{},
		}
		switch s.Driver {
		case "postgres":
			c.texts = &postgresTexts
		case "mysql":
			c.texts = &mysqlTexts
		case "sqlite":
			c.texts = &sqliteTexts
		}
		if err := c.run(ctx); err != nil {
			return err
		}
		report = c.finish()
		return nil
	})
	return report, err
}

// check is one call of Run.
type check struct {
	Options
	snapshot *stores.Snapshot
	texts    *texts
	workers  int

	report          *Report
	findings, notes *findings
	channels        map[int64]*channelCheck // by Channels.id, including deleted ones
	order           []*channelCheck         // by id
	total           uint64                  // messages, according to the counters
	missing         int64                   // messages, whether or not they were erased
	allEvents       *channelCheck           // stands for them among the channels of subscriptions
	patterns        map[uint64]string       // of consumers
	erasures        map[int64]string        // state by ID
}

func (c *check) run(ctx context.Context) error {
	for _, step := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"schema", c.schema},
		{"file", c.integrity},
		{"server", c.server},
		{"lease", c.lease},
		{"channels", c.readChannels},
		{"erasures", c.readErasures},
		{"state of clients and subscriptions", c.state},
		{"messages", c.messages},
		{"messages without a channel", c.orphans},
		{"who appended", c.appenders},
		{"versions", c.chains},
		{"event_ids", c.eventIDs},
		{"order of events", c.positions},
		{"chain of hashes", c.hashes},
	} {
		if c.Chain.Only && step.what != "chain of hashes" {
			continue
		}
		err := step.run(ctx)
		if corruptFile(err) {
			c.findings.add("file", "", step.what, "%v", err) // other steps may not meet it
			continue
		}
		if err != nil {
			return fmt.Errorf("verify %s: %w", step.what, err)
		}
	}
	return nil
}

func (c *check) progress(phase string, done, total uint64) {
	if c.Progress != nil {
		c.Progress(phase, done, max(done, total))
	}
}

func (c *check) finish() *Report {
	c.report.Findings, c.report.FindingCount = c.findings.sorted(), c.findings.counts
	c.report.Notes, c.report.NoteCount = c.notes.sorted(), c.notes.counts
	return c.report
}
