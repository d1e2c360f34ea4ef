package console

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/verify"
)

// verifier verifies the database when asked to, one time after the other. Its goroutine is that of Console.Run.
type verifier struct {
	verify func(ctx context.Context, progress func(phase string, done, total uint64)) (*verify.Report, error)
	log    *slog.Logger
	asking sync.Mutex  // held while somebody asks
	asked  chan string // by whom; one slot

	mu  sync.Mutex // guards the fields below
	now verification
	// next is closed when now has changed.
	next chan struct{}
}

// verification is one run, which may be going on.
type verification struct {
	By          string
	Began       time.Time // zero before the first
	Ended       time.Time // zero while it runs
	Phase       string
	Done, Total uint64
	Report      *verify.Report // nil until it has ended without an error
	Err         error
}

// Running reports whether it has not ended.
func (n verification) Running() bool { return !n.Began.IsZero() && n.Ended.IsZero() }

// Percent is how much of the phase is done.
func (n verification) Percent() uint64 { return 100 * n.Done / max(n.Total, 1) }

func newVerifier(check func(context.Context, func(string, uint64, uint64)) (*verify.Report, error), log *slog.Logger) *verifier {
	return &verifier{verify: check, log: log, asked: make(chan string, 1), next: make(chan struct{})}
}

// ask has the database verified once record has returned without an error. It does nothing while a verification runs or waits.
func (f *verifier) ask(by string, record func() error) error {
	f.asking.Lock()
	defer f.asking.Unlock()
	if now, _ := f.current(); now.Running() || len(f.asked) > 0 {
		return nil
	}
	if err := record(); err != nil {
		return err
	}
	f.asked <- by // has room: nobody else sends
	return nil
}

func (f *verifier) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case by := <-f.asked:
			f.log.Info("Verifying the database, as the console was asked to", "by", by)
			f.set(func(n *verification) { *n = verification{By: by, Began: time.Now()} })
			report, err := f.verify(ctx, func(phase string, done, total uint64) {
				f.set(func(n *verification) { n.Phase, n.Done, n.Total = phase, done, total })
			})
			f.set(func(n *verification) { n.Ended, n.Report, n.Err = time.Now(), report, err })
			if err != nil {
				f.log.Warn("The database could not be verified", "error", err)
			} else {
				f.log.Info("Verified the database", "findings", len(report.FindingCount), "messages", report.Messages)
			}
		}
	}
}

func (f *verifier) set(change func(*verification)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.now)
	close(f.next)
	f.next = make(chan struct{})
}

// current returns the last run, and a channel that is closed when it changes.
func (f *verifier) current() (verification, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, f.next
}
