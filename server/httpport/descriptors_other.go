//go:build !unix

package httpport

// descriptors returns how many files and connections the process may open; 0 means unknown.
func descriptors() uint64 { return 0 }
