package harness

import (
	"os"
	"os/exec"
	"testing"
)

// Verify runs our binary's verify command and fails the test on any finding. The database may belong to a running
// server. args are the server's options for event channels. Call it after every fault.
func Verify(t testing.TB, driver, source string, args ...string) {
	t.Helper()
	cmd := exec.Command(Binary(), append([]string{"verify", "-store", "SQL", "-sql_driver", driver, "-sql_source", source}, args...)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
