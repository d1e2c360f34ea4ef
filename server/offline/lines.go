package offline

import (
	"fmt"
	"io"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// progressLines prints the progress of a command at intervals.
type progressLines struct {
	to   io.Writer
	last time.Time
}

// progressInterval is the shortest time between two progress lines.
const progressInterval = time.Second

// line prints a line. What it names may come from the database, where clients put it.
func (p *progressLines) line(format string, args ...any) {
	fmt.Fprintln(p.to, printable.Line(fmt.Sprintf(format, args...)))
}

// progress prints a progress line, unless one was printed just before.
func (p *progressLines) progress(format string, args ...any) {
	if time.Since(p.last) >= progressInterval {
		p.last = time.Now()
		p.line(format, args...)
	}
}
