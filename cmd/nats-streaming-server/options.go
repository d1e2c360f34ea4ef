package main

import (
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

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

// options are what the command line and the configuration file say. Both go through the same table of
// settings; flags win.
type options struct {
	config.Options
	store         string // MEMORY, FILE or SQL; "" if not given
	dir           string
	streamingFile string // of -sc

	block *eventlog.EventBlock // one of Events, while the configuration file's is read; nil when flags are
	route *config.Route        // one of Routes, while the configuration file is read
}

// databaseFile is the name of the SQLite database in the directory of a FILE store.
const databaseFile = "eventstore.db"

// errChecked says that the configuration is right, and that no more was asked for.
var errChecked = errors.New("the configuration is valid")

// configure turns the command line, and the files that it names, into options. flag.ErrHelp says that
// help or the version was asked for and printed.
func configure(args []string) (config.Options, error) {
	o, err := load(args)
	if err != nil {
		return o.Options, err
	}
	return o.Options, o.prepareStore()
}

// load is configure without anything done to the store.
func load(args []string) (options, error) {
	o := options{Options: config.DefaultOptions(), dir: "data"}
	line, err := parse(args)
	streamingFile := line.given[streamingFileFlag].value
	if streamingFile != "" && line.natsFile == "" && !line.printed {
		// One file serves both parts.
		line, err = parse(append([]string{"-c", streamingFile}, args...))
	}
	switch {
	case line.printed:
		return o, flag.ErrHelp
	case err != nil:
		return o, err
	}
	o.NATS = line.nats
	if streamingFile == "" {
		streamingFile = line.natsFile
	}
	if streamingFile != "" {
		if err := o.readFile(streamingFile); err != nil {
			return o, err
		}
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
		o.Notices = append(o.Notices, "secure and tls have no effect: the connections to the embedded NATS server are made in the process")
	}
	if err := o.resolveStore(); err != nil {
		return o, err
	}
	o.resolveJetStream()
	if err := o.Validate(); err != nil {
		return o, err
	}
	if o.NATS.CheckConfig {
		return o, errChecked
	}
	return o, nil
}

// commandLine is a parsed command line.
type commandLine struct {
	nats     *natsd.Options       // NATS' own options and those of its configuration file
	natsFile string               // the latter's name
	given    map[string]givenFlag // our flags, by the first of their names
	printed  bool                 // help or version was asked for
}

// givenFlag is a flag on the command line; of several with the same meaning the last one counts.
type givenFlag struct{ name, value string }

// streamingFileFlag is the first name of the flag that names the configuration file of the streaming part.
const streamingFileFlag = "sc"

func parse(args []string) (commandLine, error) {
	c := commandLine{given: make(map[string]givenFlag)}
	fs := flag.NewFlagSet("nats-streaming-server", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // an error is one line, which the caller prints
	for _, it := range settings {
		for _, name := range it.flags {
			note := func(v string) error {
				c.given[it.flags[0]] = givenFlag{name, v}
				return nil
			}
			if it.kind == toggle {
				fs.BoolFunc(hidden(name), it.usage, note)
			} else {
				fs.Func(hidden(name), it.usage, note)
			}
		}
	}
	print := func(f func()) func() {
		return func() {
			f()
			c.printed = true
		}
	}
	natsd.NoErrOnUnknownFields(true) // the configuration file is shared: what NATS does not know is ours
	var err error
	c.nats, err = natsd.ConfigureOptions(fs, hideFlags(args),
		print(func() { printVersion(os.Stdout) }), print(func() { printUsage(os.Stdout, fs) }), natsd.PrintTLSHelpAndDie)
	if f := fs.Lookup("c"); f != nil {
		c.natsFile = f.Value.String()
	}
	if err != nil && c.natsFile != "" {
		// What is wrong with the syntax comes without the name of the file.
		if _, syntax := conf.ParseFile(c.natsFile); syntax != nil && syntax.Error() == err.Error() {
			err = fmt.Errorf("%s: %w", c.natsFile, err)
		}
	}
	return c, err
}

// hidden returns the name under which NATS sees one of our flags. It takes each that starts with tls for one of its
// server's, and refuses those of the client without them.
func hidden(name string) string {
	if strings.HasPrefix(name, "tls") {
		return "streaming_" + name
	}
	return name
}

// hideFlags returns the arguments with hidden names of flags.
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

// resolveStore turns the kind of store into a driver and its source. Without any setting the store is SQLite
// in ./data.
func (o *options) resolveStore() error {
	sql := o.Store.Driver != "" || o.Store.Source != ""
	kind := strings.ToUpper(o.store)
	if kind == "" {
		if kind = storeFile; sql {
			kind = storeSQL
		}
	}
	if kind != storeSQL && sql {
		return fmt.Errorf("-sql_driver and -sql_source need -store SQL, not %s", kind)
	}
	switch kind {
	case storeMemory:
		o.Store.Driver, o.Store.Source = "sqlite", ":memory:"
	case storeFile:
		o.Store.Driver, o.Store.Source = "sqlite", filepath.Join(o.dir, databaseFile)
	case storeSQL:
		if o.Store.Driver == "" {
			return errors.New("-store SQL needs -sql_driver postgres, mysql or sqlite")
		}
		if o.Store.Source == "" {
			return errors.New("-store SQL needs -sql_source, the data source name of the database")
		}
	default:
		return fmt.Errorf("-store %s: must be MEMORY, FILE or SQL", o.store)
	}
	o.store = kind
	return nil
}

// resolveJetStream keeps the streams of an embedded JetStream beside the data of a FILE store, unless the configuration says
// where. NATS would keep them in a temporary directory.
func (o *options) resolveJetStream() {
	switch {
	case !o.NATS.JetStream:
	case o.NATSURL != "":
		o.Notices = append(o.Notices, "jetstream has no effect: with external NATS servers it is theirs")
	case o.NATS.StoreDir == "":
		o.NATS.StoreDir = o.dir
	}
}

const (
	storeMemory = "MEMORY"
	storeFile   = "FILE"
	storeSQL    = "SQL"
)

// prepareStore creates the directory of a FILE store.
func (o *options) prepareStore() error {
	if o.store != storeFile {
		return nil
	}
	if offline.HoldsFileStore(o.dir) && !exists(o.Store.Source) {
		return fmt.Errorf("-dir %s: holds a NATS Streaming FILE store: bring it over with nats-streaming-server import -from_dir %s -dir %s, or name another directory",
			o.dir, o.dir, o.dir)
	}
	if exists(o.Store.Source+importing) && !exists(o.Store.Source) {
		return fmt.Errorf("-dir %s: an import into it was not finished: run nats-streaming-server import again", o.dir)
	}
	if err := os.MkdirAll(o.dir, 0o750); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
