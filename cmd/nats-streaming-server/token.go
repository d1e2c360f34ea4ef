package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/access"
)

var tokenCommand = command{
	usage: `Usage: nats-streaming-server token

Prints a new random token for a client of the API, and below it the line for the access file, which holds
only its hash.
`,
	run: func(_ context.Context, name string, args []string) error {
		rest, err := settings.Split(flag.NewFlagSet(name, flag.ContinueOnError), args)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return fmt.Errorf("unexpected option %s: token takes none", rest[0])
		}
		token, hash := access.NewToken()
		fmt.Printf("%s\ntokens: [%q]\n", token, hash)
		return nil
	},
}
