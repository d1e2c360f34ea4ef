package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Check returns everything that would keep a server with the options from starting, as one error that joins all, and what an
// operator should know beside. It changes nothing: it asks the questions of a start, by the same functions, but neither listens nor
// migrates. A port that is in use is a warning, since this server or its predecessor may be running. An expired certificate is an
// error, though a server starts with it: no client would accept it.
func Check(ctx context.Context, o config.Options) (warnings []string, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if w := o.Access.Warning(); w != "" {
		warnings = append(warnings, w)
	}
	where := monitor.TakePort(o.NATS)
	busy, portErr := checkPorts(&o, where)
	database, databaseErr := checkDatabase(ctx, &o)
	if database != nil && database.Version > database.Needed {
		warnings = append(warnings, fmt.Sprintf("the schema of the database is newer than this server, and has everything that it needs: version %d, known %d", database.Version, database.Needed))
	}
	natsErr := checkNATS(ctx, &o, database)
	var keysErr error
	if !o.Keys.IsZero() {
		keysErr = keys.Check(ctx, o.KeyOptions())
	}
	return append(warnings, busy...), errors.Join(keysErr, checkFiles(&o), expired(&o), where.Validate(o.NATS.TLSConfig), portErr, natsErr, databaseErr)
}

// checkFiles asks for the files and directories that a start needs.
func checkFiles(o *config.Options) error {
	errs := []error{checkPublishDir(o.PublishDir), o.CheckAPI()}
	if o.StoreType == config.StoreFile {
		dir := filepath.Dir(o.Store.Source)
		if err := tryDirectory(existing(dir)); err != nil {
			errs = append(errs, fmt.Errorf("data directory: %w: let this user write there, or name another with -dir", err))
		}
	}
	if o.NATSURL == "" && o.NATS.JetStream {
		if err := tryDirectory(existing(filepath.Join(o.NATS.StoreDir, natsd.JetStreamStoreDir))); err != nil {
			errs = append(errs, fmt.Errorf("JetStream directory: %w: let this user write there, or name another with store_dir", err))
		}
	}
	if err := tryLog(o.NATS.LogFile); err != nil {
		errs = append(errs, fmt.Errorf("log file %s: %w: create the directory, or name another file with -log that this user may write", o.NATS.LogFile, err))
	}
	return errors.Join(errs...)
}

// tryLog fails if the log could not be appended to the file. Only a file that does not exist needs a directory that can be written:
// neither /dev/stderr nor what an administrator created in /var/log has one.
func tryLog(name string) error {
	if name == "" {
		return nil
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return tryDirectory(filepath.Dir(name))
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// tryDirectory fails if no file can be created in the directory.
func tryDirectory(dir string) error {
	file, err := os.CreateTemp(dir, "nats-streaming-server-start-")
	if err == nil {
		err = errors.Join(file.Close(), os.Remove(file.Name()))
	}
	var at *fs.PathError
	if errors.As(err, &at) { // its file means nothing to an operator
		return &fs.PathError{Op: "create a file in", Path: cmp.Or(dir, os.TempDir()), Err: at.Err}
	}
	return err
}

// existing returns the directory, or the nearest one above it that exists: a start would create the others.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// checkPublishDir fails if messages could not wait in files of the directory, which is otherwise first needed under load.
func checkPublishDir(dir string) error {
	if err := tryDirectory(dir); err != nil {
		return fmt.Errorf("directory for messages that wait: %w: create it or let this user write it, or name another with -publish_dir", err)
	}
	return nil
}

// checkDatabase asks for the database, its schema and rights, and whose it is. It returns nil for one that a start would create.
func checkDatabase(ctx context.Context, o *config.Options) (*stores.Inspection, error) {
	if o.StoreType == config.StoreMemory {
		return nil, nil
	}
	if o.StoreType == config.StoreFile {
		if _, err := os.Stat(o.Store.Source); errors.Is(err, os.ErrNotExist) {
			return nil, nil // checkFiles asks for its directory
		}
	}
	i, err := stores.Check(ctx, o.Store)
	if err != nil || i == nil {
		return nil, err
	}
	defer i.Close() //nolint:errcheck // nothing was written
	return i, identify(o.ClusterID, i.Server, i.Importing, i.Moved, len(i.Channels))
}

// identify returns an error if a database is not this server's to serve.
func identify(clusterID string, info, importing, moved *spb.ServerInfo, channels int) error {
	switch {
	case moved != nil:
		return offline.ErrMoved
	case importing != nil:
		return offline.ErrImporting
	case info == nil && channels > 0:
		return fmt.Errorf("recover the state: table ServerInfo has no row, though there are %d channels: without it their subscriptions would be lost", channels)
	case info != nil && info.ClusterID != clusterID:
		return fmt.Errorf("cluster ID %q does not match recovered value of %q: set cluster_id to that, or name another database", clusterID, info.ClusterID)
	}
	return nil
}

// checkNATS logs in to NATS, to the embedded server or to external ones. database may be nil.
func checkNATS(ctx context.Context, o *config.Options, database *stores.Inspection) error {
	log := slog.New(slog.DiscardHandler)
	var ns *natsd.Server
	to := o.NATSOptions()
	to.Embedded = o.NATS.Clone() // a trial changes its options
	if o.NATSURL == "" {
		var err error
		if ns, err = natsconn.StartTrial(to); err != nil {
			return err
		}
		defer func() {
			ns.Shutdown()
			ns.WaitForShutdown()
		}()
	}
	conns, err := natsconn.Connect(to, ns, log)
	if err != nil {
		return err
	}
	defer conns.Close()
	errs := []error{stan.CheckRights(o.DiscoverPrefix, o.ClusterID, conns.General)}
	if database != nil {
		errs = append(errs, checkPayload(conns.Send.MaxPayload(), database.ValueLimit, log))
	} else if ns == nil { // beside a database, the server that answers may be the one that holds its lease
		errs = append(errs, stan.EnsureAlone(ctx, o.DiscoverPrefix, o.ClusterID, conns.General))
	}
	return errors.Join(errs...)
}
