package eventstoretest

import (
	"runtime/pprof"
	"strings"
	"time"
)

// awaitNoGoroutines waits until no goroutine has the server's label, which goroutines inherit from the one that starts them. They end
// shortly after the server. It returns the stacks of those that are left.
func awaitNoGoroutines(name string, patience time.Duration) string {
	deadline := time.Now().Add(patience)
	for {
		left := labelled(name)
		if left == "" || time.Now().After(deadline) {
			return left
		}
		time.Sleep(time.Millisecond) // polls: the runtime does not report the end of a goroutine
	}
}

// labelled returns the stacks of the goroutines that have a label.
func labelled(name string) string {
	var profile strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return err.Error() // unreachable: a builder takes everything
	}
	var left []string
	for group := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(group, `"eventstoretest":"`+name+`"`) {
			left = append(left, group)
		}
	}
	return strings.Join(left, "\n\n")
}
