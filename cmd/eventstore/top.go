package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func topCommand(t *tool) *cobra.Command {
	var interval time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch rates, commit latency and lags, live",
		Long: `Shows rates and the consumers that are furthest behind, and draws them anew until q or ctrl-C. With the monitoring port (--monitor) of the
server that leads, also commits and their latency. Without a terminal, it prints one frame, after one interval.`,
		Args: cobra.NoArgs,
		RunE: t.online(func(ctx context.Context, r *remote, _ []string) error {
			if interval < 100*time.Millisecond {
				return usage("--interval %v is too short: give at least 100ms", interval)
			}
			before, err := t.sample(ctx, r)
			if err != nil {
				return err
			}
			keys, restore, err := t.keys(ctx)
			if err != nil {
				return err
			}
			defer restore()
			for {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-keys:
					return nil
				case <-time.After(interval):
				}
				now, err := t.sample(ctx, r)
				if err != nil {
					return err
				}
				if t.json() || keys == nil {
					return t.frame(r, before, now)
				}
				if err := t.draw(r, before, now); err != nil {
					return err
				}
				before = now
			}
		}),
	}
	c.Flags().DurationVarP(&interval, "interval", "i", 2*time.Second, "time between two frames")
	return c
}

// sample is what top knows at one time.
type sample struct {
	at        time.Time
	position  uint64
	consumers []*eventstorev1.Consumer
	metrics   metrics // nil without a monitoring port
}

