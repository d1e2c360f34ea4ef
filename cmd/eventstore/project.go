package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
)

// project are the flags of the command.
type project struct {
	tool *tool
	readModel
	file, samples                                 string
	check, rebuild, once, dropOld, replay, status bool
}

func projectCommand(t *tool) *cobra.Command {
	p := &project{tool: t}
	cmd := &cobra.Command{
		Use:   "project -f FILE",
		Short: "Keep a read model in SQL up to date, as a file describes it",
		Long: `Keep a read model in SQL up to date, as a file describes it: docs/guides/sql-projections.md.

Run it as a service, in as many replicas as you like: one works, the others stand by.`,
		Example: `  eventstore project -f orders.yaml --check
  eventstore project -f orders.yaml --into orders.db
  eventstore project -f orders.yaml --into orders.db --status
  eventstore project -f orders.yaml --url https://events.internal:50051 --token-file token --into-file dsn --rebuild`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.run(cmd.Context(), cmd.OutOrStdout(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&p.file, "file", "f", "", "the projection, in YAML")
	flags.BoolVar(&p.check, "check", false, "check the file with its samples, and in the database if --into names one, and end")
	flags.StringVar(&p.samples, "samples", "", "with --check: more events, one JSON object a line; - is the standard input")
	flags.BoolVar(&p.rebuild, "rebuild", false, "build the read model anew beside the live one, switch to it, and end")
	flags.BoolVar(&p.once, "once", false, "end when all stored events are applied")
	flags.BoolVar(&p.replay, "replay-parked", false, "apply the parked events again, and end")
	flags.BoolVar(&p.dropOld, "drop-old", false, "drop the tables that a rebuild or a new version replaced, and end")
	flags.BoolVar(&p.status, "status", false, "say how far the read model is behind, whether somebody runs it, and what is parked, and end")
	p.tool.yesFlag(cmd)
	p.register(flags)
	if err := cmd.MarkFlagRequired("file"); err != nil {
		panic(err) // the flag is there
	}
	cmd.MarkFlagsMutuallyExclusive("check", "rebuild", "once", "replay-parked", "drop-old", "status")
	return cmd
}

func (p *project) run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	file, err := sqlprojection.Read(p.file)
	if err != nil {
		return err
	}
	if p.check {
		return p.checkFile(ctx, out, file)
	}
	if p.dropOld {
		if err := p.tool.confirm("drop the tables of the generations of read model %s that are not live", file.Name); err != nil {
			return err
		}
	}
	if p.samples != "" {
		return usage("--samples needs --check")
	}
	client, err := p.tool.flags.client()
	if err != nil {
		return err
	}
	defer client.Close()
	db, dialect, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	projector, err := file.Projector(client, db, dialect)
	if err != nil {
		return err
	}
	switch {
	case p.status:
		return p.tell(ctx, projector)
	case p.dropOld:
		return projector.DropOld(ctx)
	case p.replay:
		n, err := projector.ReplayParked(ctx)
		fmt.Fprintf(out, "%d events were applied.\n", n)
		return err
	case p.rebuild:
		log.Info("Building the read model anew", "projection", file.Name)
		if err := projector.Rebuild(ctx); err != nil {
			return err
		}
		live, err := projector.LiveGeneration(ctx)
		log.Info("The new read model is live; drop the old one with --drop-old", "projection", file.Name, "generation", live)
		return err
	}
	return p.serve(ctx, projector, log)
}

// errCaughtUp ends a run with --once.
var errCaughtUp = errors.New("all stored events are applied")

// serve runs the projection until ctx ends, and logs how far it is.
func (p *project) serve(ctx context.Context, projector *eventstore.Projector, log *slog.Logger) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	behind := true // until it has caught up; owned by the goroutine that calls CaughtUp
	projector.CaughtUp = func() {
		if behind {
			behind = false
			log.Info("All stored events are applied", "projection", projector.Name)
		}
		if p.once {
			stop(errCaughtUp)
		}
	}
	reporting := make(chan struct{})
	go func() {
		defer close(reporting)
		report(ctx, projector, log)
	}()
	err := projector.Run(ctx)
	stopped := ctx.Err() != nil
	stop(nil)
	<-reporting
	if stopped {
		return nil // by a signal, or because it has caught up
	}
	return err
}

// reportEvery is how often the log says how far behind the projection is.
const reportEvery = 10 * time.Second

func report(ctx context.Context, projector *eventstore.Projector, log *slog.Logger) {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		progress, err := projector.Progress(ctx)
		if err == nil && progress.Lag > 0 {
			log.Info("Behind", "projection", projector.Name, "checkpoint", progress.Checkpoint, "end", progress.End, "delay", progress.Delay.Round(time.Millisecond), "parked", progress.Parked)
		}
	}
}

// checkFile prints what is wrong with the file.
func (p *project) checkFile(ctx context.Context, out io.Writer, file *sqlprojection.File) error {
	var samples []sqlprojection.Sample
	if p.samples != "" {
		from := os.Stdin
		if p.samples != "-" {
			var err error
			if from, err = os.Open(p.samples); err != nil {
				return fmt.Errorf("--samples: %w", err)
			}
			defer func() { _ = from.Close() }() // it was only read
		}
		var err error
		if samples, err = sqlprojection.ReadSamples(from); err != nil {
			return fmt.Errorf("--samples %s: %w", p.samples, err)
		}
	}
	problems := file.Check(samples)
	where := "without a database: name one with --into to run its statements there"
	if p.given() {
		db, dialect, err := p.open(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		found, err := file.CheckDatabase(ctx, db, dialect, samples)
		if err != nil {
			return fmt.Errorf("check %s in the database: %w", p.file, err)
		}
		problems, where = append(problems, found...), "and its statements ran in the database"
	}
	for _, problem := range problems {
		fmt.Fprintln(out, problem)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s has %d faults", p.file, len(problems))
	}
	fmt.Fprintf(out, "%s is right with %d samples, %s.\n", p.file, len(file.Samples)+len(samples), where)
	return nil
}

// projectionStatus is how far a read model is.
type projectionStatus struct {
	Name       string  `json:"name"`
	Checkpoint uint64  `json:"checkpoint"`
	End        uint64  `json:"end"`
	Lag        uint64  `json:"lag"`
	DelaySecs  float64 `json:"delay_seconds"`
	Runs       bool    `json:"runs"`
	Parked     int     `json:"parked"`
	Generation int     `json:"generation"`
	Building   int     `json:"building,omitempty"`
}

// tell prints how far the read model is.
func (p *project) tell(ctx context.Context, projector *eventstore.Projector) error {
	now, err := projector.Progress(ctx)
	if err != nil {
		return err
	}
	runs, delay := "nobody", "-"
	if now.Leader {
		runs = "a replica"
	}
	if now.Delay > 0 {
		delay = now.Delay.Round(time.Second).String()
	}
	l := p.tool.newList("", "NAME", "CHECKPOINT", "END", "LAG", "DELAY", "RUN BY", "PARKED", "GENERATION")
	status := projectionStatus{projector.Name, now.Checkpoint, now.End, now.Lag, now.Delay.Seconds(), now.Leader, now.Parked, now.Generation, now.Building}
	err = l.add(status, projector.Name, number(now.Checkpoint), number(now.End), number(now.Lag), delay, runs, number(now.Parked), number(now.Generation))
	if err != nil {
		return err
	}
	return l.end()
}
