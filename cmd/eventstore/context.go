package main

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func contextCommand(t *tool) *cobra.Command {
	return noun("context", "Keep profiles of servers: URLs, token and certificates",
		contextAddCommand(t), contextListCommand(t), contextUseCommand(t), contextRemoveCommand(t))
}

func contextAddCommand(t *tool) *cobra.Command {
	var use bool
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a context, or replace it",
		Example: `  eventstore context add prod --url https://a.example:4280 --url https://b.example:4280 --token-file ~/.prod-token
  eventstore context add local --url http://127.0.0.1:4280 --use`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := readProfiles()
			if err != nil {
				return err
			}
			added := t.flags.target
			if len(added.URLs) == 0 {
				return usage("a context needs --url")
			}
			if err := added.validate(); err != nil {
				return err
			}
			for _, file := range []*string{&added.TokenFile, &added.CA, &added.Cert, &added.Key} {
				if *file != "" { // the tool may run elsewhere
					if *file, err = filepath.Abs(*file); err != nil {
						return err
					}
				}
			}
			p.Contexts[args[0]] = added
			if use || len(p.Contexts) == 1 {
				p.Current = args[0]
			}
			if err := p.write(); err != nil {
				return err
			}
			if added.Token != "" {
				t.note("the token is now in the file of the contexts: prefer --token-file")
			}
			return t.print("added %s%s", args[0], map[bool]string{true: ", which is in use now"}[p.Current == args[0]])
		},
	}
	c.Flags().BoolVar(&use, "use", false, "use it from now on")
	return c
}

// shownContext is a context as ls shows it: without its token.
type shownContext struct {
	Name    string   `json:"name"`
	Current bool     `json:"current"`
	URLs    []string `json:"urls"`
	Auth    string   `json:"auth"`
	Monitor string   `json:"monitor,omitempty"`
}

func contextListCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the contexts; a star marks the one in use",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := readProfiles()
			if err != nil {
				return err
			}
			out := t.newList("there are no contexts: add one with eventstore context add NAME --url URL", "", "NAME", "URLS", "AUTHENTICATION", "MONITOR")
			for _, name := range slices.Sorted(maps.Keys(p.Contexts)) {
				c := p.Contexts[name]
				auth := "none"
				switch {
				case c.TokenFile != "":
					auth = "token of " + c.TokenFile
				case c.Token != "":
					auth = "token"
				case c.Cert != "":
					auth = "certificate " + c.Cert
				}
				shown := shownContext{name, name == p.Current, c.URLs, auth, c.Monitor}
				star := map[bool]string{true: "*"}[shown.Current]
				if err := out.add(shown, star, name, strings.Join(c.URLs, ", "), auth, cmp.Or(c.Monitor, "-")); err != nil {
					return err
				}
			}
			return out.end()
		},
	}
}

func contextUseCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Use a context from now on",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := readProfiles()
			if err != nil {
				return err
			}
			if _, there := p.Contexts[args[0]]; !there {
				return notFound("there is no context %q: eventstore context ls shows all", args[0])
			}
			p.Current = args[0]
			return p.write()
		},
	}
}

func contextRemoveCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:               "rm NAME",
		Short:             "Remove a context",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := readProfiles()
			if err != nil {
				return err
			}
			if _, there := p.Contexts[args[0]]; !there {
				return notFound("there is no context %q: eventstore context ls shows all", args[0])
			}
			delete(p.Contexts, args[0])
			if p.Current == args[0] {
				p.Current = ""
			}
			return p.write()
		},
	}
}

func completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	p, err := readProfiles()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(p.Contexts)), cobra.ShellCompDirectiveNoFileComp
}
