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
	JSON   bool      // the report is JSON, not lines for a person
	Report int       // how many findings of a kind are named; all are counted
	Out    io.Writer // gets the report
	Log    io.Writer // gets lines about the progress
}

// ErrFindings is the error of Verify when the database has what should not be there.
var ErrFindings = errors.New("the database is not as it should be")

// verifyReport is the report as JSON.
type verifyReport struct {
	*verify.Report
	Clean   bool    `json:"clean"`
	Started string  `json:"started"`
	Seconds float64 `json:"seconds"`
}

// Verify reads the database of the options, also while a server works on it, compares it with itself and with what the options
// say of event channels, and reports what it found. It writes nothing to the database and takes no lease. The error is
// ErrFindings, or says why the database could not be verified.
func Verify(ctx context.Context, o config.Options, v VerifyOptions) error {
	events, err := eventlog.NewEvents(o.Events)
	if err != nil {
		return err
	}
	lines := &progressLines{to: v.Log}
	started := time.Now()
	report, err := verify.Run(ctx, o.Store, verify.Options{
		Limit: v.Report,
		Rules: func(channel string) verify.Rules {
			rules := verify.Rules{Valid: eventlog.ValidChannel(channel)}
			if block := events.Of(channel); block != nil {
				rules.Events, rules.Mapping, rules.Versions = true, block.Mapping, block.VersionsOf(o.Versions, channel)
			}
			return rules
		},
		Progress: pace(lines),
	})
	var behind *stores.SchemaError
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("nothing to verify: %w", err)
	case errors.As(err, &behind) && behind.Version == 0:
		return errors.New("there are no tables of this server: if NATS Streaming wrote the database, nats-streaming-server migrate upgrades it")
	case errors.As(err, &behind):
		return fmt.Errorf("the schema is at version %d, this server needs %d: nats-streaming-server migrate upgrades it", behind.Version, behind.Needed)
	case err != nil:
		return err
	}
	took := time.Since(started)
	if v.JSON {
		err = json.NewEncoder(v.Out).Encode(verifyReport{
			Report: report, Clean: len(report.FindingCount) == 0, Started: started.UTC().Format(time.RFC3339), Seconds: took.Seconds(),
		})
	} else {
		printReport(v.Out, report, took)
	}
	if err == nil && len(report.FindingCount) > 0 {
		err = ErrFindings
	}
	return err
}

// pace tells how far each phase came, at which rate, and when it will be done.
func pace(lines *progressLines) func(phase string, done, total uint64) {
	var current string
	var since time.Time
	return func(phase string, done, total uint64) {
		if phase != current {
			current, since = phase, time.Now()
		}
		if total == 0 {
			lines.now("Verifying %s...", phase)
			return
		}
		rate := float64(done) / max(time.Since(since).Seconds(), 0.001)
		left := time.Duration(float64(total-done) / max(rate, 1) * float64(time.Second))
		lines.now("Verifying %s: %d of %d (%d %%), %.0f/s, %v left", phase, done, total, 100*done/total, rate, left.Round(time.Second))
	}
}

func printReport(to io.Writer, r *verify.Report, took time.Duration) {
	out := &progressLines{to: to}
	out.line("Verified %d channels, %d messages with %d bytes, %d events of %d aggregates, %d subscriptions, %d clients in %v (%.0f messages/s).",
		r.Channels, r.Messages, r.Bytes, r.Events, r.Aggregates, r.Subscriptions, r.Clients,
		took.Round(time.Millisecond), float64(r.Messages)/took.Seconds())
	printFindings(out, "Note", r.Notes, r.NoteCount)
	printFindings(out, "FINDING", r.Findings, r.FindingCount)
	if len(r.FindingCount) == 0 {
		out.line("Nothing is wrong.")
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
