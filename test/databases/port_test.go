package databases

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const portsOfChild = 500

// No two processes get the same port.
func TestPortsOfProcesses(t *testing.T) {
	child := os.Getenv("EVENTSTORE_TEST_PORTS") != ""
	mine := map[string]bool{}
	for range portsOfChild {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if child {
			fmt.Println("port", port)
		}
		mine[fmt.Sprint("port ", port)] = true
	}
	if child {
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPortsOfProcesses$")
	cmd.Env = append(os.Environ(), "EVENTSTORE_TEST_PORTS=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "port ") != portsOfChild {
		t.Fatal(err, string(out))
	}
	if len(mine) != portsOfChild {
		t.Errorf("%d different ports of %d", len(mine), portsOfChild)
	}
	for line := range strings.Lines(string(out)) {
		if mine[strings.TrimSpace(line)] {
			t.Error("both processes have", line)
		}
	}
}
