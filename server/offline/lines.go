package offline

import (
	"fmt"
	"io"
	"time"
)

// progressLines prints the progress of a command at intervals.
type progressLines struct {
	to   io.Writer
	last time.Time
}

// progressInterval is the shortest time between two progress lines.
const progressInterval = time.Second

func (p *progressLines) line(format string, args ...any) {
	fmt.Fprintf(p.to, format+"\n", args...)
}

// progress prints a progress line, unless one was printed just before.
func (p *progressLines) progress(format string, args ...any) {
	if time.Since(p.last) >= progressInterval {
		p.last = time.Now()
		p.line(format, args...)
	}
}
