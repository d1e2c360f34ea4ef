package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the man pages for the packages.
func manCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write the man pages of all commands",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root := newRoot(&tool{in: t.in, out: t.out, err: t.err})
			root.InitDefaultCompletionCmd()
			root.DisableAutoGenTag = true
			epoch := time.Unix(0, 0).UTC() // two builds make the same pages
			header := &doc.GenManHeader{Title: "EVENTSTORE", Section: "1", Date: &epoch, Source: "eventstore", Manual: "Event store"}
			return doc.GenManTree(root, header, args[0])
		},
	}
}
