package stores

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// locker is a dialect whose database the holder of the lease locks through the operating system. Others can then take
// over from a dead holder at once.
type locker interface {
	// lock returns errLocked while another process holds the lock, and errNoLocks if locks are not supported. Locking
	// twice is fine.
	lock() error
	unlock()
}

var _ locker = (*sqlite)(nil)

// sqliteLock locks a second file next to the database: SQLite would lose its own locks if we locked the same file.
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
