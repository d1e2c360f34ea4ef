package consumers

import (
	"testing"
	"time"
)

// Rules of the configuration that need events change nothing for the consumers of other channels.
func TestFilterOfOtherChannels(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond, Rules: []Rule{
		{Settings: settings(t, `{"filter": {"types": ["Paid"]}, "order_by": "aggregate"}`)},
	}}, nil)
	f.publish("c", 2)
	f.join(f.request("me", "q", ""))
	f.sink.wait(t, 2)
}
