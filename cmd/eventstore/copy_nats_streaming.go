package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

// copyNATSStreaming copies a NATS Streaming 0.25.6, which may be working.
type copyNATSStreaming struct {
	url, cluster, creds, ca string
	monitor                 []string
	left                    offline.Left
	noCRC                   bool

	database *copyDatabase // --from-dsn, which can also name the database of a NATS Streaming
	sql      databaseFlags
}

func (c *copyNATSStreaming) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.url, "from-nats", "", "the NATS URL of a working NATS Streaming 0.25.6, or those of its cluster, separated by commas")
	flags.StringVar(&c.cluster, "from-cluster", "", "its cluster ID (default: what its monitoring tells)")
	flags.StringSliceVar(&c.monitor, "from-monitor", nil, "the URL of its monitoring (-m), such as http://host:8222; of a cluster, those of all nodes")
	flags.StringVar(&c.creds, "from-creds", "", "a file of NATS credentials for it")
	flags.StringVar(&c.ca, "from-ca", "", "a file of the authority that signed its certificate")
	flags.StringArrayVar(&c.left.Dirs, "from-dir", nil, "the directory of its FILE store, which is read once it has stopped; of a Raft cluster those of several nodes, a flag for each")
	flags.StringArrayVar(&c.left.Logs, "from-log", nil, "the directory of the Raft log (-cluster_log_path) of each node of --from-dir, in the same order")
	flags.BoolVar(&c.noCRC, "from-no-crc", false, "the FILE store has no checksums (file_crc: false)")
	flags.Int64Var(&c.left.Files.CRCPoly, "from-crc-poly", 0, "the polynomial of its checksums (file_crc_poly)")
	flags.BoolVar(&c.left.Files.TruncateBadEOF, "from-truncate-bad-eof", false, "remove an incomplete record at the end of a file, which a crash may have left")
	flags.StringVar(&c.left.Files.Cipher, "from-cipher", "", "AES or CHACHA, if it is encrypted; the key is in "+settings.EncryptionKeyVariable)
}

func (c *copyNATSStreaming) complete() error {
	c.left.Files.NoCRC = c.noCRC
	if err := c.database.complete(); err != nil {
		return err
	}
	switch {
	case c.url == "" && (c.cluster != "" || len(c.monitor) > 0 || c.creds != "" || c.ca != ""):
		return usage("--from-cluster, --from-monitor, --from-creds and --from-ca belong to --from-nats")
	case len(c.left.Logs) > 0 && len(c.left.Logs) != len(c.left.Dirs):
		return usage("each --from-log belongs to a --from-dir: name both for each node")
	case c.url == "":
		return nil
	case len(c.monitor) == 0:
		return usage("--from-nats needs --from-monitor, which tells the channels: start NATS Streaming with -m, and name it as http://host:8222")
	case len(c.left.Dirs) > 0 && c.database.given():
		return usage("--from-dir and --from-dsn exclude each other: name where the old server keeps its store")
	}
	if c.database.given() { // it belongs to the server of --from-nats
		c.sql, c.database.from = c.database.from, databaseFlags{prefix: c.database.from.prefix}
	}
	return nil
}

func (c *copyNATSStreaming) given() bool { return c.url != "" || len(c.left.Dirs) > 0 }

func (c *copyNATSStreaming) name() string {
	if c.url != "" {
		return "--from-nats"
	}
	return "--from-dir"
}

func (c *copyNATSStreaming) copy(ctx context.Context, o *copyOptions) error {
	if c.sql.given() {
		from, err := c.sql.options(nil)
		if err != nil {
			return err
		}
		c.left.SQL = &from.Store
	}
	if len(o.patterns) > 0 {
		return usage("channels of NATS Streaming cannot be chosen: its clients and its positions belong together, and all move")
	}
	if key := os.Getenv(settings.EncryptionKeyVariable); key != "" {
		c.left.Files.Key = []byte(key)
		// settings.Load refuses the variable, because the server does not support encryption.
		if err := os.Unsetenv(settings.EncryptionKeyVariable); err != nil {
			return err
		}
	}
	into, err := o.to.options(o.t.flags.offline.eventChannels)
	if err != nil {
		return err
	}
	move := offline.MoveOptions{Left: c.left, Follow: o.follow, Report: 10, Out: o.t.err}
	if c.url != "" {
		if move.Serving, err = c.serving(); err != nil {
			return err
		}
	}
	err = settings.Redacted(offline.Move(ctx, into.Options, move))
	if errors.Is(err, offline.ErrMoreToCome) {
		o.t.note("%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(o.t.out, "Complete. Start the server on the old address, with your flags and your configuration, and with %s\n", startWith(o))
	return nil
}

func (c *copyNATSStreaming) serving() (*offline.Serving, error) {
	s := &offline.Serving{URL: c.url, Cluster: c.cluster, Monitor: c.monitor}
	for i, at := range s.Monitor {
		if !strings.Contains(at, "://") {
			s.Monitor[i] = "http://" + at
		}
	}
	if c.creds != "" {
		if _, err := os.Stat(c.creds); err != nil {
			return nil, err
		}
		s.Options = append(s.Options, nats.UserCredentials(c.creds))
	}
	if c.ca != "" {
		s.Options = append(s.Options, nats.RootCAs(c.ca))
	}
	return s, nil
}

// startWith returns the flags of a server on the target.
func startWith(o *copyOptions) string {
	if o.to.config != "" {
		return "-c " + o.to.config
	}
	return "-store SQL -sql_driver " + o.to.driver + " -sql_source as in --to-dsn"
}
