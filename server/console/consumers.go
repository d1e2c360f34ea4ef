package console

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// consumersBody is a page of durables and queue groups.
type consumersBody struct {
	Channel   string
	Consumers []consumerRow
	First     string // addresses; "" if there is none
	Next      string
}

// consumerRow is a durable or a queue group.
type consumerRow struct{ *eventstorev1.Consumer }

// Path is the address of the consumer, Act that of a confirmation.
func (c consumerRow) Path() string { return consumerPath(c.Consumer) }

func (c consumerRow) Act(act string, pairs ...string) string {
	return link("/console/act/"+act, append([]string{"channel", c.GetChannel(), "client", c.GetClient(), "name", c.GetName()}, pairs...)...)
}

// Kind says what it is.
func (c consumerRow) Kind() string {
	switch {
	case c.GetQueue() && c.GetDurable():
		return "durable queue group"
	case c.GetQueue():
		return "queue group"
	}
	return "durable"
}

// States are what holds the consumer up.
func (c consumerRow) States() (states []string) {
	if c.GetSettings().GetPaused() {
		states = append(states, "paused")
	}
	if c.GetStalledAt() > 0 {
		states = append(states, "stalled")
	}
	if c.Waits() {
		states = append(states, "waits for acknowledgements")
	}
	if !c.GetExists() {
		return append(states, "no subscription")
	}
	if c.Online() == 0 {
		states = append(states, "offline")
	}
	return states
}

// Online is the number of members that receive messages.
func (c consumerRow) Online() (n int) {
	for _, m := range c.GetMembers() {
		if !m.GetOffline() {
			n++
		}
	}
	return n
}

// Waits reports whether nothing is sent to its members until they acknowledge what they have.
func (c consumerRow) Waits() bool {
	stalled := 0
	for _, m := range c.GetMembers() {
		if m.GetStalled() && !m.GetOffline() {
			stalled++
		}
	}
	return c.GetStalledAt() == 0 && stalled > 0 && stalled == c.Online()
}

// Held is the first message that its members have and do not acknowledge.
func (c consumerRow) Held() uint64 { return cmp.Or(c.GetFirstUnacked(), c.GetLastSent()) }

// MessagePath is the address of a message that it was sent.
func (c consumerRow) MessagePath(number uint64) string {
	if strings.ContainsAny(c.GetChannel(), "*>") {
		return eventPath(number)
	}
	return link("/console/find", "channel", c.GetChannel(), "sequence", strconv.FormatUint(number, 10))
}

// consumers shows the durables and queue groups that the visitor may administer.
func (c *Console) consumers(v *visit) error {
	body := consumersBody{Channel: strings.TrimSpace(v.query.Get("channel"))}
	resp, err := c.api.Admin().ListConsumers(v.ctx, &eventstorev1.ListConsumersRequest{Channel: body.Channel, PageSize: pageItems, PageToken: v.query.Get("after")})
	if err != nil {
		return err
	}
	for _, it := range resp.GetConsumers() {
		body.Consumers = append(body.Consumers, consumerRow{it})
	}
	body.First, body.Next = v.paging("/console/consumers", resp.GetNextPageToken(), "channel", body.Channel)
	return v.show("consumers", "Consumers", "consumers", body)
}

// consumerBody is a durable or a queue group with its members and parked messages.
type consumerBody struct {
	consumerRow
	Lag chart
	// Names differ from those of fields of the consumer.
	SettingsShown  []figure
	ParkedMessages []*eventstorev1.ParkedMessage
	First          string // addresses; "" if there is none
	Next           string
}

// nameOf returns the name of the consumer in the address.
func (v *visit) nameOf() stores.ConsumerName {
	return stores.ConsumerName{Line: v.query.Get("channel"), Client: v.query.Get("client"), Name: v.query.Get("name")}
}

func pathOf(n stores.ConsumerName, pairs ...string) string {
	return link("/console/consumer", append([]string{"channel", n.Line, "client", n.Client, "name", n.Name}, pairs...)...)
}

