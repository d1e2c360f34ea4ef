package stores

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/nats-eventstore/nats-eventstore/sql"
)

// schemaVersions returns the version of the schema, and that of this program, which is the same or higher. With
// Options.NoMigrate it is the same.
func schemaVersions(ctx context.Context, d dialect, db *dbsql.DB, o Options) (version, needed int64, err error) {
	files, err := sql.Files(o.Driver)
	if err != nil {
		return 0, 0, err
	}
	needed = files[len(files)-1].Version
	version, err = d.version(ctx, db)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("read schema version: %w", err)
	case version > needed:
		return 0, 0, fmt.Errorf("%w: it is at version %d, this server knows %d", ErrTooNew, version, needed)
	case version < needed && o.NoMigrate:
		behind := &SchemaError{Version: version, Needed: needed}
		for _, file := range files {
			if file.Version > version {
				behind.Files = append(behind.Files, file.Path)
			}
		}
		return 0, 0, behind
	}
	return version, needed, nil
}

// migrateNew makes the schema of a database that has no lease yet, so that no server can be on it. Another one is migrated by
// who holds its lease.
func (s *Store) migrateNew(ctx context.Context) error {
	version, needed, err := schemaVersions(ctx, s.dialect, s.writer, s.options)
	if err != nil {
		return err
	}
	if version < needed {
		leased, err := s.hasLease(ctx)
		if err != nil {
			return err
		}
		if leased {
			s.log.Info("the schema of the database is older, and is migrated once this server has the lease", "version", version, "needed", needed)
			return nil
		}
		if err := migrate(ctx, s.dialect, s.writer, s.options, version, needed); err != nil {
			return err
		}
	}
	return s.prepareAll(ctx)
}

// hasLease says whether there is a row of StoreLock.
func (s *Store) hasLease(ctx context.Context) (bool, error) {
	table, err := s.dialect.hasTable(ctx, s.own, "StoreLock")
	if err != nil || !table {
		return false, err
	}
	found := false
	err = s.own.query(ctx, s.text.readLease, func(*dbsql.Rows) error {
		found = true
		return nil
	})
	return found, err
}

// migrateHeld brings the schema to the version of this program. The lease is held, and kept while that takes.
func (s *Store) migrateHeld(ctx context.Context) error {
	version, needed, err := schemaVersions(ctx, s.dialect, s.writer, s.options)
	if err != nil {
		return err
	}
	if version == needed && s.prepared != nil {
		return nil
	}
	if version < needed {
		if err := s.whileRenewing(ctx, func(ctx context.Context) error {
			return migrate(ctx, s.dialect, s.writer, s.options, version, needed)
		}); err != nil {
			return err
		}
	}
	if s.prepared == nil {
		if err := s.prepareAll(ctx); err != nil {
			return err
		}
	}
	return s.nextEpoch(ctx)
}

// migrationError tells a database that is unavailable from one that refuses what a migration wants.
func (s *Store) migrationError(ctx context.Context, err error) error {
	var behind *SchemaError
	if isOurs(err) || errors.Is(err, ErrTooNew) || errors.As(err, &behind) || s.definitionFailure(err) != failedUnavailable {
		return fmt.Errorf("recover: %w", oneLine(err))
	}
	return s.readError(ctx, fmt.Errorf("recover: %w", err))
}

// renewal is how often the lease is renewed while a migration runs.
const renewal = time.Second

// whileRenewing renews the lease until work is done, which ends when the lease is lost.
func (s *Store) whileRenewing(ctx context.Context, work func(context.Context) error) error {
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(renewal)
		defer tick.Stop()
		for {
			select {
			case <-working.Done():
				return
			case <-tick.C:
			}
			if err := s.RenewLease(working); errors.Is(err, ErrFenced) {
				stop(err)
				return
			}
		}
	})
	err := work(working)
	if cause := context.Cause(working); errors.Is(cause, ErrFenced) {
		err = cause
	}
	stop(nil)
	renewing.Wait()
	return err
}

// migrate brings the schema from a version to that of this program.
func migrate(ctx context.Context, d dialect, db *dbsql.DB, o Options, version, needed int64) error {
	o.Logger.Info("migrating the database", "from", version, "to", needed)
	start := time.Now()
	if err := runMigrations(ctx, d, db, o); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", version, needed, err)
	}
	o.Logger.Info("migrated the database", "version", needed, "took", time.Since(start).Round(time.Millisecond))
	return nil
}

func runMigrations(ctx context.Context, d dialect, db *dbsql.DB, o Options) error {
	if o.Driver != "sqlite" {
		// Building an index on an old table takes as long as it takes.
		o.StatementTimeout, o.patient = 7*24*time.Hour, true
		o.MaxOpenConns = migrationConns
		own, read, err := d.open(o)
		if err != nil {
			return err
		}
		defer own.Close()
		defer read.Close()
		db = own
	}
	dir, err := sql.Dir(o.Driver)
	if err != nil {
		return err
	}
	store, err := versionStore(o.Driver)
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{
		goose.WithStore(store), goose.WithDisableGlobalRegistry(true), goose.WithSlog(o.Logger),
	}
	if o.Driver != "sqlite" { // whose transactions exclude each other, so that each file is run once
		locker, err := tableLocker(o.Driver, o.Logger)
		if err != nil {
			return err
		}
		options = append(options, goose.WithLocker(locker))
	}
	provider, err := goose.NewProvider(goose.DialectCustom, db, dir, options...)
	if err != nil {
		return err
	}
	for {
		if _, err = provider.Up(ctx); err == nil || d.classify(err) != failedConflict {
			return err
		}
		o.Logger.Warn("A migration did not get its lock, trying again", "error", oneLine(err))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(migratePause):
		}
	}
}

// migrationConns makes the writer's connections enough for the work of a migration, and for its lock.
const migrationConns = 12

// migratePause is the time that others have for their work between two attempts of a migration to lock their tables.
const migratePause = 3 * time.Second

// tableLocker returns a lock that is a row, since distributed databases have no advisory locks. It is taken from a
// server that died after half a minute.
func tableLocker(driver string, log *slog.Logger) (lock.Locker, error) {
	options := []lock.TableLockerOption{
		lock.WithTableName("eventstore_migration_lock"),
		lock.WithTableLockTimeout(500*time.Millisecond, 7*24*3600*2),
		lock.WithTableLogger(log),
	}
	if driver == "mysql" {
		return lock.NewMySQLTableLocker(options...)
	}
	return lock.NewPostgresTableLocker(options...)
}

// selfRecording is a version store for files that record their versions themselves.
type selfRecording struct{ database.StoreExtender }

func versionStore(driver string) (database.Store, error) {
	dialect := map[string]database.Dialect{
		"postgres": database.DialectPostgres, "mysql": database.DialectMySQL, "sqlite": database.DialectSQLite3,
	}[driver]
	store, err := database.NewStore(dialect, goose.DefaultTablename)
	if err != nil {
		return nil, err
	}
	extender, ok := store.(database.StoreExtender)
	if !ok {
		return nil, fmt.Errorf("version table of %s: the library has no StoreExtender", driver)
	}
	return selfRecording{extender}, nil
}

func (s selfRecording) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	if req.Version > 0 {
		return nil
	}
	return s.StoreExtender.Insert(ctx, db, req)
}
