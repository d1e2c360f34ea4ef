package eventlog

import (
	"testing"
	"time"
)

func TestLimitsOfAChannel(t *testing.T) {
	t.Parallel()
	l := Limits{
		ChannelLimits: ChannelLimits{MaxMsgs: 1000, MaxBytes: 1 << 20, MaxSubscriptions: 10},
		PerChannel: map[string]ChannelLimits{
			"foo.>":     {MaxMsgs: 500},
			"foo.*":     {MaxBytes: -1},
			"foo.bar":   {MaxMsgs: -1, MaxAge: time.Hour},
			"foo.*.baz": {MaxMsgs: 5},
		},
	}
	for name, want := range map[string]ChannelLimits{
		"other":       {MaxMsgs: 1000, MaxBytes: 1 << 20, MaxSubscriptions: 10},
		"foo":         {MaxMsgs: 1000, MaxBytes: 1 << 20, MaxSubscriptions: 10},
		"foo.a":       {MaxMsgs: 500, MaxSubscriptions: 10},
		"foo.bar":     {MaxAge: time.Hour, MaxSubscriptions: 10},
		"foo.bar.baz": {MaxMsgs: 5, MaxBytes: 1 << 20, MaxSubscriptions: 10},
		"foo.a.b.c":   {MaxMsgs: 500, MaxBytes: 1 << 20, MaxSubscriptions: 10},
	} {
		if got := l.of(name, false); got != want {
			t.Errorf("limits of %q = %+v, want %+v", name, got, want)
		}
	}
	if got, want := l.of("foo.bar", true), (ChannelLimits{MaxSubscriptions: 10}); got != want {
		t.Errorf("limits of an event channel = %+v, want %+v", got, want)
	}
}

func TestLimitsNeverRemoveEvents(t *testing.T) {
	t.Parallel()
	events, err := NewEvents([]EventBlock{{Channels: []string{"eventstore.>", "orders.*"}}})
	if err != nil {
		t.Fatal(err)
	}
	for p, ok := range map[string]bool{
		"foo": true, "orders": true, "orders.a.b": true, "eventstore": true,
		"eventstore.a": false, ">": false, "*.a": false, "orders.>": false, "*.*": false,
	} {
		l := Limits{PerChannel: map[string]ChannelLimits{p: {MaxMsgs: 1}}}
		if err := l.ValidateOf(p, events); (err == nil) != ok {
			t.Errorf("limit on %q: error %v", p, err)
		}
		l.PerChannel[p] = ChannelLimits{MaxSubscriptions: 5, MaxMsgs: -1}
		if err := l.ValidateOf(p, events); err != nil {
			t.Errorf("no limit on %q: error %v", p, err)
		}
	}
}
