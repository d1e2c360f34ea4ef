package console

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// act is something that an administrator may do. The API writes each to the audit.
type act struct {
	Title  string // of its confirmation
	Button string
	Danger bool   // it cannot be undone
	What   string // what it does
	// Fields of the form.
	Sequence, Reason, NeedsReason, To, Force, Deliveries bool

	done string
	do   func(context.Context, eventstorev1connect.AdminHandler, request) error
}

// request is what the form of an act says.
type request struct {
	name   stores.ConsumerName
	client string // to kick
	form   url.Values
}

// acts by the names in addresses.
var acts = map[string]act{
	"pause": {
		Title: "Pause", Button: "Pause", What: "Its members get no more messages until it is resumed. What is published waits. Messages that were sent can still be acknowledged.",
		done: "Paused.",
		do: func(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
			_, err := a.PauseConsumer(ctx, &eventstorev1.PauseConsumerRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name})
			return err
		},
	},
	"resume": {
		Title: "Resume", Button: "Resume", What: "Its members get messages again, the oldest first.",
		done: "Resumed.",
		do: func(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
			_, err := a.ResumeConsumer(ctx, &eventstorev1.ResumeConsumerRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name})
			return err
		},
	},
	"reset": {
		Title: "Reset", Button: "Reset", Danger: true, To: true,
		What: "It goes on at another message. Back, it gets messages again that it has acknowledged; forward, it never gets those between. What it was sent before is forgotten. Parked messages from there on are no longer parked, since they come again.",
		done: "Reset.", do: reset,
	},
	"skip": {
		Title: "Skip a message", Button: "Skip", Danger: true, Sequence: true, Reason: true,
		What: "A message that the consumer was sent, or that is its next one, counts as acknowledged, and is not sent again. The event itself stays.",
		done: "Skipped.",
		do: func(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
			sequence, err := r.sequence()
			if err == nil {
				_, err = a.SkipMessage(ctx, &eventstorev1.SkipMessageRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name, Sequence: sequence, Reason: r.form.Get("reason")})
			}
			return err
		},
	},
	"limit": {
		Title: "Limit deliveries", Button: "Limit", Deliveries: true,
		What: "A message that was sent so often without being acknowledged is parked, and the consumer goes on without it. Parked messages can be replayed.",
		done: "The limit counts from now on.", do: limit,
	},
	"drop": {
		Title: "Drop", Button: "Drop", Danger: true, Force: true,
		What: "Its position, its unacknowledged and its parked messages and its settings are removed. A client that subscribes by this name later begins anew. The events themselves stay.",
		done: "Dropped.",
		do: func(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
			_, err := a.DropConsumer(ctx, &eventstorev1.DropConsumerRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name, Force: r.form.Get("force") != ""})
			return err
		},
	},
	"replay": {
		Title: "Replay parked messages", Button: "Replay", What: "They leave the parked messages, and are sent to this consumer again.",
		done: "Replayed.",
		do: func(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
			sequences, all, err := r.sequences()
			if err == nil {
				_, err = a.ReplayParked(ctx, &eventstorev1.ReplayParkedRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name, Sequences: sequences, All: all})
			}
			return err
		},
	},
	"discard": {
		Title: "Discard parked messages", Button: "Discard", Danger: true, Reason: true, NeedsReason: true,
		What: "This consumer never gets them. The events themselves stay.",
		done: "Discarded.",
		do: func(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
			sequences, all, err := r.sequences()
			if err == nil {
				_, err = a.DiscardParked(ctx, &eventstorev1.DiscardParkedRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name, Sequences: sequences, All: all, Reason: r.form.Get("reason")})
			}
			return err
		},
	},
	"kick": {
		Title: "Close a client", Button: "Close", Danger: true, Reason: true,
		What: "Its subscriptions end, and its durables keep their positions. It learns of it at its next ping, and may connect again.",
		done: "Closed.",
		do: func(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
			_, err := a.KickClient(ctx, &eventstorev1.KickClientRequest{Client: r.client, Reason: r.form.Get("reason")})
			return err
		},
	},
}

