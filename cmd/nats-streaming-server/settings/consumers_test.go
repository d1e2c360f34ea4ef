package settings

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConsumers(t *testing.T) {
	o, file, err := configureWith(t, `streaming {
	redelivery_rate: 100
	events { delays: true }
	consumers: [
		{
			channels: ["eventstore.orders.>"], names: [workers, "billing*"]
			max_deliveries: 5, backoff: [1s, "5s"], ack_wait: 30s, max_inflight: 100
			order_by: "tag:customer:", on_limit: Skip, behind_parked: flow, paused: false
			filter { types: ["Order*"], tags: vip }
		}
		{ names: "audit", backoff: [] }
	]
}`)
	if err != nil {
		t.Fatal(err)
	}
	if o.RedeliveryRate != 100 || !o.Events[0].Delays || len(o.Consumers) != 2 {
		t.Fatalf("%+v", o)
	}
	for i, want := range []string{
		`{"max_deliveries":5,"backoff":["1s","5s"],"ack_wait":"30s","max_inflight":100,"order_by":"tag:customer:","on_limit":"skip","behind_parked":"flow","paused":false,"filter":{"types":["Order*"],"tags":["vip"]}}`,
		`{"backoff":[]}`,
	} {
		r := o.Consumers[i]
		text, err := json.Marshal(r.Settings)
		if err != nil || string(text) != want {
			t.Errorf("settings of block %d are %s (%v)\nwant %s", i+1, text, err, want)
		}
		if !strings.HasPrefix(r.At, file+":") {
			t.Errorf("block %d is at %q", i+1, r.At)
		}
	}
	if r := o.Consumers[0]; strings.Join(r.Channels, " ") != "eventstore.orders.>" || strings.Join(r.Names, " ") != "workers billing*" {
		t.Errorf("block 1 is for %q of %q", r.Names, r.Channels)
	}
}

func TestWrongConsumers(t *testing.T) {
	for text, want := range map[string]string{
		`consumers { max_delivery: 3 }`:           `unknown key "consumers.max_delivery": did you mean max_deliveries?`,
		`consumers { on_limit: prk }`:             `key "consumers.on_limit": "prk" must be park, skip or stall: did you mean park?`,
		`consumers { behind_parked: hold }`:       `key "consumers.behind_parked": "hold" must be park or flow`,
		`consumers { backoff: [1, "2s"] }`:        `key "consumers.backoff": "1" is not a duration`,
		`consumers { ack_wait: 30 }`:              `parameter "ack_wait" value is expected to be string`,
		`consumers { paused: "yes" }`:             `parameter "paused" value is expected to be bool`,
		`consumers { filter: x }`:                 `parameter "filter" value is expected to be map`,
		`consumers { filter { type: x } }`:        `unknown key "consumers.filter.type": did you mean types?`,
		`consumers: 5`:                            `parameter "consumers" value is expected to be map, got int64`,
		`consumers { channels: "a..b" }`:          `consumers: channels: "a..b" is not a pattern`,
		`consumers { max_deliveries: -1 }`:        `consumers: invalid settings: max_deliveries is -1`,
		`consumers { order_by: agregate }`:        `consumers: invalid settings: order_by is "agregate"`,
		`consumers { ack_wait: 1ms }`:             `consumers: invalid settings: ack_wait: 1ms is out of range`,
		`consumers { filter { types: ["a*b"] } }`: `consumers: invalid settings: filter`,
		`redelivery_rate: -1`:                     `key "redelivery_rate": -1 must not be negative`,
		`events { delays: 1 }`:                    `parameter "delays" value is expected to be bool`,
	} {
		_, file, err := configureWith(t, "streaming {\n"+text+"\n}")
		if err == nil || !strings.HasPrefix(err.Error(), file+":2: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v\nwant %s", text, err, want)
		}
	}
}
