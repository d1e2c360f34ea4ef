package server

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A log that exists needs no directory in which files can be created: not even root can do so beside its open files.
func TestTryLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for name, ok := range map[string]bool{
		"": true, file.Name(): true, fmt.Sprintf("/proc/self/fd/%d", file.Fd()): true, filepath.Join(dir, "new.log"): true,
		filepath.Join(dir, "absent", "server.log"): false, dir: false,
	} {
		if err := tryLog(name); (err == nil) != ok {
			t.Errorf("%q: error %v", name, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("files %v, error %v", entries, err)
	}
}
