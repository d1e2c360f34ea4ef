package eventstoretest_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// recorder is a test in a test, which may fail. It ends when run returns.
type recorder struct {
	testing.TB
	failed   bool
	text     string
	cleanups []func()
}

func (r *recorder) run(test func()) {
	var running sync.WaitGroup
	running.Go(test) // which may leave by FailNow
	running.Wait()
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		running.Go(r.cleanups[i])
		running.Wait()
	}
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool     { return r.failed }
func (r *recorder) Helper()          {}
func (r *recorder) Logf(format string, args ...any) {
	r.text += fmt.Sprintf(format, args...) + "\n"
}

func (r *recorder) Error(args ...any) {
	r.failed = true
	r.text += fmt.Sprintln(args...)
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	r.Logf(format, args...)
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	r.FailNow()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) FailNow() {
	r.failed = true
	runtime.Goexit()
}
