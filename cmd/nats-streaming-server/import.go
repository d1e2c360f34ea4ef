package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

var importCommand = command{
	usage: `Usage: nats-streaming-server import -from_dir <directory> [options of the server]

Imports a FILE store of NATS Streaming 0.25.6 into the database that the options of the server name: by
default -store FILE in ./data, which may be the same directory. Stop the servers on both first. You can
interrupt the import and run it again.

    -from_dir <directory>                        Directory of the FILE store
    -file_crc=false                              The records have no checksums
    -file_crc_poly <n>                           Polynomial of the checksums
    -file_truncate_bad_eof                       Remove an incomplete record at the end of a file
    -encrypt, -encryption_key <key>              The FILE store is encrypted; prefer NATS_STREAMING_ENCRYPTION_KEY for the key
    -encryption_cipher <cipher>                  AES or CHACHA
    -report <n>                                  How many invalid events to list per channel (default 10)
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
		rest, err := settings.Split(fs, args)
		if err != nil {
			return err
		}
		if m.Dir == "" {
			return errors.New("-from_dir is missing: name the directory of the FILE store")
		}
		if v := os.Getenv(settings.EncryptionKeyVariable); v != "" {
			*key = v
			// settings.Load refuses the variable, because the server does not support encryption.
			if err := os.Unsetenv(settings.EncryptionKeyVariable); err != nil {
				return err
			}
		}
		if *encrypted && *key == "" {
			return errors.New("-encrypt needs the key: set " + settings.EncryptionKeyVariable + " or -encryption_key")
		}
		m.Files.NoCRC, m.Files.Key = !*crc, []byte(*key)
		o, err := database(rest)
		if err != nil {
			return err
		}
		return importInto(ctx, o, m)
	},
}

func importInto(ctx context.Context, o settings.Options, m offline.ImportOptions) error {
	if o.StoreType != config.StoreFile {
		return offline.Import(ctx, o.Options, m)
	}
	if inside(m.Dir, o.Dir) {
		return fmt.Errorf("-dir %s is inside of -from_dir %s, whose directories are channels: use -from_dir itself or a directory outside of it", o.Dir, m.Dir)
	}
	final := o.Store.Source
	if _, err := os.Stat(final); err == nil {
		return fmt.Errorf("-dir %s already contains a database: import into an empty directory", o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	o.Store.Source += settings.Importing
	if err := offline.Import(ctx, o.Options, m); err != nil {
		return err
	}
	return os.Rename(o.Store.Source, final)
}

// inside reports whether dir is a directory below parent.
func inside(parent, dir string) bool {
	a, errA := filepath.Abs(parent)
	b, errB := filepath.Abs(dir)
	if errA != nil || errB != nil {
		return false
	}
	rel, err := filepath.Rel(a, b)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
