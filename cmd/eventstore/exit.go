package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"connectrpc.com/connect"
)

// The exit statuses, which docs/reference/tool.md documents.
const (
	exitOK          = 0
	exitError       = 1   // anything else
	exitUsage       = 2   // wrong flags or arguments, or input that is not valid
	exitNotFound    = 3   // no such event, channel, consumer, client or context
	exitConflict    = 4   // an expected version or a condition did not hold, or an ID is stored already
	exitRefused     = 5   // a right is missing, the state forbids it, or the user said no
	exitUnreachable = 6   // no server answered in time, or the one that did does not lead
	exitWarnings    = 7   // doctor: nothing worse than warnings
	exitFaults      = 8   // doctor and verify: faults
	exitInterrupted = 130 // by ctrl-C or SIGTERM
)

// usageError is a mistake in the arguments.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// statusError is an error with a status of its own. Without a text nothing is printed.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func notFound(format string, args ...any) error {
	return &statusError{exitNotFound, fmt.Sprintf(format, args...)}
}

func refused(format string, args ...any) error {
	return &statusError{exitRefused, fmt.Sprintf(format, args...)}
}

// report prints an error, and returns the exit status.
func (t *tool) report(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	status := statusOf(err)
	if err.Error() == "" { // the output has told
		return status
	}
	for line := range strings.Lines(strings.TrimSpace(textOf(err))) {
		t.note("%s", strings.TrimSpace(line))
	}
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintln(t.err, "Run eventstore --help, or eventstore COMMAND --help.")
	}
	return status
}

// statusOf returns the exit status of an error.
func statusOf(err error) int {
	var wrong *usageError
	var own *statusError
	var network net.Error
	var file *fs.PathError
	switch {
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &own):
		return own.status
	}
	var failed *connect.Error
	if errors.As(err, &failed) {
		switch failed.Code() {
		case connect.CodeInvalidArgument, connect.CodeOutOfRange:
			return exitUsage
		case connect.CodeNotFound:
			return exitNotFound
		case connect.CodeAborted, connect.CodeAlreadyExists:
			return exitConflict
		case connect.CodePermissionDenied, connect.CodeUnauthenticated, connect.CodeFailedPrecondition:
			return exitRefused
		case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeResourceExhausted:
			return exitUnreachable
		}
		return exitError
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // before network, since the error of a system call may be a net.Error
		return exitNotFound
	case errors.As(err, &file): // such as a full disk
		return exitError
	case errors.As(err, &network):
		return exitUnreachable
	}
	return exitError
}

// textOf is the text of an error for the user, with what to do about it.
func textOf(err error) string {
	text := err.Error()
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return text
	}
	if failed.Message() != "" { // without the code, which is the exit status
		text = strings.Replace(text, failed.Error(), failed.Message(), 1)
	}
	switch code := failed.Code(); {
	case code == connect.CodeUnavailable && isTLS(err):
		text += ": name the authority of the servers with --ca, and give a certificate with --cert and --key if they want one"
	case code == connect.CodeUnauthenticated:
		text += ": give a token with --token-file, EVENTSTORE_TOKEN or a context, or a certificate with --cert and --key"
	case code == connect.CodeUnimplemented:
		text += ": this server does not have the method: is it older than the tool?"
	}
	return text
}
