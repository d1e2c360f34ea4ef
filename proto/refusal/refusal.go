package refusal

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Code says what is refused: a kind of nats_streaming_errors_total (docs/operate/monitoring.md).
type Code string

// Codes of refusals.
const (
	CodeInvalidRequest      Code = "invalid_request"
	CodeInvalidEvent        Code = "invalid_event"
	CodeWrongVersion        Code = "wrong_version"
	CodeDuplicateEvent      Code = "duplicate_event"
	CodeTooLarge            Code = "too_large"
	CodeRefused             Code = "refused"
	CodeSubjectMismatch     Code = "subject_mismatch"
	CodePermissions         Code = "permissions"
	CodeNotInbox            Code = "not_inbox"
	CodeLimit               Code = "limit"
	CodeUnknownClient       Code = "unknown_client"
	CodeClientRegistered    Code = "client_registered"
	CodeClientReplaced      Code = "client_replaced"
	CodeUnknownSubscription Code = "unknown_subscription"
	CodeDuplicateDurable    Code = "duplicate_durable"
	CodeChannelDeleted      Code = "channel_deleted"
	CodeUnavailable         Code = "unavailable"
	CodeOutcomeUnknown      Code = "outcome_unknown"
	CodeFenced              Code = "fenced"
	CodeOther               Code = "other"
)

// codes are the codes of texts. The first that a refusal contains decides.
var codes = []struct {
	text string
	code Code
}{
	{OutcomeUnknown, CodeOutcomeUnknown},
	{Fenced, CodeFenced},
	{Unavailable, CodeUnavailable},
	{DuplicateEvent, CodeDuplicateEvent},
	{PartlyStored, CodeDuplicateEvent},
	{Refused, CodeRefused},
	{SubjectMismatch, CodeSubjectMismatch},
	{NotInbox, CodeNotInbox},
	{Permissions, CodePermissions},
	{TooLarge, CodeTooLarge},
	{Overloaded, CodeUnavailable},
	{Stopped, CodeUnavailable},
	{Busy, CodeUnavailable},
	{InvalidConnect, CodeInvalidRequest},
	{InvalidClientID, CodeInvalidRequest},
	{InvalidPublish, CodeInvalidRequest},
	{InvalidSubscribe, CodeInvalidRequest},
	{InvalidAckWait, CodeInvalidRequest},
	{InvalidMaxInFlight, CodeInvalidRequest},
	{InvalidStart, CodeInvalidRequest},
	{InvalidSubject, CodeInvalidRequest},
	{DurableColon, CodeInvalidRequest},
	{InvalidUnsubscribe, CodeInvalidRequest},
	{InvalidClose, CodeInvalidRequest},
	{LongRequest, CodeInvalidRequest},
	{MissingClient, CodeUnknownClient},
	{UnknownClient, CodeUnknownClient},
	{ClientRegistered, CodeClientRegistered},
	{ClientReplaced, CodeClientReplaced},
	{TooManyChannels, CodeLimit},
	{TooManySubs, CodeLimit},
	{ChannelDeleted, CodeChannelDeleted},
	{DuplicateDurable, CodeDuplicateDurable},
	{UnknownChannel, CodeUnknownSubscription},
	{InvalidSub, CodeUnknownSubscription},
	{OutOfService, CodeOther},
	{OtherCase, CodeOther},
}

// Refusal is what a text says. The fields that the text does not have are zero.
type Refusal struct {
	Code        Code
	AggregateID string // of a CodeWrongVersion
	Current     uint64 // the aggregate's version; 0 also if the text does not tell it, as with versions that are only unique
	Version     uint64 // of the event
	EventID     string // of a CodeDuplicateEvent
}

// Parse reads the text of a refusal, with or without "stan: ". It reports false for any other text.
func Parse(text string) (Refusal, bool) {
	text = strings.TrimPrefix(text, "stan: ")
	switch {
	case strings.HasPrefix(text, InvalidEvent+": "): // what follows may show the event
		return Refusal{Code: CodeInvalidEvent}, true
	case strings.HasPrefix(text, WrongVersion+": "):
		return version(text), true
	}
	bare := quoted.ReplaceAllString(text, `""`) // names are the client's
	for _, it := range codes {
		if strings.Contains(bare, it.text) {
			r := Refusal{Code: it.code}
			if found := event.FindStringSubmatch(text); it.text == DuplicateEvent && found != nil {
				r.EventID = unquote(found[1])
			}
			return r, true
		}
	}
	return Refusal{}, false
}

const quotedText = `"(?:[^"\\]|\\.)*"`

var (
	quoted   = regexp.MustCompile(quotedText)
	event    = regexp.MustCompile(`^event_id (` + quotedText + `) `)
	behind   = regexp.MustCompile(`^` + WrongVersion + `: aggregate (` + quotedText + `) is at version (\d+), event has version (\d+)$`)
	highest  = regexp.MustCompile(`^` + WrongVersion + `: aggregate (` + quotedText + `) is at version (\d+), there is no higher one$`)
	occupied = regexp.MustCompile(`^` + WrongVersion + `: aggregate (` + quotedText + `) has an event with version (\d+)$`)
)

// NotNext is the text for an event whose version does not follow its aggregate's.
func NotNext(aggregate string, current, version uint64) string {
	return fmt.Sprintf("%s: aggregate %q is at version %d, event has version %d", WrongVersion, aggregate, current, version)
}

// Taken is the text for an event whose version another event of its aggregate has.
func Taken(aggregate string, version uint64) string {
	return fmt.Sprintf("%s: aggregate %q has an event with version %d", WrongVersion, aggregate, version)
}

// Last is the text for an event of an aggregate that has the highest possible version.
func Last(aggregate string, current uint64) string {
	return fmt.Sprintf("%s: aggregate %q is at version %d, there is no higher one", WrongVersion, aggregate, current)
}

func version(text string) Refusal {
	r := Refusal{Code: CodeWrongVersion}
	if found := behind.FindStringSubmatch(text); found != nil {
		r.AggregateID, r.Current, r.Version = unquote(found[1]), number(found[2]), number(found[3])
	} else if found := highest.FindStringSubmatch(text); found != nil {
		r.AggregateID, r.Current = unquote(found[1]), number(found[2])
	} else if found := occupied.FindStringSubmatch(text); found != nil {
		r.AggregateID, r.Version = unquote(found[1]), number(found[2])
	}
	return r
}

func unquote(text string) string {
	value, err := strconv.Unquote(text)
	if err != nil {
		return text
	}
	return value
}

func number(digits string) uint64 {
	n, _ := strconv.ParseUint(digits, 10, 64) // 0 is unknown
	return n
}
