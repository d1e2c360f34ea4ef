package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Check returns why a server with the options could not encrypt and decrypt. It changes nothing.
func Check(ctx context.Context, o Options) error {
	master, err := ParseMaster(o.Master)
	if err != nil {
		return err
	}
	if o.Driver == "sqlite" { // opening would create it
		if _, err := os.Stat(o.Source); errors.Is(err, os.ErrNotExist) {
			return master.check()
		}
	}
	t, err := openTable(o.Driver, o.Source)
	if err != nil {
		return fmt.Errorf("keys.source: %w", err)
	}
	defer t.close()
	if _, err := t.read.ExecContext(ctx, `SELECT 1 FROM StoreLock WHERE 1 = 0`); err == nil {
		return errSameDatabase
	}
	if err := t.read.PingContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	row, err := t.readRing(ctx)
	if err != nil || row == nil { // a start makes the tables
		return master.check()
	}
	if _, err := master.unwrap(ctx, row.wrapped); err != nil {
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return nil
}

// check returns why there is no master key. A command is asked only where there is something to unwrap.
func (m Master) check() error {
	if m.kind == "command" {
		return nil
	}
	if _, err := m.keys(); err != nil {
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return nil
}
