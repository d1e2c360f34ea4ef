package console_test

import (
	"strings"
	"testing"
)

// TestEvents looks at events while they arrive: the overview, the list with its filter, one event and its neighbours.
func TestEvents(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		p := browser(t, s)
		p.open("/console/events")
		p.sees("No events are stored that you may read")

		s.store(t, "eventstore.orders", object{
			"eventId": "o1-created", "eventType": "OrderCreated", "aggregateType": "Order", "aggregateId": "o1", "eventData": `{"amount":10,"note":"<script>alert(1)</script>"}`,
			"metadata": object{"user": "\u202eeve\u0007<b>"}, "tags": []string{"customer:c1"}, "contentType": "application/json",
		})
		p.sees("OrderCreated") // live, without a reload
		p.lacks("No events are stored")
		s.store(t, "eventstore.orders", order("o1", "OrderPaid", `{"paid":true}`))
		s.store(t, "eventstore.parcels", order("p1", "ParcelSent", "\x00\xff\xfe"))
		p.sees("OrderPaid", "ParcelSent")

		p.fill("type", "OrderC*")
		p.click("Show")
		p.until("location.search.includes('type=OrderC')", "did not search")
		p.sees("OrderCreated")
		p.lacks("ParcelSent")
		p.click("1")
		p.sees("Event 1", `"amount": 10`, `<script>alert(1)</script>`, `\u202eeve\u0007<b>`, "customer:c1", "o1-created")
		if strings.Contains(p.text(), "\u202e") {
			t.Error("a character that reorders text is on the page")
		}
		p.click("After →")
		p.sees("Event 2", "OrderPaid")
		p.click("After →")
		p.sees("Event 3", "00000000") // bytes
		p.open("/console/find?id=o1-created")
		p.sees("Event 1")

		s.call(t, "Admin/EraseEvents", object{"channel": "eventstore.parcels", "sequence": "1", "reason": "request 7"})
		p.open("/console/events/3")
		p.sees("Event 3", "Erased", "by erasure 1", "ParcelSent", "p1")
		p.lacks("00000000")
		p.open("/console/events")
		p.sees("(erased)", "EventsErased")

		p.open("/console/")
		p.sees("Leader", "serves clients", "Messages stored")
		s.store(t, "eventstore.orders", order("o2", "OrderCreated", `{}`))
		p.until(`[...document.querySelectorAll('.figures div')].some(d => d.innerText.includes('Messages stored') && d.innerText.includes('5'))`, "is not live")
		p.open("/console/nothing")
		p.sees("Not found")
	})
}
