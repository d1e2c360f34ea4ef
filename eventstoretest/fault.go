package eventstoretest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Fault is what happens to a call. Server.Inject says to which.
type Fault struct {
	name string
	// happen handles the call. direct is a client that meets no faults.
	happen func(w http.ResponseWriter, r *http.Request, api http.Handler, direct *eventstore.Client)
}

// answers writes errors in the protocol of the request.
var answers = connect.NewErrorWriter()

// Refuse answers with an error, and the server does not see the call. The client repeats a call that is connect.CodeUnavailable or
// connect.CodeDeadlineExceeded until its context ends. Other codes it returns at once, such as connect.CodePermissionDenied.
func Refuse(code connect.Code) Fault {
	return refuse("Refuse", connect.NewError(code, fmt.Errorf("eventstoretest: refused as %v", code)))
}

// Conflict answers an append as if another program had changed the aggregate: with *eventstore.ConflictError. Nothing is stored, and
// the aggregate is what it was. Use Rival for another program that stores something.
func Conflict(with eventstore.ConflictError) Fault {
	refused := connect.NewError(connect.CodeAborted, fmt.Errorf("eventstoretest: %w", &with))
	detail, err := connect.NewErrorDetail(&eventstorev1.VersionConflict{
		Channel: with.Channel, AggregateType: with.AggregateType, AggregateId: with.AggregateID, CurrentVersion: with.Current,
	})
	if err != nil {
		panic(err) // unreachable: the message marshals
	}
	refused.AddDetail(detail)
	return refuse("Conflict", refused)
}

func refuse(name string, err *connect.Error) Fault {
	return Fault{name: name, happen: func(w http.ResponseWriter, r *http.Request, _ http.Handler, _ *eventstore.Client) {
		_ = answers.Write(w, r, err) // the client may have gone
	}}
}

// Delay passes the call on after a while, as if the server or its database were slow. It ends early with the call.
func Delay(by time.Duration) Fault {
	return Fault{name: "Delay", happen: func(w http.ResponseWriter, r *http.Request, api http.Handler, _ *eventstore.Client) {
		wait(r.Context(), by)
		api.ServeHTTP(w, r)
	}}
}

// DelayAnswer lets the server do the call, and answers after a while. It is for calls that are not streams, such as Append.
func DelayAnswer(by time.Duration) Fault {
	return Fault{name: "DelayAnswer", happen: func(w http.ResponseWriter, r *http.Request, api http.Handler, _ *eventstore.Client) {
		late := newAnswer()
		api.ServeHTTP(late, r)
		wait(r.Context(), by)
		late.writeTo(w)
	}}
}

// Hold passes the call on when a gate is opened, or breaks it off if its caller has gone by then.
func Hold(at *Gate) Fault {
	return Fault{name: "Hold", happen: func(w http.ResponseWriter, r *http.Request, api http.Handler, _ *eventstore.Client) {
		at.arrive.Do(func() { close(at.arrived) })
		select {
		case <-at.opened:
			api.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}}
}

// LoseAnswer lets the server do the call, and breaks the answer off before it is complete: what an append stores is stored, and its
// client does not know. It is for calls that are not streams, such as Append.
func LoseAnswer() Fault {
	return Fault{name: "LoseAnswer", happen: func(w http.ResponseWriter, r *http.Request, api http.Handler, _ *eventstore.Client) {
		lost := newAnswer()
		api.ServeHTTP(lost, r)
		lost.body.Truncate(lost.body.Len() / 2)
		lost.writeTo(w)
		_ = http.NewResponseController(w).Flush() // the client may have gone
		panic(http.ErrAbortHandler)               // which net/http makes a broken connection
	}}
}

// Rival runs a function before the call, as another program that comes first. Its client meets no faults. After an error of it, the call is
// answered with that error.
func Rival(act func(ctx context.Context, client *eventstore.Client) error) Fault {
	return Fault{name: "Rival", happen: func(w http.ResponseWriter, r *http.Request, api http.Handler, direct *eventstore.Client) {
		if err := act(r.Context(), direct); err != nil {
			_ = answers.Write(w, r, connect.NewError(connect.CodeInternal, fmt.Errorf("eventstoretest: the rival failed: %w", err))) // the client may have gone
			return
		}
		api.ServeHTTP(w, r)
	}}
}

// wait waits unless ctx ends first.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// answer keeps an answer.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: make(http.Header), status: http.StatusOK} }

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
func (a *answer) Flush()                      {}

func (a *answer) writeTo(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // the client may have gone
}
