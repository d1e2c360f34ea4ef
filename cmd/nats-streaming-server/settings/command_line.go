package settings

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
	natsd "github.com/nats-io/nats-server/v2/server"
)

// commandLine is a parsed command line.
type commandLine struct {
	nats     *natsd.Options       // NATS' own options and those of its configuration file
	natsFile string               // name of that file
	given    map[string]givenFlag // our flags, by their first names
	printed  bool                 // help or version was printed
	check    bool                 // -t
	repeated []string             // what to tell about flags that are given twice
}

// givenFlag is a flag on the command line. If one is repeated, also under an alias, the last one counts.
type givenFlag struct{ name, value string }

// streamingFileFlag is the first name of the flag that names the configuration file of the streaming part.
const streamingFileFlag = "sc"

func parse(args []string) (commandLine, error) {
	c := commandLine{given: make(map[string]givenFlag)}
	args, err := c.scan(args)
	if err != nil {
		return c, err
	}
	fs := c.flagSet()
	printing := func(f func()) func() {
		return func() {
			f()
			c.printed = true
		}
	}
	natsd.NoErrOnUnknownFields(true) // NATS shares the configuration file with the streaming part
	c.nats, err = natsd.ConfigureOptions(fs, hideFlags(args),
		printing(func() { printVersion(os.Stdout) }), printing(func() { printUsage(os.Stdout, fs) }), natsd.PrintTLSHelpAndDie)
	if f := fs.Lookup("c"); f != nil {
		c.natsFile = f.Value.String()
	}
	if err != nil && c.natsFile != "" {
		// NATS' syntax errors do not name the file.
		if _, syntax := conf.ParseFile(c.natsFile); syntax != nil && syntax.Error() == err.Error() {
			err = syntaxError(c.natsFile, err)
		}
	}
	return c, withRemedy(err)
}

// withRemedy adds to an error of NATS what to do about it.
func withRemedy(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: name another with -c", err)
	}
	var all []error // NATS writes one to a line
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		for _, it := range remedies {
			if strings.Contains(line, it.part) {
				line += ": " + it.remedy
				break
			}
		}
		all = append(all, errors.New(line))
	}
	return errors.Join(all...)
}

// remedies say what to do about errors of NATS, which have no types, by a part of their text.
var remedies = []struct{ part, remedy string }{
	{"invalid value", "-help shows what each option takes"},
	{"error parsing X509", "check -tlscert and -tlskey, or the block tls"},
	{"could not parse address string", "write host and port, such as 127.0.0.1:4222, or the port alone"},
	{"interface conversion", "a value is of another type: numbers, true and false take no quotes"},
	{"error parsing include file", "create the file, or correct its name: it is relative to the file that includes it"},
}

// flagSet returns our flags, which note what they are given.
func (c *commandLine) flagSet() *flag.FlagSet {
	fs := flag.NewFlagSet("nats-streaming-server", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors
	for _, it := range settings {
		for _, name := range it.flags {
			record := func(v string) error {
				c.given[it.flags[0]] = givenFlag{name, v}
				return nil
			}
			if it.kind == toggle {
				fs.BoolFunc(hidden(name), it.usage, record)
			} else {
				fs.Func(hidden(name), it.usage, record)
			}
		}
	}
	return fs
}

// allFlags returns our flags and those of NATS, to look at.
func allFlags() *flag.FlagSet {
	fs := new(commandLine).flagSet()
	nothing := func() {}
	// With -version, NATS defines its flags and does nothing else.
	if _, err := natsd.ConfigureOptions(fs, []string{"-version"}, nothing, nothing, nothing); err != nil {
		panic(err)
	}
	return fs
}

// flagNames returns the names of all flags as users write them.
func flagNames(fs *flag.FlagSet) []string {
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, strings.TrimPrefix(f.Name, hiddenPrefix)) })
	return names
}

