package api

import (
	"context"
	"errors"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb/pbconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/umadb/umadbconnect"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// Observer is told what becomes of requests.
type Observer interface {
	// APIRequests counts n requests of a method that ended with a code; n is 0 for what may be counted later.
	APIRequests(procedure, code string, n int)
	// Refused is told of each refusal once. client and channel are what is known of them, or empty.
	Refused(operation, client, channel string, err error)
	// ConnectionRefused returns what is called for each connection that is closed because too many are open on a port.
	ConnectionRefused(port string) func()
}

// Operations of requests, as metrics name them.
const (
	opAppend    = "append"
	opRead      = "read"
	opSubscribe = "subscribe"
	opAdmin     = "admin"
	opUnknown   = "request" // names no method
)

// operations are those of the methods.
var operations = map[string]string{
	eventstorev1connect.EventStoreAppendProcedure:         opAppend,
	eventstorev1connect.EventStoreReadProcedure:           opRead,
	eventstorev1connect.EventStoreReadAggregateProcedure:  opRead,
	eventstorev1connect.EventStoreGetEventProcedure:       opRead,
	eventstorev1connect.EventStoreGetHeadProcedure:        opRead,
	eventstorev1connect.EventStoreListChannelsProcedure:   opRead,
	eventstorev1connect.EventStoreSubscribeProcedure:      opSubscribe,
	eventstorev1connect.EventStoreConsumeProcedure:        opSubscribe,
	eventstorev1connect.AdminListConsumersProcedure:       opAdmin,
	eventstorev1connect.AdminGetConsumerProcedure:         opAdmin,
	eventstorev1connect.AdminConfigureConsumerProcedure:   opAdmin,
	eventstorev1connect.AdminPauseConsumerProcedure:       opAdmin,
	eventstorev1connect.AdminResumeConsumerProcedure:      opAdmin,
	eventstorev1connect.AdminSetConsumerPositionProcedure: opAdmin,
	eventstorev1connect.AdminSkipMessageProcedure:         opAdmin,
	eventstorev1connect.AdminDropConsumerProcedure:        opAdmin,
	eventstorev1connect.AdminListParkedProcedure:          opAdmin,
	eventstorev1connect.AdminReplayParkedProcedure:        opAdmin,
	eventstorev1connect.AdminDiscardParkedProcedure:       opAdmin,
	eventstorev1connect.AdminCancelDeliveryProcedure:      opAdmin,
	eventstorev1connect.AdminListClientsProcedure:         opAdmin,
	eventstorev1connect.AdminKickClientProcedure:          opAdmin,
	eventstorev1connect.AdminListKeysProcedure:            opAdmin,
	eventstorev1connect.AdminGetSubjectKeysProcedure:      opAdmin,
	eventstorev1connect.AdminForgetSubjectProcedure:       opAdmin,
	eventstorev1connect.AdminRenewSubjectKeyProcedure:     opAdmin,
	eventstorev1connect.AdminRotateMasterKeyProcedure:     opAdmin,
	eventstorev1connect.AdminListAuditProcedure:           opAdmin,
	eventstorev1connect.AdminEraseEventsProcedure:         opAdmin,
	eventstorev1connect.AdminListErasuresProcedure:        opAdmin,
	eventstoreconnect.EventStoreCreateEventProcedure:      opAppend,
	eventstoreconnect.EventStoreGetEventsProcedure:        opRead,
	eventstoreconnect.EventStoreGetEventsStreamProcedure:  opRead,
	pbconnect.EventStoreCreateEventProcedure:              opAppend,
	pbconnect.EventStoreGetEventsProcedure:                opRead,
	umadbconnect.DCBAppendProcedure:                       opAppend,
	umadbconnect.DCBReadProcedure:                         opRead,
	umadbconnect.DCBHeadProcedure:                         opRead,
	umadbconnect.DCBGetTrackingInfoProcedure:              opRead,
	umadbconnect.DCBSubscribeProcedure:                    opSubscribe,
}

// codeOK is the code of a request without an error.
const codeOK = "ok"

// codesOf are the codes of an operation that are counted from the start.
func codesOf(operation string) []string {
	found := []connect.Code{
		connect.CodeCanceled, connect.CodeUnknown, connect.CodeInvalidArgument, connect.CodeDeadlineExceeded, connect.CodePermissionDenied,
		connect.CodeResourceExhausted, connect.CodeFailedPrecondition, connect.CodeInternal, connect.CodeUnavailable, connect.CodeUnauthenticated,
	}
	switch operation {
	case opAppend:
		found = append(found, connect.CodeAlreadyExists, connect.CodeAborted)
	case opRead, opAdmin:
		found = append(found, connect.CodeNotFound)
	}
	codes := []string{codeOK}
	for _, c := range found {
		codes = append(codes, c.String())
	}
	return codes
}

// call is what becomes known of a request on its way to its method, and back.
type call struct {
	reached bool   // its method was called
	client  string // name of the principal, or the host
	channel string
	err     error
}

type callKey struct{}

// errUnreadable refuses a request that does not reach its method.
var errUnreadable = connect.NewError(connect.CodeInvalidArgument, errors.New("the request cannot be decoded, or is too large"))

// observed tells the observer of each request: of those that never reach their method, too.
func observed(o Observer, next http.Handler) http.Handler {
	for procedure, operation := range operations {
		for _, code := range codesOf(operation) {
			o.APIRequests(procedure, code, 0)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{client: host(r.RemoteAddr)}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
		operation, known := operations[r.URL.Path]
		switch {
		case !known:
			operation = opUnknown
		case c.err != nil || c.reached:
		case r.Method != http.MethodPost: // not a call
			known = false
		case r.Context().Err() != nil:
			c.err = connect.NewError(connect.CodeCanceled, r.Context().Err())
		default:
			c.err = errUnreadable
		}
		code := codeOK
		if c.err != nil {
			code = connect.CodeOf(c.err).String()
		}
		if known {
			o.APIRequests(r.URL.Path, code, 1)
		}
		if isRefusal(c.err) {
			o.Refused(operation, c.client, c.channel, c.err)
		}
	})
}

// isRefusal reports whether an error is one of the request, or of the server. A client that went away was not refused,
// and an event that does not exist is an answer.
func isRefusal(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeCanceled, connect.CodeDeadlineExceeded:
		return false
	case connect.CodeNotFound:
		return errors.Is(err, ErrUnknownChannel)
	case connect.CodeAborted:
		return !errors.Is(err, ErrRemoved)
	}
	return err != nil
}

