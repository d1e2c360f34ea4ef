package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server"
)

// options are what the command line and the configuration file say. Both go through the same table of
// settings; flags win.
type options struct {
	server.Options
	store string // MEMORY, FILE or SQL; "" if not given
	dir   string
}

// databaseFile is the name of the SQLite database in the directory of a FILE store.
const databaseFile = "eventstore.db"

// configure turns the command line, and the file that it names, into options. flag.ErrHelp says that
// help or the version was asked for and printed.
func configure(args []string) (server.Options, error) {
	o := options{Options: server.DefaultOptions(), dir: "data"}
	fs := flag.NewFlagSet("nats-streaming-server", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // an error is one line, which the caller prints
	given := make(map[*setting]string)
	for i := range settings {
		it := &settings[i]
		note := func(v string) error {
			given[it] = v
			return nil
		}
		for _, name := range it.flags {
			if it.value == "" {
				fs.BoolFunc(name, it.usage, note)
			} else {
				fs.Func(name, it.usage, note)
			}
		}
	}
	printed := false
	print := func(f func(io.Writer)) func() {
		return func() {
			f(os.Stdout)
			printed = true
		}
	}
	natsd.NoErrOnUnknownFields(true) // the configuration file is shared: what NATS does not know is ours
	nopts, err := natsd.ConfigureOptions(fs, args, print(printVersion), print(printUsage), natsd.PrintTLSHelpAndDie)
	switch {
	case printed:
		return o.Options, flag.ErrHelp
	case err != nil:
		return o.Options, err
	}
	o.NATS = nopts
	if nopts.ConfigFile != "" {
		if err := o.readFile(nopts.ConfigFile); err != nil {
			return o.Options, err
		}
	}
	for i := range settings {
		it := &settings[i]
		if v, ok := given[it]; ok {
			if err := it.set(&o, v); err != nil {
				return o.Options, fmt.Errorf("flag -%s: %w", it.flags[0], err)
			}
		}
	}
	if err := o.resolveStore(); err != nil {
		return o.Options, err
	}
	return o.Options, o.Validate()
}

// resolveStore turns the kind of store into a driver and its source. Without any setting the store is SQLite
// in ./data.
func (o *options) resolveStore() error {
	sql := o.Store.Driver != "" || o.Store.Source != ""
	kind := strings.ToUpper(o.store)
	if kind == "" {
		if kind = "FILE"; sql {
			kind = "SQL"
		}
	}
	if kind != "SQL" && sql {
		return fmt.Errorf("-sql_driver and -sql_source need -store SQL, not %s", kind)
	}
	switch kind {
	case "MEMORY":
		o.Store.Driver, o.Store.Source = "sqlite", ":memory:"
	case "FILE":
		if err := os.MkdirAll(o.dir, 0o750); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		o.Store.Driver, o.Store.Source = "sqlite", filepath.Join(o.dir, databaseFile)
	case "SQL":
		if o.Store.Driver == "" {
			return errors.New("-store SQL needs -sql_driver postgres, mysql or sqlite")
		}
		if o.Store.Source == "" {
			return errors.New("-store SQL needs -sql_source, the data source name of the database")
		}
	default:
		return fmt.Errorf("-store %s: must be MEMORY, FILE or SQL", o.store)
	}
	return nil
}

func printVersion(w io.Writer) {
	fmt.Fprintf(w, "nats-streaming-server version %s, nats-server: v%s\n", server.Version, natsd.VERSION)
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "Usage: nats-streaming-server [options]\n\nWithout options: embedded SQLite in ./data, NATS on port 4222.\n\nStreaming options:\n")
	for _, it := range settings {
		names := make([]string, len(it.flags))
		for i, n := range it.flags {
			names[i] = "-" + n
		}
		fmt.Fprintf(w, "    %-44s %s\n", strings.Join(names, ", ")+" "+it.value, it.usage)
	}
	fmt.Fprint(w, `
NATS options (all those of nats-server are accepted), among them:
    -a, -addr <host>                             Address to listen on (default 0.0.0.0)
    -p, -port <port>                             Port for clients (default 4222; -1: any free one)
    -m, -http_port <port>                        Port for HTTP monitoring
    -c, -config <file>                           Configuration file of NATS and of the streaming block
    -l, -log <file>                              Log file (default: standard error)
    -D, -V, -DV                                  Debug and trace output of NATS
    -user, -pass, -auth, -tls...                 Authorization and TLS
    -h, -help                                    This text
    -v, -version                                 Version
`)
}
