package settings

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
	"github.com/nats-eventstore/nats-eventstore/server/tracing"
)

// Options are the settings of the command line and the configuration file. Both go through the same table of settings;
// flags take precedence.
type Options struct {
	config.Options
	Dir           string // -dir
	streamingFile string // from -sc
	Check         bool   // -t: check the configuration, and start no server

	given map[string]string // where each option is set, by its name: "server.conf:7: key ..." or "flag -..."
	here  string            // place of the key that is being read, with ": "; "" outside of a file

	secrets map[string]bool // those given in the place that is being read: whether by a file

	block *eventlog.EventBlock      // the element of Events that the configuration file sets; nil for flags
	seal  *eventlog.EncryptedFields // the element of Encrypt of block that the configuration file sets
	route *config.Route             // the element of Routes that the configuration file sets
	rule  *consumers.Rule           // the element of Consumers that the configuration file sets
	index int                       // of that element
}

// Importing is a suffix of the database file during an import. The server treats a database without it as complete.
const Importing = ".importing"

// databaseFile is the name of the SQLite database in the directory of a FILE store.
const databaseFile = "eventstore.db"

func defaultOptions() Options {
	return Options{Options: config.DefaultOptions(), Dir: "data", given: make(map[string]string)}
}

// Configure returns the options of the command line and of the files that it names. It returns flag.ErrHelp after it
// printed the help or the version.
func Configure(args []string) (config.Options, error) {
	o, err := Load(args)
	if err != nil {
		return o.Options, err
	}
	return o.Options, o.PrepareStore()
}

// Load is Configure without preparing the store.
func Load(args []string) (Options, error) {
	o, err := read(args)
	return o, Redacted(err)
}

// read reports all errors that it can find, not only the first.
func read(args []string) (Options, error) {
	o := defaultOptions()
	line, streamingFile, err := parseFiles(args)
	switch {
	case line.printed:
		return o, flag.ErrHelp
	case err != nil && line.nats == nil && line.natsFile == "":
		return o, err
	}
	errs := []error{err}
	o.Check, o.Notices = line.check, line.repeated
	if line.nats != nil {
		o.NATS = line.nats
	}
	if streamingFile != "" {
		if in := o.readFile(streamingFile); err == nil || !sameError(err, in) {
			errs = append(errs, in)
		}
	}
	errs = append(errs, o.applyEnvironment())
	for _, it := range settings {
		if len(it.flags) == 0 {
			continue
		}
		if f, ok := line.given[it.flags[0]]; ok {
			if err := it.apply(&o, "-"+f.name, f.value, ""); err != nil {
				errs = append(errs, fmt.Errorf("flag -%s: %w", f.name, err))
			}
		}
	}
	if os.Getenv(EncryptionKeyVariable) != "" {
		errs = append(errs, fmt.Errorf("environment variable %s: not supported: %s", EncryptionKeyVariable, noEncryption))
	}
	errs = append(errs, o.resolveStore())
	o.resolveJetStream()
	if o.AccessFile != "" {
		var err error
		if o.Access, err = access.Load(o.AccessFile); err != nil {
			errs = append(errs, err)
		}
	}
	if o.ChainKeyFile != "" {
		var err error
		if o.ChainKey, err = readChainKey(o.ChainKeyFile); err != nil {
			errs = append(errs, err)
		}
	}
	o.Tracing, err = tracing.Environment()
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return o, err // what follows looks at options beside each other
	}
	o.noteIdle()
	return o, o.located(o.Validate())
}

// CheckSyntax returns the errors of arguments that cannot be read, and of a configuration file that cannot be parsed.
func CheckSyntax(args []string) error {
	_, _, err := parseFiles(args)
	return Redacted(err)
}

// parseFiles returns the command line with NATS' configuration file, and the name of the file of the streaming part, if any.
func parseFiles(args []string) (line commandLine, streamingFile string, err error) {
	line, err = parse(args)
	streamingFile = line.given[streamingFileFlag].value
	if streamingFile != "" && line.natsFile == "" && !line.printed && err == nil {
		// Without -c, the file of -sc also configures NATS.
		line, err = parse(append([]string{"-c", streamingFile}, args...))
	}
	return line, cmp.Or(streamingFile, line.natsFile), err
}

