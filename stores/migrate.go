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

// schemaToServe returns the schema of a database that this program can serve once it has run the migrations that are missing.
// With Options.NoMigrate none may be.
func schemaToServe(ctx context.Context, d dialect, db *dbsql.DB, o Options) (schema, error) {
	found, err := readSchema(ctx, d, db, o.Driver)
	switch {
	case err != nil:
		return schema{}, err
	case found.ahead():
		return found, found.checkServable(ctx, d, &handle{db: db, timeout: o.StatementTimeout, dialect: d})
	case found.behind() && o.NoMigrate:
		return schema{}, found.behindError()
	}
	return found, nil
}

// schemaToMigrate returns the schema of a database that this program can bring up to date, or that is.
func schemaToMigrate(ctx context.Context, d dialect, db *dbsql.DB, o Options) (schema, error) {
	found, err := readSchema(ctx, d, db, o.Driver)
	if err == nil && found.ahead() {
		err = found.tooNew()
	}
	return found, err
}

// migrateNew creates the schema of a database without a lease, which no server can be using. The holder of the lease
// migrates any other database.
func (s *Store) migrateNew(ctx context.Context) error {
	found, err := schemaToServe(ctx, s.dialect, s.writer, s.options)
	if err != nil {
		return err
	}
	if found.ahead() {
		s.log.Warn("the schema of the database is newer than this server, and has everything that it needs", "version", found.version, "known", found.known)
	}
	if found.behind() {
		leased, err := s.hasLease(ctx)
		if err != nil {
			return err
		}
		if leased {
			s.log.Info("the schema of the database is out of date; this server migrates it once it holds the lease", "version", found.version, "needed", found.known)
			return nil
		}
		if err := migrate(ctx, s.dialect, s.writer, s.options, found); err != nil {
			return err
		}
	}
	return s.prepareAll(ctx)
}

// hasLease reports whether StoreLock has a row.
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

// migrateHeld brings the schema up to date while holding, and renewing, the lease.
func (s *Store) migrateHeld(ctx context.Context) error {
	found, err := schemaToServe(ctx, s.dialect, s.writer, s.options)
	if err != nil {
		return err
	}
	if !found.behind() && s.prepared != nil {
		return nil
	}
	if found.behind() {
		if err := s.whileRenewing(ctx, func(ctx context.Context) error {
			return migrate(ctx, s.dialect, s.writer, s.options, found)
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

// migrationError distinguishes a database that is unavailable from one that refuses a migration.
func (s *Store) migrationError(ctx context.Context, err error) error {
	var behind *SchemaError
	if isOurs(err) || errors.Is(err, ErrTooNew) || errors.As(err, &behind) || s.definitionFailure(err) != failedUnavailable {
		return fmt.Errorf("recover: %w", oneLine(err))
	}
	return s.readError(ctx, fmt.Errorf("recover: %w", err))
}

// renewal is how often the lease is renewed while a migration runs.
const renewal = time.Second

// whileRenewing runs work and renews the lease meanwhile. It ends work if the lease is lost.
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

// migrate brings the schema up to date.
func migrate(ctx context.Context, d dialect, db *dbsql.DB, o Options, from schema) error {
	if err := checkMigration(ctx, d, db, o, from.version); err != nil {
		return err
	}
	o.Logger.Info("migrating the database", "from", from.version, "to", from.known)
	start := time.Now()
	if err := runMigrations(ctx, d, db, o); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", from.version, from.known, err)
	}
	o.Logger.Info("migrated the database", "version", from.known, "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// checkMigration returns an ErrSetup if a migration from a version would meet something else than it expects, or something
// that it may not do. It comes before the first change.
func checkMigration(ctx context.Context, d dialect, db *dbsql.DB, o Options, version int64) error {
	if err := checkLayout(ctx, d, o.Driver, &handle{db: db, timeout: o.StatementTimeout, dialect: d}, version); err != nil {
		return err
	}
	if d, ok := d.(trier); ok {
		return d.try(ctx, db)
	}
	return nil
}

// runMigrations runs the missing migrations, each of them once, whoever else runs them at the same time.
func runMigrations(ctx context.Context, d dialect, db *dbsql.DB, o Options) error {
	up := func(ctx context.Context) error { return migrateSQLite(ctx, db) }
	if o.Driver != "sqlite" {
		// Building an index on a large table takes a long time.
		o.StatementTimeout, o.patient = 7*24*time.Hour, true
		o.MaxOpenConns = migrationConns
		own, read, err := d.open(o)
		if err != nil {
			return err
		}
		defer own.Close()
		defer read.Close()
		provider, err := migrationProvider(own, o)
		if err != nil {
			return err
		}
		up = func(ctx context.Context) error {
			_, err := provider.Up(ctx)
			return err
		}
	}
	for {
		err := up(ctx)
		if err == nil || d.classify(err) != failedConflict {
			return err
		}
		o.Logger.Warn("failed to lock a table for a migration, retrying", "error", oneLine(err))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(migratePause):
		}
	}
}

// migrationProvider returns what runs the missing migrations of a database with a server of its own.
func migrationProvider(db *dbsql.DB, o Options) (*goose.Provider, error) {
	dir, err := sql.Dir(o.Driver)
	if err != nil {
		return nil, err
	}
	store, err := versionStore(o.Driver)
	if err != nil {
		return nil, err
	}
	locker, err := tableLocker(o.Driver, o.Logger)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectCustom, db, dir, goose.WithStore(store), goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(o.Logger), goose.WithLocker(locker))
}

// migrationConns gives the writer enough connections for a migration and its lock.
const migrationConns = 12

// migratePause gives others time for their work between two attempts of a migration to lock their tables.
const migratePause = 3 * time.Second

// tableLocker returns a lock that is a row, because distributed databases have no advisory locks. Another server takes
// it over half a minute after its holder died.
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

// selfRecording is a version store for migrations that record their own versions.
type selfRecording struct{ database.StoreExtender }

func versionStore(driver string) (database.Store, error) {
	dialect := map[string]database.Dialect{
		"postgres": database.DialectPostgres, "mysql": database.DialectMySQL,
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