// scan finds what the parser of flags would not tell, or would tell one at a time: unknown flags, flags that are given twice, and
// values that no flag takes, at which the parser stops. It returns the arguments without -t, at which NATS would stop half-way.
func (c *commandLine) scan(args []string) (rest []string, err error) {
	fs := allFlags()
	seen := make(map[string]string) // by the meaning of a flag, the name it was given by
	var errs []error
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") {
			if name == "version" || name == "help" {
				return append(rest, args[i:]...), errors.Join(errs...)
			}
			return nil, errors.Join(append(errs, unexpected(args, i))...)
		}
		f := fs.Lookup(hidden(name))
		if f == nil {
			errs = append(errs, unknownFlag(name, flagNames(fs)))
			if !hasValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++ // its value
			}
			continue
		}
		if name == "t" {
			c.check = !hasValue || value == "true"
			continue
		}
		if was, twice := seen[meaning(f)]; twice {
			c.repeated = append(c.repeated, fmt.Sprintf("-%s is given twice, first as -%s: the last one counts", name, was))
		}
		seen[meaning(f)] = name
		rest = append(rest, args[i])
		if !hasValue && !isSwitch(f) && i+1 < len(args) {
			i++
			rest = append(rest, args[i])
		}
	}
	return rest, errors.Join(errs...)
}

// unknownFlag returns the error of a flag that none of the names is.
func unknownFlag(name string, names []string) error {
	return fmt.Errorf("flag provided but not defined: -%s%s", name, cmp.Or(didYouMean("-", name, names), ": -help lists the options"))
}

// isSwitch reports whether a flag is true without a value.
func isSwitch(f *flag.Flag) bool {
	toggle, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && toggle.IsBoolFlag()
}

func isBool(arg string) bool { return arg == "true" || arg == "false" }

// switchWithValue returns the error of a value that follows a switch as an argument of its own.
func switchWithValue(args []string, i int) error {
	return fmt.Errorf("%s takes its value after =: write %s=%s", args[i-1], args[i-1], args[i])
}

// meaning is the same for all names of a flag. NATS defines each alias as a flag with the same usage line.
func meaning(f *flag.Flag) string {
	name := strings.TrimPrefix(f.Name, hiddenPrefix)
	for _, it := range settings {
		if slices.Contains(it.flags, name) {
			return it.name()
		}
	}
	return f.Usage
}

// Commands are the names of the subcommands, sorted.
var Commands = []string{"backup", "healthcheck", "import", "migrate", "token", "verify"}

// unexpected returns the error of an argument that is neither a flag nor the value of one.
func unexpected(args []string, i int) error {
	arg := args[i]
	names := Commands
	switch {
	case slices.Contains(Commands, arg):
		return fmt.Errorf("%s must come first: nats-streaming-server %s [options]", arg, arg)
	case i == 0 && nearest(arg, names) != "":
		return fmt.Errorf("unknown command %q%s", arg, didYouMean("", arg, names))
	case i > 0 && isBool(arg):
		return switchWithValue(args, i)
	case i == 0:
		return fmt.Errorf("unknown command %q: must be one of %s, or an option such as -store", arg, strings.Join(names, ", "))
	}
	return fmt.Errorf("unexpected argument %q after %s: put a value that has spaces in quotes, and - before the name of an option", arg, args[i-1])
}

// hiddenPrefix begins the names under which NATS sees some of our flags.
const hiddenPrefix = "streaming_"

// hidden returns the name under which NATS sees one of our flags. NATS treats every flag that starts with tls as its own, and
// refuses tls_client_* unless the server's TLS flags are set.
func hidden(name string) string {
	if strings.HasPrefix(name, "tls_client_") {
		return hiddenPrefix + name
	}
	return name
}

// hideFlags returns the arguments with the tls_client_* flags renamed to their hidden names.
func hideFlags(args []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") || hidden(name) == name {
			continue
		}
		out[i] = "-" + hidden(name)
		if hasValue {
			out[i] += "=" + value
		}
	}
	return out
}
