package main

import (
	"os"
	"path/filepath"
	"slices"
	"time"
)

// syncTime is the median time of an fsync after 8 KiB were written to a file
// in dir, where the databases are too.
func syncTime(dir string) (_ time.Duration, err error) {
	name := filepath.Join(dir, "fsync")
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = f.Close() // it holds nothing of worth
		if e := os.Remove(name); err == nil {
			err = e
		}
	}()
	block := make([]byte, 8<<10)
	took := make([]time.Duration, 201)
	for i := range took {
		if _, err := f.WriteAt(block, 0); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
