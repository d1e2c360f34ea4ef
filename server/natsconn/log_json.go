package natsconn

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"sync"
	"time"

	natslog "github.com/nats-io/nats-server/v2/logger"
	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// levelFatal is NATS' level FTL, which ends the process.
const levelFatal = slog.LevelError + 4

// jsonLines encodes records as lines of JSON. NATS' lines have component "nats", ours "streaming".
type jsonLines struct {
	mu   sync.Mutex // guards line
	line bytes.Buffer
	nats slog.Handler
}

func newJSONLines() *jsonLines {
	l := &jsonLines{}
	l.nats = l.handler("nats")
	return l
}

func (l *jsonLines) handler(component string) slog.Handler {
	return slog.NewJSONHandler(&l.line, &slog.HandlerOptions{Level: LevelTrace, ReplaceAttr: jsonAttr}).
		WithAttrs([]slog.Attr{slog.String("component", component)})
}

// jsonAttr writes values as the text format does.
func jsonAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case slog.Level:
		switch v {
		case LevelTrace:
			a.Value = slog.StringValue("TRACE")
		case levelFatal:
			a.Value = slog.StringValue("FATAL")
		}
	case time.Time:
		a.Value = slog.TimeValue(v.UTC())
	case error: // else a pointer to a struct could be shown
		a.Value = slog.StringValue(v.Error())
	case fmt.Stringer:
		a.Value = slog.StringValue(v.String())
	}
	return a
}

// encode returns a record as a line, without the newline.
func (l *jsonLines) encode(h slog.Handler, r slog.Record) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line.Reset()
	_ = h.Handle(context.Background(), r) // a buffer takes everything
	return printable.JSON(string(bytes.TrimSuffix(l.line.Bytes(), []byte("\n"))))
}

// ofNATS returns a line of the NATS server.
func (l *jsonLines) ofNATS(level slog.Level, text string) string {
	return l.encode(l.nats, slog.NewRecord(time.Now(), level, text, 0))
}

// jsonHandler writes records as lines of JSON.
type jsonHandler struct {
	out     *Logger
	level   slog.Level
	encoder slog.Handler // writes to out.json
}

// Enabled implements slog.Handler.
func (h *jsonHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle implements slog.Handler.
func (h *jsonHandler) Handle(_ context.Context, r slog.Record) error {
	h.out.put(methodOf(r.Level), h.out.json.encode(h.encoder, r))
	return nil
}

// WithAttrs implements slog.Handler.
func (h *jsonHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &jsonHandler{h.out, h.level, h.encoder.WithAttrs(attrs)}
}

// WithGroup ignores the group: the whole server shares its keys.
func (h *jsonHandler) WithGroup(string) slog.Handler { return h }

// openLines opens the log that the options name for lines that need no prefix.
func openLines(o *natsd.Options, debug, trace bool) natsd.Logger {
	switch {
	case o.LogFile != "":
		f, err := os.OpenFile(o.LogFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
		if err != nil {
			log.Fatalf("error opening file: %v", err) // as NATS' own logger does
		}
		return &lineLogger{f, f}
	case o.RemoteSyslog != "":
		return natslog.NewRemoteSysLogger(o.RemoteSyslog, debug, trace)
	case o.Syslog:
		return natslog.NewSysLogger(debug, trace)
	}
	return &lineLogger{os.Stderr, io.NopCloser(nil)}
}

// lineLogger writes lines as they are.
type lineLogger struct {
	io.Writer
	io.Closer
}

var _ natsd.Logger = (*lineLogger)(nil)

// print writes a line at once, so that lines of several goroutines do not mix. Where a log cannot be written, nobody can be told.
func (l *lineLogger) print(format string, v []any) {
	_, _ = l.Write(append(fmt.Appendf(nil, format, v...), '\n'))
}

// Noticef implements natsd.Logger.
func (l *lineLogger) Noticef(format string, v ...any) { l.print(format, v) }

// Warnf implements natsd.Logger.
func (l *lineLogger) Warnf(format string, v ...any) { l.print(format, v) }

// Errorf implements natsd.Logger.
func (l *lineLogger) Errorf(format string, v ...any) { l.print(format, v) }

// Debugf implements natsd.Logger.
func (l *lineLogger) Debugf(format string, v ...any) { l.print(format, v) }

// Tracef implements natsd.Logger.
func (l *lineLogger) Tracef(format string, v ...any) { l.print(format, v) }

// Fatalf implements natsd.Logger. It ends the process.
func (l *lineLogger) Fatalf(format string, v ...any) {
	l.print(format, v)
	os.Exit(1)
}