func (t *tool) sample(ctx context.Context, r *remote) (*sample, error) {
	s := &sample{at: time.Now()}
	var err error
	if s.position, err = r.head(ctx); err != nil {
		return nil, err
	}
	err = r.consumers(ctx, "", func(c *eventstorev1.Consumer) error {
		s.consumers = append(s.consumers, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.consumers, func(a, b *eventstorev1.Consumer) int { return cmp.Compare(b.GetLagSeconds(), a.GetLagSeconds()) })
	if t.flags.Monitor != "" {
		if s.metrics, err = t.monitored(ctx, r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// topJSON is a frame of top.
type topJSON struct {
	Server          string           `json:"server"`
	Position        uint64           `json:"position"`
	EventsPerSecond float64          `json:"events_per_second"`
	Delivered       *float64         `json:"delivered_per_second,omitempty"`
	Redelivered     *float64         `json:"redelivered_per_second,omitempty"`
	Commits         *float64         `json:"commits_per_second,omitempty"`
	CommitP50       *float64         `json:"commit_p50_seconds,omitempty"` // the upper bound of its bucket
	CommitP99       *float64         `json:"commit_p99_seconds,omitempty"`
	Clients         *float64         `json:"clients,omitempty"`
	Consumers       []map[string]any `json:"consumers"`
}

func frameOf(r *remote, before, now *sample) topJSON {
	seconds := now.at.Sub(before.at).Seconds()
	f := topJSON{Server: r.servers[r.current%len(r.servers)].url, Position: now.position, Consumers: []map[string]any{}}
	if now.position > before.position {
		f.EventsPerSecond = float64(now.position-before.position) / seconds
	}
	for _, c := range now.consumers {
		f.Consumers = append(f.Consumers, messageJSON(c))
	}
	if now.metrics == nil {
		return f
	}
	rate := func(name string) *float64 {
		v := max(0, now.metrics.sum(name)-before.metrics.sum(name)) / seconds
		return &v
	}
	f.Delivered, f.Redelivered = rate("delivered_messages_total"), rate("redelivered_messages_total")
	p50, count := now.metrics.quantile("commit_duration_seconds", before.metrics, 0.5)
	p99, _ := now.metrics.quantile("commit_duration_seconds", before.metrics, 0.99)
	commits := float64(count) / seconds
	f.Commits = &commits
	if count > 0 {
		f.CommitP50, f.CommitP99 = &p50, &p99
	}
	clients := now.metrics.sum("clients")
	f.Clients = &clients
	return f
}

// frame prints one frame.
func (t *tool) frame(r *remote, before, now *sample) error {
	if t.json() {
		return t.printJSON(frameOf(r, before, now))
	}
	for _, line := range t.lines(r, before, now) {
		if err := t.print("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// lines are a frame as text.
func (t *tool) lines(r *remote, before, now *sample) []string {
	f := frameOf(r, before, now)
	all := []string{
		fmt.Sprintf("%s  %s  position %s", f.Server, t.time(now.at), number(f.Position)),
		fmt.Sprintf("appended   %s events/s", rateText(f.EventsPerSecond)),
	}
	if now.metrics == nil {
		all = append(all, "           (--monitor URL adds commits, their latency and deliveries)")
	} else {
		all = append(all, fmt.Sprintf("delivered  %s messages/s, redelivered %s/s", rateText(*f.Delivered), rateText(*f.Redelivered)))
		latency := "no commits"
		if f.CommitP50 != nil {
			latency = fmt.Sprintf("%s commits/s, half within %s, 99 %% within %s", rateText(*f.Commits),
				duration(time.Duration(*f.CommitP50*float64(time.Second))), duration(time.Duration(*f.CommitP99*float64(time.Second))))
		}
		all = append(all, "committed  "+latency, fmt.Sprintf("clients    %.0f", *f.Clients))
	}
	all = append(all, "")
	if len(now.consumers) == 0 {
		return append(all, "there are no consumers that you may administer")
	}
	all = append(all, fmt.Sprintf("%-24s %-24s %12s %10s %8s %8s  %s", "CHANNEL", "CONSUMER", "LAG", "AGE", "UNACKED", "PARKED", "STATE"))
	for _, c := range now.consumers {
		name := c.GetName()
		if c.GetClient() != "" {
			name = c.GetClient() + "/" + name
		}
		all = append(all, fmt.Sprintf("%-24s %-24s %12s %10s %8s %8s  %s", clip(escape(c.GetChannel()), 24), clip(escape(name), 24),
			number(c.GetLagMessages()), ageOf(c.GetLagSeconds()), number(c.GetUnacked()), number(c.GetParked()), consumerState(c)))
	}
	return all
}

func rateText(perSecond float64) string {
	if perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return number(uint64(perSecond))
}

// draw draws a frame over the one before, and cuts it where the terminal ends.
func (t *tool) draw(r *remote, before, now *sample) error {
	width, height, err := term.GetSize(int(t.out.(*os.File).Fd()))
	if err != nil {
		return err
	}
	lines := append(t.lines(r, before, now), "", "q quits")
	if len(lines) > height-1 {
		lines = lines[:max(height-1, 1)]
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for _, line := range lines {
		line = escape(line)
		if utf8.RuneCountInString(line) > width {
			line = clip(line, width)
		}
		b.WriteString(line + "\x1b[K\r\n")
	}
	b.WriteString("\x1b[J")
	_, err = t.out.Write([]byte(b.String()))
	return err
}

// keys switches a terminal to another screen, where the returned channel receives when q or ctrl-C is pressed. Without one it is nil.
func (t *tool) keys(ctx context.Context) (<-chan struct{}, func(), error) {
	if !isTerminal(t.in) || !isTerminal(t.out) || t.json() {
		return nil, func() {}, nil
	}
	in := t.in.(*os.File)
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprint(t.out, "\x1b[?1049h\x1b[?25l\x1b[2J")
	pressed := make(chan struct{}, 1)
	go func() { // ends with the process: a read of a terminal cannot be cancelled
		key := make([]byte, 1)
		for ctx.Err() == nil {
			if n, err := in.Read(key); err != nil || n == 1 && (key[0] == 'q' || key[0] == 'Q' || key[0] == 3) {
				pressed <- struct{}{}
				return
			}
		}
	}()
	return pressed, func() {
		fmt.Fprint(t.out, "\x1b[?25h\x1b[?1049l")
		_ = term.Restore(int(in.Fd()), state) // nothing more can be done
	}, nil
}