// located adds to the errors of options where these are set.
func (o *Options) located(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // what it wraps is looked at below
		var all []error
		for _, err := range joined.Unwrap() {
			all = append(all, o.located(err))
		}
		return errors.Join(all...)
	}
	var of *config.OptionError
	if errors.As(err, &of) && o.given[of.Option] != "" {
		where, known := strings.CutSuffix(o.given[of.Option], of.Option)
		if known && strings.HasPrefix(err.Error(), of.Option) { // whose name need not be said twice
			return fmt.Errorf("%s%w", where, err)
		}
		return fmt.Errorf("%s: %w", o.given[of.Option], err)
	}
	return err
}

// sameError reports whether NATS and the streaming part found the same fault in their common file.
func sameError(nats, ours error) bool {
	return errors.Unwrap(ours) != nil && strings.Contains(nats.Error(), errors.Unwrap(ours).Error())
}

// resolveStore sets the driver and the data source from the kind of store. The default is SQLite in ./data.
func (o *Options) resolveStore() error {
	sql := o.Store.Driver != "" || o.Store.Source != ""
	kind := strings.ToUpper(o.StoreType)
	if kind == "" {
		if kind = config.StoreFile; sql {
			kind = config.StoreSQL
		}
	}
	switch kind {
	case config.StoreMemory:
		o.Store.Driver, o.Store.Source = "sqlite", ":memory:"
	case config.StoreFile:
		o.Store.Driver, o.Store.Source = "sqlite", filepath.Join(o.Dir, databaseFile)
	case config.StoreSQL:
		if o.Store.Driver == "" {
			return errors.New("-store SQL needs -sql_driver postgres, mysql or sqlite, or sql { driver: ... } in the configuration file")
		}
		if o.Store.Source == "" {
			return errors.New("-store SQL needs the data source name of the database: -sql_source_file, NATS_STREAMING_SQL_SOURCE or -sql_source")
		}
	default:
		return fmt.Errorf("%s: %q must be FILE, MEMORY or SQL%s", o.given["store"], o.StoreType, storeHint(o.StoreType))
	}
	o.StoreType = kind
	return nil
}

// storeHint says what an unknown kind of store was probably meant to be.
func storeHint(kind string) string {
	if hint := didYouMean("", kind, []string{config.StoreFile, config.StoreMemory, config.StoreSQL}); hint != "" {
		return hint
	}
	driver := nearest(kind, []string{"postgres", "mysql", "sqlite", "postgresql", "mariadb"})
	switch driver {
	case "":
		return ""
	case "postgresql":
		driver = "postgres"
	case "mariadb":
		driver = "mysql"
	}
	return ": did you mean SQL, with sql_driver " + driver + "?"
}

// resolveJetStream places the streams of the embedded JetStream in -dir unless the configuration says where. NATS' default
// is a temporary directory.
func (o *Options) resolveJetStream() {
	switch {
	case !o.NATS.JetStream:
	case o.NATSURL != "":
		o.Notices = append(o.Notices, "jetstream has no effect: enable it on the external NATS servers")
	case o.NATS.StoreDir == "":
		o.NATS.StoreDir = o.Dir
	}
}

// PrepareStore creates the directory of a FILE store.
func (o *Options) PrepareStore() error {
	if err := o.CheckStore(); err != nil || o.StoreType != config.StoreFile {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w: let this user write there, or name another with -dir", err)
	}
	return nil
}

// CheckStore returns an error if the directory of a FILE store holds something else than a whole database.
func (o *Options) CheckStore() error {
	if o.StoreType != config.StoreFile || exists(o.Store.Source) {
		return nil
	}
	if offline.HoldsFileStore(o.Dir) {
		return fmt.Errorf("-dir %s holds a NATS Streaming FILE store: import it with nats-streaming-server import -from_dir %s -dir %s, or name another directory",
			o.Dir, o.Dir, o.Dir)
	}
	if exists(o.Store.Source + Importing) {
		return fmt.Errorf("-dir %s: an import into it was not finished: run nats-streaming-server import again", o.Dir)
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
