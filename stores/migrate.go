package stores

import (
	"context"
	dbsql "database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/nats-eventstore/nats-eventstore/sql"
)

// migrate brings the schema to the version of this program, or says why it does not.
func migrate(ctx context.Context, d dialect, db *dbsql.DB, o Options) error {
	files, err := sql.Files(o.Driver)
	if err != nil {
		return err
	}
	needed := files[len(files)-1].Version
	version, err := d.version(ctx, db)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	switch {
	case version == needed:
		return nil
	case version > needed:
		return fmt.Errorf("%w: it is at version %d, this server knows %d", ErrTooNew, version, needed)
	case o.NoMigrate:
		behind := &SchemaError{Version: version, Needed: needed}
		for _, file := range files {
			if file.Version > version {
				behind.Files = append(behind.Files, file.Path)
			}
		}
		return behind
	}
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