// reset sets the position of a consumer.
func reset(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
	req := &eventstorev1.SetConsumerPositionRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name}
	value := strings.TrimSpace(r.form.Get("value"))
	n, notNumber := strconv.ParseUint(value, 10, 64)
	switch to := r.form.Get("to"); {
	case to == "begin":
		req.Next = &eventstorev1.SetConsumerPositionRequest_Position{Position: 1}
		if r.isChannel() {
			req.Next = &eventstorev1.SetConsumerPositionRequest_Sequence{Sequence: 1}
		}
	case to == "end":
		req.Next = &eventstorev1.SetConsumerPositionRequest_End{End: true}
	case to == "time":
		at, err := parseTime(value)
		if err != nil {
			return err
		}
		req.Next = &eventstorev1.SetConsumerPositionRequest_Time{Time: timestamppb.New(at)}
	case notNumber != nil && (to == "sequence" || to == "position"):
		return badRequest("the " + to + " is " + strconv.Quote(value) + ": write a number")
	case to == "sequence":
		req.Next = &eventstorev1.SetConsumerPositionRequest_Sequence{Sequence: n}
	case to == "position":
		req.Next = &eventstorev1.SetConsumerPositionRequest_Position{Position: n}
	default:
		return badRequest("choose where it is to go on")
	}
	_, err := a.SetConsumerPosition(ctx, req)
	return err
}

// limit sets how often a message is sent before it is parked.
func limit(ctx context.Context, a eventstorev1connect.AdminHandler, r request) error {
	req := &eventstorev1.ConfigureConsumerRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name}
	text := strings.TrimSpace(r.form.Get("deliveries"))
	n, err := strconv.ParseUint(text, 10, 32)
	switch {
	case err != nil:
		return badRequest("the number of deliveries is " + strconv.Quote(text) + ": write a number from 1, or 0 to take back what was set at run time")
	case n == 0:
		req.Clear = []string{"max_deliveries", "on_limit"}
	default:
		most, park := uint32(n), "park"
		req.Settings = &eventstorev1.ConsumerSettings{MaxDeliveries: &most, OnLimit: &park}
	}
	_, err = a.ConfigureConsumer(ctx, req)
	return err
}

// isChannel reports whether the consumer reads one channel rather than a pattern.
func (r request) isChannel() bool { return !strings.ContainsAny(r.name.Line, "*>") }

func (r request) sequence() (uint64, error) {
	text := strings.TrimSpace(r.form.Get("sequence"))
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, badRequest("the message is " + strconv.Quote(text) + ": write its number, from 1")
	}
	return n, nil
}

// sequences returns the parked messages that the form names.
func (r request) sequences() (sequences []uint64, all bool, err error) {
	if r.form.Get("all") != "" {
		return nil, true, nil
	}
	n, err := r.sequence()
	return []uint64{n}, false, err
}

// actBody is the confirmation of an act.
type actBody struct {
	act
	On       string // what it concerns
	Where    string
	Back     string // address of the page before
	Consumer *eventstorev1.Consumer
	Number   string // of the message that it concerns, if the address says so
	All      bool
	Forms    string // address of the form
}

// requested returns the act that an address names, on what, and the page that shows it.
func (v *visit) requested() (a act, r request, back string, err error) {
	a, ok := acts[v.r.PathValue("act")]
	if !ok {
		return a, r, "", errNoPage
	}
	r = request{name: v.nameOf(), client: v.query.Get("client"), form: v.r.PostForm}
	if back = pathOf(r.name); v.r.PathValue("act") == "kick" {
		back = "/console/clients"
	}
	return a, r, back, nil
}

// confirm asks whether an act is to be done.
func (c *Console) confirm(v *visit) error {
	a, r, back, err := v.requested()
	if err != nil {
		return err
	}
	body := actBody{act: a, On: r.name.Name, Where: r.name.Line, Back: back, Number: v.query.Get("sequence"), All: v.query.Get("all") != "", Forms: v.r.URL.RequestURI()}
	if back == "/console/clients" {
		body.On, body.Where = r.client, ""
		return v.show("act", a.Title, "clients", body)
	}
	resp, err := c.api.Admin().GetConsumer(v.ctx, &eventstorev1.GetConsumerRequest{Channel: r.name.Line, Client: r.name.Client, Name: r.name.Name})
	if err != nil {
		return err
	}
	body.Consumer = resp.GetConsumer()
	return v.show("act", a.Title, "consumers", body)
}

// act does what was confirmed.
func (c *Console) act(v *visit) error {
	a, r, back, err := v.requested()
	if err != nil {
		return err
	}
	if a.NeedsReason && strings.TrimSpace(r.form.Get("reason")) == "" {
		return badRequest("the reason is missing: say why, for the audit")
	}
	if err := a.do(v.ctx, c.api.Admin(), r); err != nil {
		return err
	}
	name := v.r.PathValue("act")
	if name == "drop" {
		back = "/console/consumers"
	}
	separator := "?"
	if strings.Contains(back, "?") {
		separator = "&"
	}
	return v.redirect(fmt.Sprintf("%s%sdone=%s", back, separator, name))
}

// doneText says that an act was done.
func doneText(name string) string {
	if name == "verify" {
		return "The verification begins."
	}
	return acts[name].done
}
