//go:build unix

package httpport

import "syscall"

// descriptors returns how many files and connections the process may open; 0 means unknown.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // int64 on some systems
}
