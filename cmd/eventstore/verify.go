package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

func verifyCommand(t *tool) *cobra.Command {
	var report int
	var proof chainFlags
	c := &cobra.Command{
		Use:   "verify --dsn DSN",
		Short: "Prove that nothing in a database is damaged; a server may be running on it",
		Long: `Checks a database without writing to it: that sequences have no gaps, versions of aggregates, event columns against payloads, counters,
indexes and triggers, and the chain of hashes over all events. The exit status is 8 if it finds a fault.`,
		Example: `  eventstore verify --dsn /var/lib/eventstore/eventstore.db
  eventstore verify --dsn "$DSN" --chain --heads /mnt/elsewhere/heads.jsonl --key "$PUBLIC_KEY"
  eventstore verify --dsn "$DSN" --chain --from /mnt/elsewhere/heads.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !t.flags.offline.given() {
				return usage("verify reads the database itself: name it with --dsn or --server-config")
			}
			o, err := t.flags.offline.options()
			if err != nil {
				return err
			}
			of, err := proof.chain()
			if err != nil {
				return err
			}
			progress := io.Discard
			if isTerminal(t.err) || t.progress {
				progress = t.err
			}
			err = offline.Verify(cmd.Context(), o.Options, offline.VerifyOptions{JSON: t.json(), Report: report, Chain: of, Out: t.out, Log: progress})
			if errors.Is(err, offline.ErrFindings) {
				return &statusError{status: exitFaults, text: "the database has faults: see docs/operate/operations.md, damaged rows"}
			}
			return err
		},
	}
	c.Flags().BoolVar(&proof.only, "chain", false, "check the chain of hashes only, which is faster")
	c.Flags().StringVar(&proof.from, "from", "", "begin the chain behind the last head in a file, which must be right, or behind the event at a position, whose hash is trusted")
	c.Flags().StringVar(&proof.heads, "heads", "", "compare the chain with the heads in a file that was kept elsewhere")
	c.Flags().StringVar(&proof.key, "key", "", "public key that must have signed all heads")
	c.Flags().IntVar(&report, "report", 10, "how many findings of each kind to list")
	return c
}
