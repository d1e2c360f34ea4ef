//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package stores

import "os"

func flock(*os.File) error { return errNoLocks }
