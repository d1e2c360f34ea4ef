package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

var importCommand = command{
	usage: `Usage: nats-streaming-server import -from_dir <directory> [options of the server]

Brings the FILE store of NATS Streaming 0.25.6 in a directory into the database that the options of the
server name: by default -store FILE in ./data, which may be the same directory. No server may run on
either. It can be interrupted, and run again.

    -from_dir <directory>                        The FILE store
    -file_crc=false                              Its records have no checksums
    -file_crc_poly <n>                           Polynomial of its checksums
    -file_truncate_bad_eof                       Remove a record that was never written in full
    -encrypt, -encryption_key <key>              It is encrypted; the key is better given in NATS_STREAMING_ENCRYPTION_KEY
    -encryption_cipher <cipher>                  AES or CHACHA
    -report <n>                                  How many messages that are no valid events are named, per channel (default 10)
`,
	run: func(ctx context.Context, name string, args []string) error {
		m := offline.ImportOptions{Out: os.Stdout}
		fs := flag.NewFlagSet(name, flag.ContinueOnError)
		fs.StringVar(&m.Dir, "from_dir", "", "")
		crc := fs.Bool("file_crc", true, "")
		fs.Int64Var(&m.Files.CRCPoly, "file_crc_poly", 0, "")
		fs.BoolVar(&m.Files.TruncateBadEOF, "file_truncate_bad_eof", false, "")
		encrypted := fs.Bool("encrypt", false, "")
		fs.StringVar(&m.Files.Cipher, "encryption_cipher", "", "")
		key := fs.String("encryption_key", "", "")
		fs.IntVar(&m.Report, "report", defaultReport, "")
		rest, err := split(fs, args)
		if err != nil {
			return err
		}
		if m.Dir == "" {
			return errors.New("-from_dir is missing: the directory of the FILE store")
		}
		if v := os.Getenv(encryptionKeyVariable); v != "" {
			*key = v
			// To the server the variable is a mistake.
			if err := os.Unsetenv(encryptionKeyVariable); err != nil {
				return err
			}
		}
		if *encrypted && *key == "" {
			return errors.New("-encrypt needs the key, in " + encryptionKeyVariable + " or -encryption_key")
		}
		m.Files.NoCRC, m.Files.Key = !*crc, []byte(*key)
		o, err := database(rest)
		if err != nil {
			return err
		}
		return importInto(ctx, o, m)
	},
}

// importing is added to the name of the database of a FILE store while it is imported: the server takes a database in the
// directory of a former store for a complete one.
const importing = ".importing"

func importInto(ctx context.Context, o options, m offline.ImportOptions) error {
	if o.store != storeFile {
		return offline.Import(ctx, o.Options, m)
	}
	if inside(m.Dir, o.dir) {
		return fmt.Errorf("-dir %s: is inside of -from_dir %s, whose directories are channels: name that itself, or another one", o.dir, m.Dir)
	}
	final := o.Store.Source
	if exists(final) {
		return fmt.Errorf("there is a database in %s already: import into an empty directory", o.dir)
	}
	if err := os.MkdirAll(o.dir, 0o750); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	o.Store.Source += importing
	if err := offline.Import(ctx, o.Options, m); err != nil {
		return err
	}
	return os.Rename(o.Store.Source, final)
}

// inside reports whether dir is a directory below another one.
func inside(other, dir string) bool {
	a, errA := filepath.Abs(other)
	b, errB := filepath.Abs(dir)
	if errA != nil || errB != nil {
		return false
	}
	way, err := filepath.Rel(a, b)
	return err == nil && way != "." && way != ".." && !strings.HasPrefix(way, ".."+string(filepath.Separator))
}
