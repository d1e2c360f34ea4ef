package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// tool is one run of the program.
type tool struct {
	in       io.Reader
	out, err io.Writer

	flags    connectionFlags
	format   string // of the output: table or json
	utc      bool
	yes      bool // do not ask
	progress bool // also without a terminal
	started  bool // the arguments were understood, and a command has begun
}

// run runs a command line and returns the exit status.
func run(ctx context.Context, t *tool, args []string) int {
	root := newRoot(t)
	root.SetArgs(args)
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	err := root.ExecuteContext(ctx)
	if err != nil && !t.started { // cobra did not understand the arguments
		err = &usageError{err}
	}
	return t.report(ctx, err)
}

// newRoot returns the command with all others below it. Each is in the file of its noun.
func newRoot(t *tool) *cobra.Command {
	root := &cobra.Command{
		Use:   "eventstore",
		Short: "Read, follow, append to and administer an event store",
		Long: `eventstore calls the API of an event store. Say where it is with --url, EVENTSTORE_URL or a context:

  eventstore context add prod --url https://a.example:4280 --url https://b.example:4280 --token-file ~/.prod-token
  eventstore channels

Commands that only read also work without a server, on its database: --dsn.`,
		Version:       config.CurrentBuild().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil { // else they come later
				return err
			}
			t.started = true
			return t.flags.complete(cmd, t.format)
		},
	}
	root.SetVersionTemplate("eventstore version {{.Version}}\n")
	root.SetHelpCommandGroupID("setup")
	root.SetCompletionCommandGroupID("setup")
	root.AddGroup(
		&cobra.Group{ID: "events", Title: "Events:"},
		&cobra.Group{ID: "admin", Title: "Administration:"},
		&cobra.Group{ID: "watch", Title: "State:"},
		&cobra.Group{ID: "setup", Title: "Setup:"},
	)
	t.flags.register(root.PersistentFlags())
	root.PersistentFlags().StringVarP(&t.format, "output", "o", "table", "table, or json: an object on each line")
	root.PersistentFlags().BoolVar(&t.utc, "utc", false, "show times in UTC, not in the local time zone")
	root.PersistentFlags().BoolVar(&t.progress, "progress", false, "report progress although stderr is not a terminal")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("events", readCommand(t), tailCommand(t), getCommand(t), aggregateCommand(t), appendCommand(t), exportCommand(t), importCommand(t), projectCommand(t))
	add("watch", channelsCommand(t), typesCommand(t), statsCommand(t),
		routesCommand(t), relaysCommand(t), doctorCommand(t), verifyCommand(t), chainCommand(t), topCommand(t), benchCommand(t))
	add("admin", consumersCommand(t), clientsCommand(t), deliveryCommand(t), eraseCommand(t), keysCommand(t), auditCommand(t))
	add("setup", copyCommand(t), contextCommand(t), manCommand(t))
	return root
}

// noun is a command that only has others below it.
func noun(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			var names []string
			for _, sub := range cmd.Commands() {
				names = append(names, sub.Name())
			}
			return usage("unknown command %q: %s has %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
		},
	}
	c.AddCommand(commands...)
	return c
}

// note tells the user something that is not output.
func (t *tool) note(format string, args ...any) {
	fmt.Fprintln(t.err, "eventstore: "+escape(fmt.Sprintf(format, args...)))
}
