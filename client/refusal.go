package eventstore

import "github.com/nats-eventstore/nats-eventstore/proto/refusal"

// Refusal is an error of a client of NATS Streaming, such as stan.go, that the server answered with. The protocol has nothing
// but a text; AsRefusal reads it. errors.As finds a *ConflictError in a wrong version, and errors.Is finds ErrDuplicate in a
// duplicate event and ErrActive in a duplicate durable, as in errors of the API. Err is the client's own error.
type Refusal struct {
	Code        refusal.Code // a kind of the metric nats_streaming_errors_total
	AggregateID string       // of a refusal.CodeWrongVersion
	Current     uint64       // version of the aggregate's last event; 0 also if the text does not tell it
	Version     uint64       // event_version of the event
	EventID     string       // of a refusal.CodeDuplicateEvent
	Err         error
}

// AsRefusal returns what the server refused, or nil if err is not the text of a refusal: if it is nil, or the client's own,
// such as a timeout. It reads the error's own text, so pass what the client returned.
func AsRefusal(err error) *Refusal {
	if err == nil {
		return nil
	}
	r, ok := refusal.Parse(err.Error())
	if !ok {
		return nil
	}
	return &Refusal{Code: r.Code, AggregateID: r.AggregateID, Current: r.Current, Version: r.Version, EventID: r.EventID, Err: err}
}

// Error returns the text of the server.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns Err and, if there is one, the error of this package that means the same.
func (r *Refusal) Unwrap() []error {
	switch r.Code {
	case refusal.CodeWrongVersion:
		return []error{r.Err, &ConflictError{AggregateID: r.AggregateID, Current: r.Current}}
	case refusal.CodeDuplicateEvent:
		return []error{r.Err, ErrDuplicate}
	case refusal.CodeDuplicateDurable:
		return []error{r.Err, ErrActive}
	}
	return []error{r.Err}
}

// Temporary reports whether the same request may succeed later.
func (r *Refusal) Temporary() bool {
	switch r.Code {
	case refusal.CodeUnavailable, refusal.CodeOutcomeUnknown, refusal.CodeFenced, refusal.CodeChannelDeleted:
		return true
	}
	return false
}
