package harness

import (
	"os"
	"os/exec"
	"testing"
)

// Verify runs our binary's verify on a database, also that of a running server, and fails the test if something is wrong with
// it. args are those of the server that say which channels are event channels. Call it after every fault.
func Verify(t testing.TB, driver, source string, args ...string) {
	t.Helper()
	cmd := exec.Command(Binary(), append([]string{"verify", "-store", "SQL", "-sql_driver", driver, "-sql_source", source}, args...)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
