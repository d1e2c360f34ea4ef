package server

import (
	"cmp"
	"maps"
	"slices"
)

// The documents that list clients, channels and subscriptions.

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
	Subscriptions map[string][]subscriptionStatus `json:"subscriptions,omitempty"` // by channel
}

// channelsStatus is /streaming/channelsz: names, or channels with their subscriptions.
type channelsStatus struct {
	header
	page
	Count    int             `json:"count"`
	Total    int             `json:"total"`
	Names    []string        `json:"names,omitempty"`
	Channels []channelStatus `json:"channels,omitempty"`
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
	ClientID     string `json:"client_id"` // of an offline one: the last that it had
	Inbox        string `json:"inbox"`
	AckInbox     string `json:"ack_inbox"`
	DurableName  string `json:"durable_name,omitempty"`
	QueueName    string `json:"queue_name,omitempty"` // of a durable queue group: "durable:group"
	IsDurable    bool   `json:"is_durable"`
	IsOffline    bool   `json:"is_offline"`
	MaxInflight  int32  `json:"max_inflight"`
	AckWait      int32  `json:"ack_wait"` // s
	LastSent     uint64 `json:"last_sent"`
	PendingCount int    `json:"pending_count"` // sent and not acknowledged
	IsStalled    bool   `json:"is_stalled"`
}

// subscriptions returns the client's active subscriptions.
func (c *client) subscriptions() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.members))
}

// allGroups returns the channel's groups of subscriptions.
func (c *channel) allGroups() []*group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Keys(c.groups))
}

// oldestChannels returns all channels, by age.
func (s *service) oldestChannels() []*channel {
	all := s.channels.all()
	slices.SortFunc(all, func(a, b *channel) int { return cmp.Compare(a.stored.ID(), b.stored.ID()) })
	return all
}

func statusOfClient(c *client, subscriptions bool) clientStatus {
	status := clientStatus{ID: c.info.ID, HBInbox: c.info.HbInbox}
	members := c.subscriptions()
	status.SubsCount = len(members)
	if !subscriptions {
		return status
	}
	for _, m := range members {
		if status.Subscriptions == nil {
			status.Subscriptions = make(map[string][]subscriptionStatus)
		}
		channel := m.group.ch.name
		status.Subscriptions[channel] = append(status.Subscriptions[channel], m.group.statusOf(m))
	}
	return status
}

func statusOfChannel(ch *channel, subscriptions bool) channelStatus {
	info := ch.stored.Info()
	status := channelStatus{Name: ch.name, Msgs: info.Msgs, Bytes: info.Bytes, FirstSeq: info.First, LastSeq: info.Last}
	for _, g := range ch.allGroups() {
		if subscriptions {
			status.Subscriptions = append(status.Subscriptions, g.status()...)
		} else {
			active, offline := g.size()
			status.SubsCount += active + offline
		}
	}
	if subscriptions {
		status.SubsCount = len(status.Subscriptions)
	}
	return status
}

// size returns how many active and offline subscriptions the group has.
func (g *group) size() (active, offline int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.offline != nil {
		offline = 1
	}
	return len(g.members), offline
}

// status describes the group's subscriptions, the offline one last.
func (g *group) status() []subscriptionStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []subscriptionStatus
	for _, m := range g.members {
		all = append(all, g.describe(m))
	}
	if g.offline != nil {
		all = append(all, g.describe(g.offline))
	}
	return all
}

func (g *group) statusOf(m *member) subscriptionStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.describe(m)
}

// describe is the caller's, who holds g.mu.
func (g *group) describe(m *member) subscriptionStatus {
	return subscriptionStatus{
		ClientID:     m.state.ClientID,
		Inbox:        m.state.Inbox,
		AckInbox:     m.state.AckInbox,
		DurableName:  m.state.DurableName,
		QueueName:    m.state.QGroup,
		IsDurable:    m.state.IsDurable,
		IsOffline:    m == g.offline,
		MaxInflight:  m.state.MaxInFlight,
		AckWait:      m.state.AckWaitInSecs,
		LastSent:     g.lastSent,
		PendingCount: m.unacked.len(),
		IsStalled:    m.stalled(),
	}
}
