package monitor

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
)

// The documents of /streaming/*. Dashboards and autoscalers read their fields, which are NATS Streaming's, by name.

// header begins every document about the whole server. ClusterID is empty while this server does not serve clients.
type header struct {
	ClusterID string    `json:"cluster_id"`
	ServerID  string    `json:"server_id"`
	Now       time.Time `json:"now"`
}

// serverStatus is /streaming/serverz. InMsgs counts publish requests; OutMsgs includes redeliveries.
type serverStatus struct {
	header
	Version       string    `json:"version"`
	GitCommit     string    `json:"git_commit,omitempty"`
	CommitDate    string    `json:"commit_date,omitempty"`
	GoVersion     string    `json:"go"`
	State         string    `json:"state"`
	Start         time.Time `json:"start_time"`
	Uptime        string    `json:"uptime"`
	Clients       int       `json:"clients"`
	Subscriptions int       `json:"subscriptions"` // offline durables included
	Channels      int       `json:"channels"`
	TotalMsgs     uint64    `json:"total_msgs"`
	TotalBytes    uint64    `json:"total_bytes"`
	InMsgs        uint64    `json:"in_msgs"`
	InBytes       uint64    `json:"in_bytes"`
	OutMsgs       uint64    `json:"out_msgs"`
	OutBytes      uint64    `json:"out_bytes"`
	OpenFDs       int       `json:"open_fds,omitempty"`
	MaxFDs        uint64    `json:"max_fds,omitempty"`
	// StandbyReads tells how far a standby is behind that serves reads.
	StandbyReads *standbyStatus `json:"standby_reads,omitempty"`
}

type standbyStatus struct {
	Position uint64 `json:"position"`
	AgeMS    int64  `json:"age_ms"`
}

// storeStatus is /streaming/storez.
type storeStatus struct {
	header
	Type       string       `json:"type"` // MEMORY, FILE or SQL
	Limits     limitsStatus `json:"limits"`
	TotalMsgs  uint64       `json:"total_msgs"`
	TotalBytes uint64       `json:"total_bytes"`
	Damaged    []string     `json:"damaged,omitempty"` // damaged rows, with the reasons
}

// limitsStatus holds the limits in effect; 0 means unlimited.
type limitsStatus struct {
	MaxChannels int `json:"max_channels"`
	channelLimitsStatus
	PerChannel map[string]channelLimitsStatus `json:"channels,omitempty"`
}

type channelLimitsStatus struct {
	MaxMsgs          int           `json:"max_msgs"`
	MaxBytes         int64         `json:"max_bytes"`
	MaxAge           time.Duration `json:"max_age"` // ns
	MaxSubscriptions int           `json:"max_subscriptions"`
	MaxInactivity    time.Duration `json:"max_inactivity"` // ns
}

func (m *Monitor) header(t *Term) header {
	h := header{ServerID: m.opts.ServerID, Now: time.Now()}
	if t != nil {
		h.ClusterID = m.opts.ClusterID
	}
	return h
}

func (m *Monitor) serverStatus() serverStatus {
	state, t := m.current()
	h := m.header(t)
	status := serverStatus{
		header:    h,
		Version:   m.opts.Version,
		GitCommit: m.opts.Commit, CommitDate: m.opts.CommitDate, GoVersion: runtime.Version(),
		State:    state,
		Start:    m.start,
		Uptime:   uptime(h.Now.Sub(m.start)),
		InMsgs:   m.metrics.received.Load(),
		InBytes:  m.metrics.receivedBytes.Load(),
		OutMsgs:  m.metrics.delivered.Load() + m.metrics.redelivered.Load(),
		OutBytes: m.metrics.sentBytes.Load(),
	}
	status.OpenFDs, status.MaxFDs = fileDescriptors()
	if f := m.follower(); f != nil {
		position, age := f.Behind()
		status.StandbyReads = &standbyStatus{position, age.Milliseconds()}
	}
	status.TotalMsgs, status.TotalBytes = t.totals()
	channels := t.channels()
	status.Clients, status.Channels = len(t.clients()), len(channels)
	for _, l := range t.lines(channels) {
		for _, g := range t.groups(l) {
			active, offline := g.Size()
			status.Subscriptions += active + offline
		}
	}
	return status
}

