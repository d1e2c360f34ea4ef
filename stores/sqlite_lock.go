package stores

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// locker is a dialect whose database the holder of the lease locks with the operating system, so that nobody else has to wait
// for its lease to stand still when it is dead.
type locker interface {
	// lock is errLocked while another process holds the lock, and errNoLocks where there is none to be had. It can be held
	// already.
	lock() error
	unlock()
}

var _ locker = (*sqlite)(nil)

// sqliteLock is the lock of a file: another file beside it, since SQLite has locks of its own on it, which it would lose.
type sqliteLock struct {
	mu   sync.Mutex // guards file
	file *os.File
}

const sqliteLockSuffix = ".lock"

func (d *sqlite) lock() error {
	if d.path == "" {
		return nil
	}
	l := &d.leader
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		return nil
	}
	path, err := filepath.EvalSymlinks(d.path)
	if err != nil {
		return err
	}
	l.file, err = lockFile(path + sqliteLockSuffix)
	if err != nil && !errors.Is(err, errLocked) && !errors.Is(err, errNoLocks) {
		return fmt.Errorf("lock the database: %w", err)
	}
	return err
}

func (d *sqlite) unlock() {
	l := &d.leader
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
