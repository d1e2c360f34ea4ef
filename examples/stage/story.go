package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Story runs services, and prints what they say, a line each.
type Story struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu  sync.Mutex // guards out
	out io.Writer
}

// NewStory returns a story whose services run until ctx ends, one of them fails, or End.
func NewStory(ctx context.Context, out io.Writer) *Story {
	s := &Story{out: out}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// Context ends when a service fails, with its error as cause.
func (s *Story) Context() context.Context { return s.ctx }

// Chapter prints a heading.
func (s *Story) Chapter(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n", text)
}

// Say prints a line of somebody.
func (s *Story) Say(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "  %-16s | %s\n", who, fmt.Sprintf(format, args...))
}

// errCrash ends a service as if its process had been killed.
var errCrash = errors.New("crash")

// Start runs a service on a goroutine of its own. It must run until its context ends. crash ends it alone, and waits for it.
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

// Wait asks a question about the story until the answer is yes.
func (s *Story) Wait(what string, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(s.ctx, time.Minute, errors.New("it takes too long"))
	defer cancel()
	for {
		done, err := ask(ctx)
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

// End ends all services, waits for them, and returns the error of the one that failed, if any did.
func (s *Story) End() error {
	s.cancel(errEnd)
	s.wg.Wait()
	if err := context.Cause(s.ctx); !errors.Is(err, errEnd) {
		return err
	}
	return nil
}

var errEnd = errors.New("the story is at its end")
