//go:build unix

package databases

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// A directory is a server's temporary directory. Its lock, which the system
// releases however our process ends, tells a later process whether it may
// remove it.
type directory struct {
	path  string
	owner *process.Account // nil: our own
	lock  *os.File
}

const prefix = "nats-eventstore-"

// newDirectory makes a directory in parent, "" for the system's temporary one,
// that belongs to the named account if we are root, because database servers
// refuse to run as root.
func newDirectory(parent, kind, account string) (*directory, error) {
	sweep()
	path, err := os.MkdirTemp(parent, prefix+kind+"-")
	if err != nil {
		return nil, err
	}
	d := &directory{path: path}
	if d.lock, err = os.Create(d.lockName()); err != nil {
		return nil, err
	}
	if err := lock(d.lock); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return d, nil
	}
	if d.owner, err = lookup(account, "nobody"); err != nil {
		return nil, err
	}
	return d, os.Chown(path, int(d.owner.UID), int(d.owner.GID))
}

func lookup(names ...string) (*process.Account, error) {
	var err error
	for _, name := range names {
		var u *user.User
		if u, err = user.Lookup(name); err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &process.Account{UID: uint32(uid), GID: uint32(gid)}, nil
	}
	return nil, err
}

func (d *directory) lockName() string { return filepath.Join(d.path, "lock") }
func (d *directory) log() string      { return filepath.Join(d.path, "log") }

func (d *directory) unlock() {
	_ = d.lock.Close() // nothing was written
}

// remove removes the directory. The last processes of a server that was killed
// may still write to it.
func (d *directory) remove() error {
	defer d.unlock()
	var err error
	for range 50 {
		if err = os.RemoveAll(d.path); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// sweep removes what processes left that were killed. A directory younger than
// a minute may be about to be locked.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, path := range dirs {
		d := &directory{path: path}
		info, err := os.Stat(d.lockName())
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if d.lock, err = os.Open(d.lockName()); err != nil {
			continue
		}
		if lock(d.lock) != nil {
			d.unlock()
			continue
		}
		_ = d.remove() // best effort: it may be another account's
	}
}

// lock takes the lock of an open file, or fails if another process has it.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
