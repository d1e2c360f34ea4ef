package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// severity is how bad a finding is.
type severity int

const (
	fine severity = iota
	warning
	fault
)

func (s severity) String() string { return [...]string{"ok", "warning", "fault"}[s] }

// finding is what doctor found out.
type finding struct {
	Severity string `json:"severity"`
	About    string `json:"about"`
	Finding  string `json:"finding"`
	Remedy   string `json:"remedy,omitempty"`

	severity severity
}

// examination collects findings.
type examination struct{ findings []finding }

func (x *examination) add(s severity, about, text, remedy string) {
	x.findings = append(x.findings, finding{s.String(), about, text, remedy, s})
}

func (x *examination) fine(about, format string, args ...any) {
	x.add(fine, about, fmt.Sprintf(format, args...), "")
}

func doctorCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong, and say what to do",
		Long: `Asks each server: does it answer, does one lead, do the clocks agree, when do certificates expire, what may the token do, which consumers are
stuck; and its monitoring port (--monitor): versions, damaged rows, failures. With --dsn it examines the database in place of the
servers: schema, settings, rights, triggers, collation, lease, disk.

The exit status is 0 if all is well, 7 after warnings, 8 after faults.`,
		Example: `  eventstore doctor --url https://a.example:4280 --url https://b.example:4280 --monitor http://a.example:8222
  eventstore doctor --dsn /var/lib/nats-streaming-server/eventstore.db`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			x := &examination{}
			if t.flags.offline.given() {
				o, err := t.flags.offline.options()
				if err != nil {
					return err
				}
				x.database(cmd.Context(), o.Options)
			} else {
				r, err := t.flags.dial()
				if err != nil {
					return err
				}
				x.servers(cmd.Context(), t, r)
			}
			if cmd.Context().Err() != nil {
				return context.Cause(cmd.Context())
			}
			return t.diagnose(x)
		},
	}
}

// diagnose prints the findings, the worst first.
func (t *tool) diagnose(x *examination) error {
	slices.SortStableFunc(x.findings, func(a, b finding) int { return cmp.Compare(b.severity, a.severity) })
	worst := fine
	for _, f := range x.findings {
		worst = max(worst, f.severity)
		if t.json() {
			if err := t.printJSON(f); err != nil {
				return err
			}
			continue
		}
		if err := t.print("%-8s %s: %s", f.Severity, f.About, f.Finding); err != nil {
			return err
		}
		if f.Remedy != "" {
			if err := t.print("         -> %s", f.Remedy); err != nil {
				return err
			}
		}
	}
	switch worst {
	case fault:
		return &statusError{status: exitFaults}
	case warning:
		return &statusError{status: exitWarnings}
	}
	return nil
}
