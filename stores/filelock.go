package stores

import (
	"errors"
	"os"
)

var (
	// errLocked: another process, or another store of this one, has the lock.
	errLocked = errors.New("locked by another process")
	// errNoLocks: the file system has no locks.
	errNoLocks = errors.New("no locks of files here")
)

// lockFile makes a file if there is none, and locks it until it is closed, which it is at the latest when the process ends. The
// file stays: whoever removes it removes a lock that somebody may be waiting for.
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
		if there, err := os.Stat(path); err == nil && os.SameFile(held, there) {
			return file, nil
		}
		_ = file.Close() // removed since it was opened: it locks nothing
	}
}
