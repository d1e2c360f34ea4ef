package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Story runs services and prints what they do, one line at a time.
type Story struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu  sync.Mutex // guards out
	out io.Writer
}

// NewStory returns a story. Its services run until ctx ends, one of them fails, or End is called.
func NewStory(ctx context.Context, out io.Writer) *Story {
	s := &Story{out: out}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// Context returns a context that ends when a service fails, with the service's error as its cause.
func (s *Story) Context() context.Context { return s.ctx }

// Chapter prints a heading.
func (s *Story) Chapter(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n", text)
}

// Say prints a line with the name of its speaker.
func (s *Story) Say(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "  %-16s | %s\n", who, fmt.Sprintf(format, args...))
}

// errCrash is the cause of a service's context after crash.
var errCrash = errors.New("crash")

// Start runs a service in its own goroutine. run must return only when its context ends. crash ends only this service and
// waits for it.
func (s *Story) Start(name string, run func(context.Context) error) (crash func()) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	ended := make(chan struct{})
	s.wg.Go(func() {
		defer close(ended)
		err := run(ctx)
		if ctx.Err() == nil {
			s.cancel(fmt.Errorf("%s ended: %w", name, err))
		}
		cancel(nil)
	})
	return func() {
		cancel(errCrash)
		<-ended
	}
}

// Wait polls a condition until it is true. what describes it in the error.
func (s *Story) Wait(what string, condition func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(s.ctx, time.Minute, errors.New("not within a minute"))
	defer cancel()
	for {
		done, err := condition(ctx)
		if done || (err != nil && ctx.Err() == nil) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// End ends all services, waits for them, and returns the error of the first that failed.
func (s *Story) End() error {
	s.cancel(errEnd)
	s.wg.Wait()
	if err := context.Cause(s.ctx); !errors.Is(err, errEnd) {
		return err
	}
	return nil
}

var errEnd = errors.New("end of the story")
