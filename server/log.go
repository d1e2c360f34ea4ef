package server

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	natslog "github.com/nats-io/nats-server/v2/logger"
	natsd "github.com/nats-io/nats-server/v2/server"
)

// newLoggers returns the logger of the NATS server, as its options ask for it, and beside it
// the structured logger of the streaming part, which writes to the same place in the same
// format, with levels of its own.
func newLoggers(o *Options) (natsd.Logger, *slog.Logger) {
	debug, trace := o.NATS.Debug || o.Debug, o.NATS.Trace || o.Trace
	var nl natsd.Logger
	switch {
	case o.NATS.LogFile != "":
		l := natslog.NewFileLogger(o.NATS.LogFile, o.NATS.Logtime, debug, trace, true, natslog.LogUTC(o.NATS.LogtimeUTC))
		if o.NATS.LogSizeLimit > 0 {
			// The only error is a logger without a file.
			_ = l.SetSizeLimit(o.NATS.LogSizeLimit)
		}
		nl = l
	case o.NATS.RemoteSyslog != "":
		nl = natslog.NewRemoteSysLogger(o.NATS.RemoteSyslog, debug, trace)
	case o.NATS.Syslog:
		nl = natslog.NewSysLogger(debug, trace)
	default:
		stat, err := os.Stderr.Stat()
		colors := err == nil && stat.Mode()&os.ModeCharDevice != 0
		nl = natslog.NewStdLogger(o.NATS.Logtime, debug, trace, colors, true, natslog.LogUTC(o.NATS.LogtimeUTC))
	}
	level := slog.LevelInfo
	switch {
	case o.NATS.NoLog:
		level = slog.LevelError + 1
	case o.Trace:
		level = levelTrace
	case o.Debug:
		level = slog.LevelDebug
	}
	return nl, slog.New(&logHandler{out: nl, level: level})
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
