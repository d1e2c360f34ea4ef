package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

func verifyCommand(t *tool) *cobra.Command {
	var report int
	c := &cobra.Command{
		Use:   "verify --dsn DSN",
		Short: "Prove that nothing in a database is damaged; a server may be running on it",
		Long: `Checks a database without writing to it: that sequences have no gaps, versions of aggregates, event columns against payloads, counters,
indexes and triggers. The exit status is 8 if it finds a fault.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !t.flags.offline.given() {
				return usage("verify reads the database itself: name it with --dsn or --server-config")
			}
			o, err := t.flags.offline.options()
			if err != nil {
				return err
			}
			progress := io.Discard
			if isTerminal(t.err) || t.progress {
				progress = t.err
			}
			err = offline.Verify(cmd.Context(), o.Options, offline.VerifyOptions{JSON: t.json(), Report: report, Out: t.out, Log: progress})
			if errors.Is(err, offline.ErrFindings) {
				return &statusError{status: exitFaults, text: "the database has faults: see docs/operate/operations.md, damaged rows"}
			}
			return err
		},
	}
	c.Flags().IntVar(&report, "report", 10, "how many findings of each kind to list")
	return c
}