// host is the host of an address.
func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return h
}

var errorWriter = connect.NewErrorWriter()

// refuse answers a request before it reaches its method. status is that of HTTP, for a client that speaks none of the
// API's protocols.
func refuse(w http.ResponseWriter, r *http.Request, err error, status int) {
	if c, ok := r.Context().Value(callKey{}).(*call); ok {
		c.err = err
	}
	if errorWriter.IsSupported(r) {
		_ = errorWriter.Write(w, r, err) // an error means that the client has gone
		return
	}
	http.Error(w, err.Error(), status)
}

// witness notes what becomes of a request that reaches its method.
type witness struct{}

var _ connect.Interceptor = witness{}

func (witness) note(ctx context.Context, message any, err error) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return
	}
	c.reached, c.err = true, err
	if from, ok := ctx.Value(callerKey{}).(*caller); ok {
		if p := from.principal(); p != nil && p != everybody {
			c.client = p.Name
		}
	}
	switch m := message.(type) {
	case interface{ GetChannel() string }:
		c.channel = m.GetChannel()
	case *eventstorev1.ConsumeRequest:
		c.channel = m.GetOpen().GetChannel()
	case *eventstore.CreateEventRequest:
		c.channel = m.GetEvent().GetStream()
	}
}

// WrapUnary implements connect.Interceptor.
func (w witness) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		resp, err := next(ctx, req)
		w.note(ctx, req.Any(), err)
		return resp, err
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (witness) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (w witness) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		first := &firstMessage{StreamingHandlerConn: conn}
		err := next(ctx, first)
		w.note(ctx, first.message, err)
		return err
	}
}

// firstMessage remembers the request of a stream.
type firstMessage struct {
	connect.StreamingHandlerConn
	message any
}

// Receive implements connect.StreamingHandlerConn.
func (f *firstMessage) Receive(message any) error {
	err := f.StreamingHandlerConn.Receive(message)
	if f.message == nil {
		f.message = message
	}
	return err
}
