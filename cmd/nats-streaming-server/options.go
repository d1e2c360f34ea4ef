package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

// options are the settings of the command line and the configuration file. Both go through the same table of settings;
// flags take precedence.
type options struct {
	config.Options
	dir           string
	streamingFile string // from -sc

	secrets map[string]bool // those given in the place that is being read: whether by a file

	block *eventlog.EventBlock // the element of Events that the configuration file sets; nil for flags
	route *config.Route        // the element of Routes that the configuration file sets
	index int                  // of that element
}

// databaseFile is the name of the SQLite database in the directory of a FILE store.
const databaseFile = "eventstore.db"

// errChecked ends a run with -t whose configuration is valid.
var errChecked = errors.New("the configuration is valid")

// configure returns the options of the command line and of the files that it names. It returns flag.ErrHelp after it
// printed the help or the version.
func configure(args []string) (config.Options, error) {
	o, err := load(args)
	if err != nil {
		return o.Options, err
	}
	return o.Options, o.prepareStore()
}

// load is configure without preparing the store.
func load(args []string) (options, error) {
	o, err := read(args)
	return o, redacted(err)
}

func read(args []string) (options, error) {
	o := options{Options: config.DefaultOptions(), dir: "data"}
	line, streamingFile, err := parseFiles(args)
	switch {
	case line.printed:
		return o, flag.ErrHelp
	case err != nil:
		return o, err
	}
	o.NATS = line.nats
	if streamingFile != "" {
		if err := o.readFile(streamingFile); err != nil {
			return o, err
		}
	}
	if err := o.applyEnvironment(); err != nil {
		return o, err
	}
	for _, it := range settings {
		if len(it.flags) == 0 {
			continue
		}
		if f, ok := line.given[it.flags[0]]; ok {
			if err := it.apply(&o, "-"+f.name, f.value, ""); err != nil {
				return o, fmt.Errorf("flag -%s: %w", f.name, err)
			}
		}
	}
	if os.Getenv(encryptionKeyVariable) != "" {
		return o, fmt.Errorf("environment variable %s: not supported: %s", encryptionKeyVariable, noEncryption)
	}
	if o.NATSURL == "" && o.Login.TLS != (natsconn.LoginTLS{}) {
		o.Notices = append(o.Notices, "secure and tls have no effect: connections to the embedded NATS server are in-process")
	}
	if err := o.resolveStore(); err != nil {
		return o, err
	}
	o.resolveJetStream()
	if o.AccessFile != "" {
		if o.Access, err = access.Load(o.AccessFile); err != nil {
			return o, err
		}
	}
	if err := o.Validate(); err != nil {
		return o, err
	}
	if o.NATS.CheckConfig {
		return o, errChecked
	}
	return o, nil
}

// parseFiles returns the command line with NATS' configuration file, and the name of the file of the streaming part, if any.
func parseFiles(args []string) (line commandLine, streamingFile string, err error) {
	line, err = parse(args)
	streamingFile = line.given[streamingFileFlag].value
	if streamingFile != "" && line.natsFile == "" && !line.printed {
		// Without -c, the file of -sc also configures NATS.
		line, err = parse(append([]string{"-c", streamingFile}, args...))
	}
	return line, cmp.Or(streamingFile, line.natsFile), err
}

// commandLine is a parsed command line.
type commandLine struct {
	nats     *natsd.Options       // NATS' own options and those of its configuration file
	natsFile string               // name of that file
	given    map[string]givenFlag // our flags, by their first names
	printed  bool                 // help or version was printed
}

// givenFlag is a flag on the command line. If one is repeated, also under an alias, the last one counts.
type givenFlag struct{ name, value string }

// streamingFileFlag is the first name of the flag that names the configuration file of the streaming part.
const streamingFileFlag = "sc"

func parse(args []string) (commandLine, error) {
	c := commandLine{given: make(map[string]givenFlag)}
	fs := flag.NewFlagSet("nats-streaming-server", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, on one line
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
	printing := func(f func()) func() {
		return func() {
			f()
			c.printed = true
		}
	}
	natsd.NoErrOnUnknownFields(true) // NATS shares the configuration file with the streaming part
	var err error
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
	return c, err
}

// hidden returns the name under which NATS sees one of our flags. NATS treats every flag that starts with tls as its own, and
// refuses tls_client_* unless the server's TLS flags are set.
func hidden(name string) string {
	if strings.HasPrefix(name, "tls") {
		return "streaming_" + name
	}
	return name
}

// hideFlags returns the arguments with the tls_client_* flags renamed to their hidden names.
func hideFlags(args []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") || !strings.HasPrefix(name, "tls_client_") {
			continue
		}
		out[i] = "-" + hidden(name)
		if hasValue {
			out[i] += "=" + value
		}
	}
	return out
}

// resolveStore sets the driver and the data source from the kind of store. The default is SQLite in ./data.
func (o *options) resolveStore() error {
	sql := o.Store.Driver != "" || o.Store.Source != ""
	kind := strings.ToUpper(o.StoreType)
	if kind == "" {
		if kind = config.StoreFile; sql {
			kind = config.StoreSQL
		}
	}
	if kind != config.StoreSQL && sql {
		return fmt.Errorf("-sql_driver and -sql_source need -store SQL, not %s", kind)
	}
	switch kind {
	case config.StoreMemory:
		o.Store.Driver, o.Store.Source = "sqlite", ":memory:"
	case config.StoreFile:
		o.Store.Driver, o.Store.Source = "sqlite", filepath.Join(o.dir, databaseFile)
	case config.StoreSQL:
		if o.Store.Driver == "" {
			return errors.New("-store SQL needs -sql_driver postgres, mysql or sqlite")
		}
		if o.Store.Source == "" {
			return errors.New("-store SQL needs the data source name of the database: -sql_source_file, NATS_STREAMING_SQL_SOURCE or -sql_source")
		}
	default:
		return fmt.Errorf("-store %s: must be MEMORY, FILE or SQL", o.StoreType)
	}
	o.StoreType = kind
	return nil
}

// resolveJetStream places the streams of the embedded JetStream in -dir unless the configuration says where. NATS' default
// is a temporary directory.
func (o *options) resolveJetStream() {
	switch {
	case !o.NATS.JetStream:
	case o.NATSURL != "":
		o.Notices = append(o.Notices, "jetstream has no effect: enable it on the external NATS servers")
	case o.NATS.StoreDir == "":
		o.NATS.StoreDir = o.dir
	}
}

// prepareStore creates the directory of a FILE store.
func (o *options) prepareStore() error {
	if o.StoreType != config.StoreFile {
		return nil
	}
	if offline.HoldsFileStore(o.dir) && !exists(o.Store.Source) {
		return fmt.Errorf("-dir %s holds a NATS Streaming FILE store: import it with nats-streaming-server import -from_dir %s -dir %s, or name another directory",
			o.dir, o.dir, o.dir)
	}
	if exists(o.Store.Source+importing) && !exists(o.Store.Source) {
		return fmt.Errorf("-dir %s: an import into it was not finished: run nats-streaming-server import again", o.dir)
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w: let this user write there, or name another with -dir", err)
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
