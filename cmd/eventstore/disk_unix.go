//go:build unix

package main

import "golang.org/x/sys/unix"

// diskSpace returns the bytes of a file system that are free for this user, and all of them.
func diskSpace(dir string) (free, all uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	size := uint64(s.Bsize) //nolint:unconvert // its type depends on the system
	return uint64(s.Bavail) * size, s.Blocks * size, nil
}
