package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	natslog "github.com/nats-io/nats-server/v2/logger"
	natsd "github.com/nats-io/nats-server/v2/server"
)

// natsLogger is the logger of the NATS server and, below the structured one, of the streaming part. It writes where
// the NATS options say, and can be opened again.
type natsLogger struct {
	streaming struct{ debug, trace bool }

	mu   sync.RWMutex // guards what follows
	opts *natsd.Options
	out  natsd.Logger
}

// newLoggers returns the logger of the NATS server, as its options ask for it, and beside it
// the structured logger of the streaming part, which writes to the same place in the same
// format, with levels of its own.
func newLoggers(o *Options) (*natsLogger, *slog.Logger) {
	if o.SyslogName != "" {
		natslog.SetSyslogName(o.SyslogName)
	}
	l := &natsLogger{}
	l.streaming.debug, l.streaming.trace = o.Debug, o.Trace
	l.open(o.NATS)
	level := slog.LevelInfo
	switch {
	case o.NATS.NoLog:
		level = slog.LevelError + 1
	case o.Trace:
		level = levelTrace
	case o.Debug:
		level = slog.LevelDebug
	}
	return l, slog.New(&logHandler{out: l, level: level})
}

// open starts to write where the options say.
func (l *natsLogger) open(o *natsd.Options) {
	debug, trace := o.Debug || l.streaming.debug, o.Trace || l.streaming.trace
	var out natsd.Logger
	switch {
	case o.LogFile != "":
		f := natslog.NewFileLogger(o.LogFile, o.Logtime, debug, trace, true, natslog.LogUTC(o.LogtimeUTC))
		// The only error of both is a logger without a file.
		if o.LogSizeLimit > 0 {
			_ = f.SetSizeLimit(o.LogSizeLimit)
		}
		if n := int(o.LogMaxFiles); n > 0 {
			_ = f.SetMaxNumFiles(n)
		}
		out = f
	case o.RemoteSyslog != "":
		out = natslog.NewRemoteSysLogger(o.RemoteSyslog, debug, trace)
	case o.Syslog:
		out = natslog.NewSysLogger(debug, trace)
	default:
		stat, err := os.Stderr.Stat()
		colors := err == nil && stat.Mode()&os.ModeCharDevice != 0
		out = natslog.NewStdLogger(o.Logtime, debug, trace, colors, true, natslog.LogUTC(o.LogtimeUTC))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.out.(io.Closer); ok {
		if err := old.Close(); err != nil {
			out.Errorf("Close the log: %v", err)
		}
	}
	l.opts, l.out = o, out
}

// reopen opens the log file again, after it was renamed.
func (l *natsLogger) reopen() error {
	l.mu.RLock()
	o := l.opts
	l.mu.RUnlock()
	if o.LogFile == "" {
		return errNoLogFile
	}
	// The logger of NATS ends the process if it cannot open its file.
	f, err := os.OpenFile(o.LogFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("reopen the log: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("reopen the log: %w", err)
	}
	l.open(o)
	return nil
}

// errNoLogFile is returned by reopen if the log does not go to a file.
var errNoLogFile = errors.New("not a file logger")

func (l *natsLogger) write(f func(natsd.Logger)) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	f(l.out)
}

// Noticef and the others implement the logger of the NATS server.
func (l *natsLogger) Noticef(format string, v ...any) {
	l.write(func(out natsd.Logger) { out.Noticef(format, v...) })
}

// Warnf logs at level WRN.
func (l *natsLogger) Warnf(format string, v ...any) {
	l.write(func(out natsd.Logger) { out.Warnf(format, v...) })
}

// Fatalf logs at level FTL and ends the process.
func (l *natsLogger) Fatalf(format string, v ...any) {
	l.write(func(out natsd.Logger) { out.Fatalf(format, v...) })
}

// Errorf logs at level ERR.
func (l *natsLogger) Errorf(format string, v ...any) {
	l.write(func(out natsd.Logger) { out.Errorf(format, v...) })
}

// Debugf logs at level DBG.
func (l *natsLogger) Debugf(format string, v ...any) {
	l.write(func(out natsd.Logger) { out.Debugf(format, v...) })
}

// Tracef logs at level TRC.
func (l *natsLogger) Tracef(format string, v ...any) {
	l.write(func(out natsd.Logger) { out.Tracef(format, v...) })
}

// levelTrace is NATS' TRC level, below debug.
const levelTrace = slog.LevelDebug - 4

// logHandler writes records through a NATS logger as "STREAM: text key=value".
type logHandler struct {
	out    natsd.Logger
	level  slog.Level
	suffix string // attributes of With, already formatted
}

func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(h.suffix)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, a)
		return true
	})
	write := h.out.Noticef
	switch {
	case r.Level >= slog.LevelError:
		write = h.out.Errorf
	case r.Level >= slog.LevelWarn:
		write = h.out.Warnf
	case r.Level <= levelTrace:
		write = h.out.Tracef
	case r.Level <= slog.LevelDebug:
		write = h.out.Debugf
	}
	write("STREAM: %s", b.String())
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.suffix)
	for _, a := range attrs {
		writeAttr(&b, a)
	}
	return &logHandler{out: h.out, level: h.level, suffix: b.String()}
}

// WithGroup ignores the group: keys are shared by the whole server.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

func writeAttr(b *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve().String()
	if v == "" || strings.ContainsAny(v, " \"\n") {
		v = fmt.Sprintf("%q", v)
	}
	fmt.Fprintf(b, " %s=%s", a.Key, v)
}
