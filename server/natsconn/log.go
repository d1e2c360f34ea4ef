package natsconn

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

	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// fileMode is that of a log file, as NATS creates it.
const fileMode = 0o640

// Logger is the logger of the NATS server and the sink of the structured logger. It writes where the NATS options say,
// and can be reopened.
type Logger struct {
	streaming struct{ debug, trace bool }
	json      *jsonLines // nil for text
	to        io.Writer  // nil for the place that the options of NATS say

	mu   sync.RWMutex // guards opts and out
	opts *natsd.Options
	out  natsd.Logger
}

// LogOptions configure the log, besides the options of the NATS server.
type LogOptions struct {
	Debug, Trace bool      // of the streaming part
	JSON         bool      // lines of JSON instead of text
	SyslogName   string    // if set, the event source in the Windows event log
	To           io.Writer // if set, receives the lines, instead of the place that the options of NATS say
}

// NewLoggers returns the logger of the NATS server and the structured logger of the streaming part. Both write to the
// same place in the same format.
func NewLoggers(o *natsd.Options, own LogOptions) (*Logger, *slog.Logger) {
	if own.SyslogName != "" {
		natslog.SetSyslogName(own.SyslogName)
	}
	l := &Logger{to: own.To}
	l.streaming.debug, l.streaming.trace = own.Debug, own.Trace
	if own.JSON {
		l.json = newJSONLines()
	}
	l.Open(o)
	level := slog.LevelInfo
	switch {
	case o.NoLog:
		level = slog.LevelError + 1
	case own.Trace:
		level = LevelTrace
	case own.Debug:
		level = slog.LevelDebug
	}
	if l.json != nil {
		return l, slog.New(&jsonHandler{l, level, l.json.handler("streaming")})
	}
	return l, slog.New(&logHandler{out: l, level: level})
}

// Open opens the log that the options name and closes the previous one.
func (l *Logger) Open(o *natsd.Options) {
	debug, trace := o.Debug || l.streaming.debug, o.Trace || l.streaming.trace
	var out natsd.Logger
	switch {
	case l.to != nil:
		out = &lineLogger{l.to, io.NopCloser(nil)}
	case l.json != nil:
		out = openLines(o, debug, trace)
	case o.LogFile != "":
		f := natslog.NewFileLogger(o.LogFile, o.Logtime, debug, trace, true, natslog.LogUTC(o.LogtimeUTC))
		// Both fail only for a logger without a file.
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
	old := l.out
	l.opts, l.out = o, out
	l.mu.Unlock()
	if old, ok := old.(io.Closer); ok {
		if err := old.Close(); err != nil {
			l.Errorf("Close the log: %v", err)
		}
	}
}

// Reopen opens the log file again after a rename. It returns ErrNoLogFile if the log is not a file.
func (l *Logger) Reopen() error {
	l.mu.RLock()
	o := l.opts
	l.mu.RUnlock()
	if o.LogFile == "" {
		return ErrNoLogFile
	}
	// Try the file first: the NATS logger exits the process if it cannot open its file.
	f, err := os.OpenFile(o.LogFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return fmt.Errorf("reopen the log: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("reopen the log: %w", err)
	}
	l.Open(o)
	return nil
}

// ErrNoLogFile means that the log is not a file.
var ErrNoLogFile = errors.New("not a file logger")

// method is one of those of a natsd.Logger.
type method func(natsd.Logger, string, ...any)

// methodOf returns the method for a level.
func methodOf(level slog.Level) method {
	switch {
	case level >= slog.LevelError:
		return natsd.Logger.Errorf
	case level >= slog.LevelWarn:
		return natsd.Logger.Warnf
	case level <= LevelTrace:
		return natsd.Logger.Tracef
	case level <= slog.LevelDebug:
		return natsd.Logger.Debugf
	}
	return natsd.Logger.Noticef
}

// write writes a text as one line. Lines of the NATS server, as ours, hold names that clients chose: what does not print is
// escaped here, so that each call writes one line and nothing else.
func (l *Logger) write(level slog.Level, m method, format string, v []any) {
	line := fmt.Sprintf(format, v...)
	if l.json != nil {
		line = l.json.ofNATS(level, line)
	} else {
		line = printable.Line(line)
	}
	l.put(m, line)
}

// put passes a line to a method of the current output.
func (l *Logger) put(m method, line string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m(l.out, "%s", line)
}

// Noticef logs at level INF.
func (l *Logger) Noticef(format string, v ...any) {
	l.write(slog.LevelInfo, natsd.Logger.Noticef, format, v)
}

// Warnf logs at level WRN.
func (l *Logger) Warnf(format string, v ...any) {
	l.write(slog.LevelWarn, natsd.Logger.Warnf, format, v)
}

// Fatalf logs at level FTL and ends the process.
func (l *Logger) Fatalf(format string, v ...any) { l.write(levelFatal, natsd.Logger.Fatalf, format, v) }

// Errorf logs at level ERR.
func (l *Logger) Errorf(format string, v ...any) {
	l.write(slog.LevelError, natsd.Logger.Errorf, format, v)
}

// Debugf logs at level DBG.
func (l *Logger) Debugf(format string, v ...any) {
	l.write(slog.LevelDebug, natsd.Logger.Debugf, format, v)
}

// Tracef logs at level TRC.
func (l *Logger) Tracef(format string, v ...any) { l.write(LevelTrace, natsd.Logger.Tracef, format, v) }

// LevelTrace is NATS' level TRC, below debug.
const LevelTrace = slog.LevelDebug - 4

// logHandler writes records through a NATS logger as "STREAM: text key=value".
type logHandler struct {
	out    *Logger
	level  slog.Level
	suffix string // formatted attributes of With
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
	h.out.write(r.Level, methodOf(r.Level), "STREAM: %s", []any{b.String()})
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

// WithGroup ignores the group: the whole server shares its keys.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

func writeAttr(b *strings.Builder, a slog.Attr) {
	fmt.Fprintf(b, " %s=%s", a.Key, printable.Value(a.Value.Resolve().String()))
}
