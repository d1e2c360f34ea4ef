package settings

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

var (
	limitBlocks   = []string{"limits", "store_limits", "storelimits"}
	channelBlocks = under(limitBlocks, "channels", "channels_limits", "channelslimits", "per_channel", "per_channel_limits")
)

// limitSettings are the limits of channels. The limits of a single channel have the same keys, below its name. There, 0 means
// unlimited, and a missing limit is inherited from the next wider entry.
var limitSettings = []setting{
	{
		flags: []string{"mc", "max_channels"}, keys: under(limitBlocks, "mc", "max_channels", "maxchannels"), kind: count,
		usage: "Maximum number of channels",
		state: better, note: "unlimited by default",
		set: setCount(func(o *Options) *int { return &o.Limits.MaxChannels }),
	},
	limit(count, "Maximum number of subscriptions of a channel", []string{"msu", "max_subs"}, []string{"max_subscriptions", "maxsubscriptions"},
		func(l *eventlog.ChannelLimits, n int64) { l.MaxSubscriptions = int(n) }),
	limit(count, "Maximum number of messages of a channel", []string{"mm", "max_msgs"}, []string{"maxmsgs", "max_count", "maxcount"},
		func(l *eventlog.ChannelLimits, n int64) { l.MaxMsgs = int(n) }),
	limit(size, "Maximum total size of a channel's messages", []string{"mb", "max_bytes"}, []string{"maxbytes"},
		func(l *eventlog.ChannelLimits, n int64) { l.MaxBytes = n }),
	limit(duration, "Maximum age of messages", []string{"ma", "max_age"}, []string{"maxage"},
		func(l *eventlog.ChannelLimits, n int64) { l.MaxAge = time.Duration(n) }),
	limit(duration, "Delete a channel after this time without subscriptions and new messages", []string{"mi", "max_inactivity"}, []string{"maxinactivity"},
		func(l *eventlog.ChannelLimits, n int64) { l.MaxInactivity = time.Duration(n) }),
	{
		flags: []string{"max_inflight"}, keys: under(limitBlocks, "max_inflight"), kind: count,
		usage: "Maximum number of unacknowledged messages of a subscription; a larger MaxInflight is reduced to it", def: "262144",
		state: added,
		set:   setCount(func(o *Options) *int { return &o.MaxInflight }),
	},
	{
		keys: channelBlocks, kind: block,
		usage: "Limits of single channels or patterns: for each name, a block with the keys above",
		set:   func(*Options, string, string) error { return nil },
	},
}

// limit returns the option for one limit, with its keys for all channels and for a single channel.
func limit(k kind, usage string, flags, more []string, set func(*eventlog.ChannelLimits, int64)) setting {
	names := slices.Concat(flags, more)
	return setting{
		flags: flags,
		keys:  append(under(limitBlocks, names...), under(under(channelBlocks, "*"), names...)...),
		kind:  k,
		usage: usage,
		state: better, note: "unlimited by default; removes no messages of event channels",
		set: func(o *Options, v, channel string) error {
			n, err := k.number(v)
			switch {
			case err != nil:
				return err
			case channel == "" && n < 0:
				return fmt.Errorf("%s must not be negative", v)
			case channel == "":
				set(&o.Limits.ChannelLimits, n)
				return nil
			case n <= 0:
				n = -1
			}
			if o.Limits.PerChannel == nil {
				o.Limits.PerChannel = make(map[string]eventlog.ChannelLimits)
			}
			l := o.Limits.PerChannel[channel]
			set(&l, n)
			o.Limits.PerChannel[channel] = l
			return nil
		},
	}
}

// number returns the value of a limit: a count, bytes or nanoseconds.
func (k kind) number(v string) (int64, error) {
	switch k {
	case size:
		return parseSize(v)
	case duration:
		d, err := time.ParseDuration(v)
		return int64(d), err
	default:
		return strconv.ParseInt(v, 10, 64)
	}
}
