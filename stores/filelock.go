package stores

import (
	"errors"
	"os"
)

var (
	// errLocked: another process, or another store of this process, holds the lock.
	errLocked = errors.New("locked by another process")
	// errNoLocks: the file system does not support locks.
	errNoLocks = errors.New("file locks are not supported")
)

// lockFile creates a file if it is missing and locks it until it is closed, at the latest when the process ends. The
// file stays: removing it would remove a lock that someone may be waiting for.
func lockFile(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(file); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		held, err := file.Stat()
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if current, err := os.Stat(path); err == nil && os.SameFile(held, current) {
			return file, nil
		}
		_ = file.Close() // removed after it was opened: it locks nothing
	}
}
