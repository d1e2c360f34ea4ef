//go:build !linux

package stango

import (
	"errors"
	"os/exec"
)

const programVariable = "STANGO_PROGRAM"

// privateNetwork returns a command that fails, because only Linux has private networks.
func privateNetwork(string, ...string) *exec.Cmd { return exec.Command("false") }

func runInside(string) error { return errors.New("no private networks on this system") }
