//go:build unix

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// Only the server's user can read its files, whatever the umask is. An existing file that others can read stays as it
// is, with one warning.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	for _, umask := range []string{"022", "000"} {
		t.Run(umask, func(t *testing.T) {
			t.Parallel()
			wrapper := filepath.Join(t.TempDir(), "server")
			script := fmt.Sprintf("#!/bin/sh\numask %s\nexec %s \"$@\"\n", umask, harness.Binary())
			if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "data")
			s := prepare(t, wrapper, "-store", "FILE", "-dir", dir)
			s.Restart()
			publish(t, s.connect("client"), orders, event(t, "A", "T"))
			modes := func() string {
				var found []string
				for _, name := range []string{".", "eventstore.db", "eventstore.db-wal", "eventstore.db-shm", "eventstore.db.lock"} {
					info, err := os.Stat(filepath.Join(dir, name))
					if err != nil {
						t.Fatal(err)
					}
					found = append(found, fmt.Sprintf("%o", info.Mode().Perm()))
				}
				return strings.Join(found, " ")
			}
			if got := modes(); got != "700 600 600 600 600" {
				t.Errorf("modes %s", got)
			}
			const warning = "every user of this machine has access to the database"
			if s.Log.Contains(warning) {
				t.Error("a warning about private files")
			}
			s.Stop()
			if err := os.Chmod(filepath.Join(dir, "eventstore.db"), 0o644); err != nil {
				t.Fatal(err)
			}
			s.Restart()
			s.WaitLog(t, warning)
			if got := modes(); got != "700 644 644 644 600" {
				t.Errorf("modes %s", got)
			}
			if n := strings.Count(s.Log.String(), warning); n != 1 {
				t.Errorf("%d warnings", n)
			}
		})
	}
}
