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

// A directory is a server's temporary directory. The system releases its lock however our process ends, so a later
// process can tell whether it may remove the directory.
type directory struct {
	path  string
	owner *process.Account // nil for our own account
	lock  *os.File
}

const prefix = "nats-eventstore-"

// newDirectory creates a directory in parent, or in the system's temporary directory if parent is "". If we are root,
// the directory belongs to the named account, because database servers refuse to run as root.
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

// remove removes the directory. It retries, because the last processes of a killed server may still write to it.
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

// sweep removes directories that killed processes left behind. It spares those younger than a minute, which may not be
// locked yet.
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
		_ = d.remove() // best effort: it may belong to another account
	}
}

// lock locks an open file. It fails if another process holds the lock.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