// uptime formats a duration in years, days, hours, minutes and seconds, without leading zeros.
func uptime(d time.Duration) string {
	seconds := int64(d / time.Second)
	units := []struct {
		name string
		size int64
	}{{"y", 365 * 24 * 3600}, {"d", 24 * 3600}, {"h", 3600}, {"m", 60}, {"s", 1}}
	var b strings.Builder
	for _, u := range units {
		if n := seconds / u.size; n > 0 || b.Len() > 0 || u.size == 1 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			seconds %= u.size
		}
	}
	return b.String()
}

// fileDescriptors returns how many this process has open and may open. 0 means unknown, as on systems without /proc.
func fileDescriptors() (open int, limit uint64) {
	p, err := procfs.Self()
	if err != nil {
		return 0, 0
	}
	if open, err = p.FileDescriptorsLen(); err != nil {
		return 0, 0
	}
	limits, err := p.Limits()
	if err != nil {
		return open, 0
	}
	return open, limits.OpenFiles
}

func statusOfLimits(l eventlog.Limits) limitsStatus {
	status := limitsStatus{MaxChannels: l.MaxChannels, channelLimitsStatus: statusOfChannelLimits(l.ChannelLimits)}
	for pattern := range l.PerChannel {
		if status.PerChannel == nil {
			status.PerChannel = make(map[string]channelLimitsStatus)
		}
		status.PerChannel[pattern] = statusOfChannelLimits(l.OfPattern(pattern))
	}
	return status
}

func statusOfChannelLimits(l eventlog.ChannelLimits) channelLimitsStatus {
	return channelLimitsStatus{
		MaxMsgs:          l.MaxMsgs,
		MaxBytes:         l.MaxBytes,
		MaxAge:           l.MaxAge,
		MaxSubscriptions: l.MaxSubscriptions,
		MaxInactivity:    l.MaxInactivity,
	}
}

// The methods below accept a nil Term, that of a server that does not serve.

// totals returns the number and the bytes of the stored messages.
func (t *Term) totals() (msgs, bytes uint64) {
	for _, ch := range t.channels() {
		info := ch.Info()
		msgs += info.Msgs
		bytes += info.Bytes
	}
	return msgs, bytes
}

// damagedRows returns damaged rows, and the least number of all of them.
func (t *Term) damagedRows() ([]string, int) {
	if t == nil {
		return nil, 0
	}
	return t.Log.Damage().All()
}

func (t *Term) client(id string) (stan.ClientStatus, bool) {
	if t == nil {
		return stan.ClientStatus{}, false
	}
	return t.Clients.ClientStatus(id)
}

// channel returns a channel, or a pattern that has subscriptions, or nil.
func (t *Term) channel(name string) consumers.Line {
	if t == nil {
		return nil
	}
	return t.Consumers.Line(name)
}

// clients returns all registered clients, by ID.
func (t *Term) clients() []stan.ClientStatus {
	if t == nil {
		return nil
	}
	return t.Clients.Clients()
}

// channels returns all channels, by name.
func (t *Term) channels() []*eventlog.Channel {
	if t == nil {
		return nil
	}
	return t.Log.Channels()
}

// patterns returns the patterns that have subscriptions, sorted.
func (t *Term) patterns() []string {
	if t == nil {
		return nil
	}
	var all []string
	for _, l := range t.Consumers.Wildcards() {
		all = append(all, l.Name())
	}
	slices.Sort(all)
	return all
}

// groups returns the groups of subscriptions of a channel or a pattern.
func (t *Term) groups(l consumers.Line) []*consumers.Group { return t.Consumers.Groups(l) }

// lines returns all channels, and the patterns that have subscriptions.
func (t *Term) lines(channels []*eventlog.Channel) []consumers.Line {
	if t == nil {
		return nil
	}
	lines := make([]consumers.Line, 0, len(channels))
	for _, ch := range channels {
		lines = append(lines, ch)
	}
	return append(lines, t.Consumers.Wildcards()...)
}
