package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes one state of an SQLite database to a new file, while a server writes to the database. The file is complete
// and on disk when it has its name. The error is fs.ErrNotExist if there is no database, fs.ErrExist if the file exists.
func Backup(ctx context.Context, o Options, to string) error {
	o = o.withDefaults()
	if o.Driver != "sqlite" {
		return fmt.Errorf("backups of %s are for its own tools: see docs/operate/backup.md", o.Driver)
	}
	if _, err := os.Stat(o.Source); err != nil {
		return openError(o, err)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup to %s: %w", to, errors.Join(fs.ErrExist, err))
	}
	o.StatementTimeout = snapshotTimeout
	d := &sqlite{}
	writer, reader, err := d.open(o)
	if err != nil {
		return openError(o, err)
	}
	defer writer.Close()
	defer reader.Close()
	// The name is that of a process, so that what a killed one left does not get in the way.
	partial, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".partial-")
	if err != nil {
		return fmt.Errorf("backup to %s: %w", to, err)
	}
	defer func() {
		_ = partial.Close() // synced before it gets its name
		_ = os.Remove(partial.Name())
	}()
	if _, err = writer.ExecContext(ctx, "VACUUM INTO ?", partial.Name()); err == nil {
		err = partial.Sync()
	}
	if err == nil {
		err = os.Link(partial.Name(), to) // unlike a rename, it replaces no file
	}
	if err != nil {
		return fmt.Errorf("backup to %s: %w", to, oneLine(err))
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // only read
	if err := dir.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return nil
}
