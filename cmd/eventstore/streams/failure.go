package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Codes of JetStream's errors that nats.go does not name.
const (
	codeWrongLastConstant jetstream.ErrorCode = 10164 // a wrong last sequence, without its number in the text
	codeNoPeers           jetstream.ErrorCode = 10005
	codeNoLeader          jetstream.ErrorCode = 10008
	codeNotLeader         jetstream.ErrorCode = 10009
	codeOffline           jetstream.ErrorCode = 10118
	codeTooManyRequests   jetstream.ErrorCode = 10167
	codeNoAccountRoom     jetstream.ErrorCode = 10002
	codeNoServerRoom      jetstream.ErrorCode = 10023
	codeNoStorage         jetstream.ErrorCode = 10047
	codeStoreFailed       jetstream.ErrorCode = 10077 // such as maximum bytes exceeded
	codeMaxBytesRequired  jetstream.ErrorCode = 10113
	codeSubjectOverlap    jetstream.ErrorCode = 10065
)

func codeOf(err error) jetstream.ErrorCode {
	var failed *jetstream.APIError
	if errors.As(err, &failed) {
		return failed.ErrorCode
	}
	return 0
}

func isWrongLast(err error) bool {
	return slices.Contains([]jetstream.ErrorCode{jetstream.JSErrCodeStreamWrongLastSequence, codeWrongLastConstant}, codeOf(err))
}

// Passes reports whether an error may be over in a moment: JetStream is away, or elects a leader.
func Passes(err error) bool {
	if slices.Contains([]jetstream.ErrorCode{codeNoLeader, codeNotLeader, codeOffline, codeTooManyRequests}, codeOf(err)) {
		return true
	}
	for _, known := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting,
		nats.ErrStaleConnection, jetstream.ErrAsyncPublishTimeout, jetstream.ErrNoStreamResponse, jetstream.ErrTooManyStalledMsgs, errStepped,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// explain completes an error of JetStream with what to do.
func explain(err error) error {
	what := ""
	switch codeOf(err) {
	case codeNoAccountRoom, codeNoServerRoom, codeNoStorage, codeStoreFailed:
		what = "make room: raise max_bytes of the stream, max_file of the account, or max_file_store of the nats-server, then run the same command again: it goes on where it was"
	case jetstream.JSErrCodeStreamMessageExceedsMaximum:
		what = "remove max_msg_size of the stream, then run the same command again"
	case codeMaxBytesRequired:
		what = "the account wants max_bytes for each stream: create the streams yourself, with room for the channel, and run the same command again"
	case codeSubjectOverlap:
		what = "another stream has these subjects: delete it, or choose others with --subject"
	case codeNoPeers:
		what = "the cluster has too few servers for so many replicas: choose fewer with --replicas"
	case jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount:
		what = "start the nats-server with -js, or enable JetStream for the account"
	}
	switch {
	case what != "":
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		what = "JetStream does not answer: start the nats-server with -js, and look whether the user may publish to $JS.API.> and has the right domain"
	case errors.Is(err, nats.ErrPermissionViolation):
		what = "give the user the rights to publish to $JS.API.> and to the subjects, and to subscribe to _INBOX.>"
	case Passes(err):
		what = "JetStream does not answer: look after the nats-server, then run the same command again: it goes on where it was"
	default:
		return err
	}
	return fmt.Errorf("%w: %s", err, what)
}