// consumer shows a durable or a queue group.
func (c *Console) consumer(v *visit) error {
	name := v.nameOf()
	resp, err := c.api.Admin().GetConsumer(v.ctx, &eventstorev1.GetConsumerRequest{Channel: name.Line, Client: name.Client, Name: name.Name})
	if err != nil {
		return err
	}
	parked, err := c.api.Admin().ListParked(v.ctx, &eventstorev1.ListParkedRequest{
		Channel: name.Line, Client: name.Client, Name: name.Name, PageSize: pageItems, PageToken: v.query.Get("after"),
	})
	if err != nil {
		return err
	}
	body := consumerBody{consumerRow: consumerRow{resp.GetConsumer()}, ParkedMessages: parked.GetMessages(), SettingsShown: settingsOf(resp.GetConsumer())}
	times, lags := c.history.lagsOf(name)
	values := make([]float64, len(lags))
	for i, lag := range lags {
		values[i] = float64(lag)
	}
	body.Lag = newChart("Messages behind", lagKeep*lagEvery, times, values, func(n float64) string { return plural(n, "message", "messages") })
	body.First, body.Next = v.paging("/console/consumer", parked.GetNextPageToken(), "channel", name.Line, "client", name.Client, "name", name.Name)
	return v.show("consumer", name.Name, "consumers", body)
}

// settingsOf returns the settings of a consumer that count, and which of them an administrator has set.
func settingsOf(c *eventstorev1.Consumer) (all []figure) {
	s, stored := c.GetSettings(), c.GetStoredSettings()
	add := func(name, value string, set, changed bool) {
		if !set {
			return
		}
		if changed {
			value += " (set at run time)"
		}
		all = append(all, figure{name, value})
	}
	var waits []string
	for _, d := range s.GetBackoff() {
		waits = append(waits, d.AsDuration().String())
	}
	add("max_deliveries", number(s.GetMaxDeliveries()), s.GetMaxDeliveries() > 0, stored.GetMaxDeliveries() > 0)
	add("backoff", strings.Join(waits, ", "), len(waits) > 0, len(stored.GetBackoff()) > 0)
	add("ack_wait", s.GetAckWait().AsDuration().String(), s.GetAckWait() != nil, stored.GetAckWait() != nil)
	add("max_inflight", number(s.GetMaxInflight()), s.GetMaxInflight() > 0, stored.GetMaxInflight() > 0)
	add("order_by", s.GetOrderBy(), s.GetOrderBy() != "", stored.GetOrderBy() != "")
	add("on_limit", s.GetOnLimit(), s.GetOnLimit() != "", stored.GetOnLimit() != "")
	add("behind_parked", s.GetBehindParked(), s.GetBehindParked() != "", stored.GetBehindParked() != "")
	add("filter", strings.Join(slices.Concat(s.GetFilter().GetTypes(), s.GetFilter().GetTags()), ", "), s.GetFilter() != nil, stored.GetFilter() != nil)
	return all
}

// Door says how a member receives messages.
func doorOf(m *eventstorev1.ConsumerMember) string {
	switch m.GetDoor() {
	case eventstorev1.ConsumerMember_DOOR_NATS_STREAMING:
		return "NATS Streaming"
	case eventstorev1.ConsumerMember_DOOR_API:
		return "API"
	}
	return "offline"
}

// stalledFor says how long a consumer has been stalled.
func (c consumerRow) StalledFor() string {
	if c.GetStalledSince() == nil {
		return ""
	}
	return fmt.Sprint(time.Since(c.GetStalledSince().AsTime()).Round(time.Second))
}

func consumerPath(c *eventstorev1.Consumer) string {
	return pathOf(stores.ConsumerName{Line: c.GetChannel(), Client: c.GetClient(), Name: c.GetName()})
}

// sortByLag sorts consumers, those that are farthest behind first.
func sortByLag(all []*eventstorev1.Consumer) {
	slices.SortStableFunc(all, func(a, b *eventstorev1.Consumer) int { return cmp.Compare(b.GetLagMessages(), a.GetLagMessages()) })
}
