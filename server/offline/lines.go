package offline

import (
	"fmt"
	"io"
	"time"
)

// progressLines prints how far a command came, now and then.
type progressLines struct {
	to   io.Writer
	last time.Time
}

// progressInterval is the time between two lines about the same work.
const progressInterval = time.Second

// line prints a line.
func (p *progressLines) line(format string, args ...any) {
	fmt.Fprintf(p.to, format+"\n", args...)
}

// now prints a line unless another one was printed a moment ago.
func (p *progressLines) now(format string, args ...any) {
	if time.Since(p.last) >= progressInterval {
		p.last = time.Now()
		p.line(format, args...)
	}
}
