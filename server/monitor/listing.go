package monitor

import (
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
)

// The documents of clients, channels and subscriptions.

// clientsStatus is /streaming/clientsz.
type clientsStatus struct {
	header
	page
	Count   int            `json:"count"`
	Total   int            `json:"total"`
	Clients []clientStatus `json:"clients"`
}

type clientStatus struct {
	ID            string                          `json:"id"`
	HBInbox       string                          `json:"hb_inbox"`
	SubsCount     int                             `json:"subs_count"`
	Subscriptions map[string][]subscriptionStatus `json:"subscriptions,omitempty"` // by channel or pattern
}

// channelsStatus is /streaming/channelsz: names, or channels with subscriptions.
type channelsStatus struct {
	header
	page
	Count    int             `json:"count"`
	Total    int             `json:"total"`
	Names    []string        `json:"names,omitempty"`
	Channels []channelStatus `json:"channels,omitempty"`
	// Wildcards are the patterns that have subscriptions: ask for one as for a channel.
	Wildcards []string `json:"wildcards,omitempty"`
}

type channelStatus struct {
	Name          string               `json:"name"`
	Msgs          uint64               `json:"msgs"`
	Bytes         uint64               `json:"bytes"`
	FirstSeq      uint64               `json:"first_seq"`
	LastSeq       uint64               `json:"last_seq"`
	SubsCount     int                  `json:"subs_count"`
	Subscriptions []subscriptionStatus `json:"subscriptions,omitempty"`
}

type subscriptionStatus struct {
	ClientID     string `json:"client_id"` // of an offline durable: its last client
	Inbox        string `json:"inbox"`
	AckInbox     string `json:"ack_inbox"`
	DurableName  string `json:"durable_name,omitempty"`
	QueueName    string `json:"queue_name,omitempty"` // "durable:group" for a durable queue group
	IsDurable    bool   `json:"is_durable"`
	IsOffline    bool   `json:"is_offline"`
	MaxInflight  int32  `json:"max_inflight"`
	AckWait      int32  `json:"ack_wait"` // s
	LastSent     uint64 `json:"last_sent"`
	PendingCount int    `json:"pending_count"` // sent but not acknowledged
	IsStalled    bool   `json:"is_stalled"`
}

func statusOfClient(c stan.ClientStatus, subscriptions bool) clientStatus {
	status := clientStatus{ID: c.ID, HBInbox: masked(c.HeartbeatInbox), SubsCount: len(c.Members)}
	if !subscriptions {
		return status
	}
	for _, m := range c.Members {
		if status.Subscriptions == nil {
			status.Subscriptions = make(map[string][]subscriptionStatus)
		}
		channel := m.Line().Name()
		status.Subscriptions[channel] = append(status.Subscriptions[channel], statusOfSubscription(m.Status()))
	}
	return status
}

// statusOfChannel describes a channel, or the events of a pattern: their sequences are positions.
func (t *Term) statusOfChannel(ch consumers.Line, subscriptions bool) channelStatus {
	info := ch.Info()
	status := channelStatus{Name: ch.Name(), Msgs: info.Msgs, Bytes: info.Bytes, FirstSeq: info.First, LastSeq: info.Last}
	for _, g := range t.groups(ch) {
		active, offline := g.Size()
		status.SubsCount += active + offline
		if !subscriptions {
			continue
		}
		for _, s := range g.Status() {
			status.Subscriptions = append(status.Subscriptions, statusOfSubscription(s))
		}
	}
	if subscriptions {
		status.SubsCount = len(status.Subscriptions)
	}
	return status
}

func statusOfSubscription(s consumers.Status) subscriptionStatus {
	return subscriptionStatus{
		ClientID:     s.ClientID,
		Inbox:        masked(s.Inbox),
		AckInbox:     masked(s.AckInbox),
		DurableName:  s.DurableName,
		QueueName:    s.QueueName,
		IsDurable:    s.IsDurable,
		IsOffline:    s.IsOffline,
		MaxInflight:  s.MaxInflight,
		AckWait:      s.AckWait,
		LastSent:     s.LastSent,
		PendingCount: s.PendingCount,
		IsStalled:    s.IsStalled,
	}
}
