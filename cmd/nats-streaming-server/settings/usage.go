package settings

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// printVersion prints NATS Streaming's line, which scripts read, and what is new below it.
func printVersion(w io.Writer) {
	b := config.CurrentBuild()
	fmt.Fprintf(w, "nats-streaming-server version %s, nats-server: v%s\n%s\n", b.Version, natsd.VERSION, b.Details())
}

// printUsage lists all options: ours by group, then NATS' own.
func printUsage(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprint(w, "Usage: nats-streaming-server [options]\n       nats-streaming-server migrate [options], for an older database (-h for details)\n       nats-streaming-server import -from_dir <directory> [options], for a FILE store of NATS Streaming\n       nats-streaming-server verify [options], to check a database\n       nats-streaming-server backup <file> [options], to copy an SQLite database\n       nats-streaming-server token, for a new token of the access file\n       nats-streaming-server healthcheck [options], to ask a server whether it is healthy\n\nWithout options: embedded SQLite in ./data, NATS on port 4222.\n")
	for _, g := range groups {
		fmt.Fprintf(w, "\n%s:\n", g.title)
		former := make(map[string][]string) // options without a usage line, by note
		for _, it := range g.settings {
			name := "-" + strings.Join(it.flags, ", -")
			if len(it.flags) == 0 && len(it.keys) > 0 {
				name = it.keys[0]
			}
			switch {
			case it.usage == "" && it.kind != block:
				former[it.note] = append(former[it.note], name)
			case len(it.flags) > 0:
				printOption(w, name, it.valueName(), it.usageLine())
			case it.kind != block:
				printOption(w, name, "", it.usageLine()+" (configuration file only)")
			}
		}
		for _, note := range slices.Sorted(maps.Keys(former)) {
			printFormer(w, note, former[note])
		}
	}
	fmt.Fprint(w, "\nOptions of NATS and of the log:\n")
	for _, f := range natsFlagsByMeaning(fs) {
		printOption(w, "-"+strings.Join(f.names, ", -"), f.value, f.usage)
	}
}

// natsFlag is a flag of NATS with its aliases.
type natsFlag struct {
	names        []string
	value, usage string
}

// natsFlagsByMeaning returns the flags that are not ours. NATS defines each alias as a separate flag with the same usage line.
func natsFlagsByMeaning(fs *flag.FlagSet) []*natsFlag {
	ours := make(map[string]bool)
	for _, it := range settings {
		for _, f := range it.flags {
			ours[hidden(f)] = true
		}
	}
	var all []*natsFlag
	byUsage := make(map[string]*natsFlag)
	fs.VisitAll(func(f *flag.Flag) {
		if ours[f.Name] {
			return
		}
		if byUsage[f.Usage] == nil {
			value, usage := flag.UnquoteUsage(f)
			if value != "" {
				value = "<" + value + ">"
			}
			byUsage[f.Usage] = &natsFlag{value: value, usage: usage}
			all = append(all, byUsage[f.Usage])
		}
		byUsage[f.Usage].names = append(byUsage[f.Usage].names, f.Name)
	})
	return all
}

func printOption(w io.Writer, names, value, usage string) {
	fmt.Fprintf(w, "    %-44s %s\n", strings.TrimSpace(names+" "+value), usage)
}

// printFormer prints a note and, below it, the names that it applies to.
func printFormer(w io.Writer, note string, names []string) {
	fmt.Fprintf(w, "    %s:\n", note)
	line := ""
	for _, n := range names {
		if len(line)+len(n) > 100 {
			fmt.Fprintf(w, "       %s\n", line)
			line = ""
		}
		line += " " + n
	}
	fmt.Fprintf(w, "       %s\n", line)
}

// usageLine returns the usage with the default.
func (it *setting) usageLine() string {
	if it.def == "" {
		return it.usage
	}
	return it.usage + " (default " + it.def + ")"
}

// valueName returns the placeholder for the value in the usage.
func (it *setting) valueName() string {
	if it.value != "" {
		return it.value
	}
	return [...]string{text: "<string>", toggle: "", count: "<n>", size: "<size>", duration: "<duration>", list: "<list>", block: "", anything: ""}[it.kind]
}
