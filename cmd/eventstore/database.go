package main

import (
	"cmp"
	"os"

	"github.com/spf13/pflag"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
)

// databaseFlags name a database, beside the one of --dsn: --PREFIX-dsn, --PREFIX-driver and --PREFIX-config.
type databaseFlags struct {
	prefix   string // of the flags
	variable string // prefix of the variables
	offlineFlags
}

func (f *databaseFlags) register(flags *pflag.FlagSet, what string) {
	flags.StringVar(&f.dsn, f.prefix+"-dsn", "", what+": a data source name, or the file of an SQLite database ("+f.variable+"DSN)")
	flags.StringVar(&f.driver, f.prefix+"-driver", "", "its driver: postgres, mysql (MariaDB, too) or sqlite; guessed if it is absent ("+f.variable+"DRIVER)")
	flags.StringVar(&f.config, f.prefix+"-config", "", "or the configuration file of the server, which names the database")
}

// complete takes what is open from the environment.
func (f *databaseFlags) complete() (err error) {
	if f.dsn == "" && f.config == "" {
		f.dsn = os.Getenv(f.variable + "DSN")
	}
	f.driver = cmp.Or(f.driver, os.Getenv(f.variable+"DRIVER"))
	switch {
	case f.dsn != "" && f.config != "":
		return usage("--%s-dsn and --%s-config exclude each other", f.prefix, f.prefix)
	case f.dsn != "" && f.driver == "":
		f.driver, err = driverOf(f.dsn)
	}
	return err
}

// options returns the options of a server on the database. channels are the patterns of its event channels, nil for those of its
// configuration.
func (f *databaseFlags) options(channels []string) (settings.Options, error) {
	flags := f.offlineFlags
	flags.eventChannels = channels
	return flags.options()
}
