package measure

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// CachedSync is less than most disks take to store something for good.
const CachedSync = 100 * time.Microsecond

// Machine describes the processors, the system and Go.
func Machine() string {
	return fmt.Sprintf("%d CPUs (%s), %s/%s, %s", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// processor is what Linux calls the CPU.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// DatabaseVersion asks a database for its name and version. Its driver must be registered.
func DatabaseVersion(driver, source string) (string, error) {
	db, err := sql.Open(driver, source)
	if err != nil {
		return "", err
	}
	defer db.Close()
	var v string
	if err := db.QueryRow("SELECT version()").Scan(&v); err != nil {
		return "", err
	}
	v, _, _ = strings.Cut(v, " (") // PostgreSQL goes on about its compiler
	if number, _, ok := strings.Cut(v, "-MariaDB"); driver == "mysql" && ok {
		v = "MariaDB " + number
	}
	return v, nil
}

// SyncTime is the median time of an fsync after 8 KiB were written to a file in dir, where the databases should be too.
func SyncTime(dir string) (_ time.Duration, err error) {
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
