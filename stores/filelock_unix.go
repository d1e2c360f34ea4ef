//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package stores

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func flock(file *os.File) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return errLocked
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL):
		return errNoLocks
	}
	return err
}
