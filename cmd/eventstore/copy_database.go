package main

import (
	"context"

	"github.com/spf13/pflag"
)

// copyDatabase copies a database of this server.
type copyDatabase struct{ from databaseFlags }

func (c *copyDatabase) register(flags *pflag.FlagSet) {
	c.from = databaseFlags{prefix: "from", variable: "EVENTSTORE_FROM_"}
	c.from.register(flags, "the database to copy from")
}

func (c *copyDatabase) complete() error { return c.from.complete() }
func (c *copyDatabase) given() bool     { return c.from.given() }
func (*copyDatabase) name() string      { return "--from-dsn" }

func (c *copyDatabase) copy(ctx context.Context, o *copyOptions) error {
	return usage("--from-dsn is not supported yet")
}
