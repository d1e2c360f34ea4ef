package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/verify"
)

// VerifyOptions configure Verify.
type VerifyOptions struct {
	JSON   bool // print JSON instead of text
	Report int  // findings to list per kind; all are counted
	Chain  verify.Chain
	Erased io.Reader // list of missing messages that are no fault, as verify.ReadErased reads it; nil without one
	Out    io.Writer // report
	Log    io.Writer // progress
}

// ErrFindings means that Verify found a fault in the database.
var ErrFindings = errors.New("the database has faults")

// verifyReport is the JSON report.
type verifyReport struct {
	*verify.Report
	Clean   bool    `json:"clean"`
	Started string  `json:"started"`
	Seconds float64 `json:"seconds"`
}

// Verify reads the database, even while a server uses it, and checks it against itself and the configured event
// channels. It writes nothing to the database and takes no lease. It returns ErrFindings if it found a fault, and
// another error if it could not finish.
func Verify(ctx context.Context, o config.Options, v VerifyOptions) error {
	var erased verify.Erased
	var err error
	if v.Erased != nil {
		if erased, err = verify.ReadErased(v.Erased); err != nil {
			return fmt.Errorf("list of erased messages: %w", err)
		}
	}
	lines := &progressLines{to: v.Log}
	started := time.Now()
	report, err := check(ctx, o, verify.Options{Limit: v.Report, Erased: erased, Chain: v.Chain, Progress: pace(lines)})
	var behind *stores.SchemaError
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("nothing to verify: %w", err)
	case errors.As(err, &behind) && behind.Version == 0:
		return errors.New("the database has no tables of this server: if NATS Streaming wrote it, run nats-streaming-server migrate")
	case errors.As(err, &behind):
		return fmt.Errorf("the schema is at version %d, this server needs %d: run nats-streaming-server migrate", behind.Version, behind.Needed)
	case err != nil:
		return err
	}
	took := time.Since(started)
	if v.JSON {
		err = json.NewEncoder(v.Out).Encode(verifyReport{
			Report: report, Clean: len(report.FindingCount) == 0, Started: started.UTC().Format(time.RFC3339), Seconds: took.Seconds(),
		})
	} else {
		printReport(v.Out, report, v.Chain.Only, took)
	}
	if err == nil && len(report.FindingCount) > 0 {
		err = ErrFindings
	}
	return err
}

// Checker returns what verifies the database beside the server that uses it. It keeps some findings of each kind.
func Checker(o config.Options, findings int) func(ctx context.Context, progress func(phase string, done, total uint64)) (*verify.Report, error) {
	return func(ctx context.Context, progress func(phase string, done, total uint64)) (*verify.Report, error) {
		if o.Store.Driver == "sqlite" && o.Store.Source == ":memory:" { // another connection would open a database of its own, which is empty
			return nil, errors.New("the store is in the memory of the server, where no other connection reads it")
		}
		return check(ctx, o, verify.Options{Limit: findings, Progress: progress})
	}
}

// check is verify.Run with the rules of the configured channels.
func check(ctx context.Context, o config.Options, v verify.Options) (*verify.Report, error) {
	events, err := eventlog.NewEvents(o.Events)
	if err != nil {
		return nil, err
	}
	v.Rules = func(channel string) verify.Rules {
		rules := verify.Rules{Valid: eventlog.ValidChannel(channel)}
		if block := events.Of(channel); block != nil {
			rules.Events, rules.Mapping, rules.Versions = true, block.Mapping, block.VersionsOf(o.Versions, channel)
		}
		return rules
	}
	return verify.Run(ctx, o.Store, v)
}

// pace reports the progress, rate and remaining time of each phase.
func pace(lines *progressLines) func(phase string, done, total uint64) {
	var current string
	var since time.Time
	return func(phase string, done, total uint64) {
		if phase != current {
			current, since = phase, time.Now()
		}
		if total == 0 {
			lines.progress("Verifying %s...", phase)
			return
		}
		rate := float64(done) / max(time.Since(since).Seconds(), 0.001)
		left := time.Duration(float64(total-done) / max(rate, 1) * float64(time.Second))
		lines.progress("Verifying %s: %d of %d (%d %%), %.0f/s, %v left", phase, done, total, 100*done/total, rate, left.Round(time.Second))
	}
}

func printReport(to io.Writer, r *verify.Report, chainOnly bool, took time.Duration) {
	out := &progressLines{to: to}
	out.line("The chain of hashes: %d events, %d of them with erased contents, %d heads.", r.Chained, r.ErasedContents, r.Heads)
	if chainOnly {
		out.line("It took %v (%.0f events/s). Nothing else was checked.", took.Round(time.Millisecond), float64(r.Chained)/took.Seconds())
		printFindings(out, "FINDING", r.Findings, r.FindingCount)
		if len(r.FindingCount) == 0 {
			out.line("No faults found.")
		}
		return
	}
	out.line("Verified %d channels, %d messages with %d bytes, %d events of %d aggregates, %d subscriptions, %d clients in %v (%.0f messages/s).",
		r.Channels, r.Messages, r.Bytes, r.Events, r.Aggregates, r.Subscriptions, r.Clients,
		took.Round(time.Millisecond), float64(r.Messages)/took.Seconds())
	if r.Erased > 0 {
		out.line("Accepted %d missing messages as erased.", r.Erased)
	}
	printFindings(out, "Note", r.Notes, r.NoteCount)
	printFindings(out, "FINDING", r.Findings, r.FindingCount)
	if len(r.FindingCount) == 0 {
		out.line("No faults found.")
	}
}

func printFindings(out *progressLines, what string, list []verify.Finding, counts map[string]int) {
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		named := 0
		for _, f := range list {
			if f.Kind == kind {
				out.line("%s %s: %s, %s: %s", what, f.Kind, f.Table, f.Key, f.Text)
				named++
			}
		}
		if more := counts[kind] - named; more > 0 {
			out.line("%s %s: and %d more", what, kind, more)
		}
	}
}
