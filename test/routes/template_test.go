package routes

import (
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// A template names the channel of each event. An event that it sends to no possible channel is refused.
func TestChannelTemplate(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.Start(t, driver, source, "-sc", configuration(t, `streaming { routes: [
			{ channel: "{event_type}", payload: data }
			{ channel: "all.{aggregate_id}.{channel}" }
		] }`))
		s.WaitLog(t, `to channel "{event_type}": event_data alone (payload: data); from the next event on`)
		s.WaitLog(t, `to channel "all.{aggregate_id}.{channel}": the whole message (payload: envelope); from the next event on`)
		sc := connect(t, s, "publisher")
		for typ, want := range map[string]string{
			"orders.placed":    "",
			"orders.paid":      "",
			"Order/*":          "",
			"eventstore.other": `route to channel "eventstore.other": an event channel stores only events published to it`,
		} {
			err := sc.Publish(orders, event(t, typ, typ, "o.1", 0, `{"type":"`+typ+`"}`))
			if want == "" && err != nil || want != "" && (err == nil || err.Error() != "stan: "+want) {
				t.Errorf("%s: error %v, want %q", typ, err, want)
			}
		}
		for channel, typ := range map[string]string{"orders.placed": "orders.placed", "orders.paid": "orders.paid", "Order%2F%2A": "Order/*"} {
			if got := string(receive(t, sc, channel, 1)[0].Data); got != `{"type":"`+typ+`"}` {
				t.Errorf("channel %q has %s", channel, got)
			}
		}
		if all := receive(t, sc, "all.o%2E1."+orders, 3); !strings.Contains(string(all[0].Data), "o.1") {
			t.Errorf("the copy is %q", all[0].Data)
		}
	})
}
