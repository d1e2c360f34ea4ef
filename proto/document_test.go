package proto

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func newDocumentMapping(t testing.TB, cfg MappingConfig) *Mapping {
	t.Helper()
	cfg.Format = FormatJSON
	m, err := NewMapping(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// jsonOrders maps the JSON events of docs/reference/events.md.
func jsonOrders(t testing.TB) *Mapping {
	return newDocumentMapping(t, MappingConfig{
		AggregateID: "$.order.id", AggregateType: "= Order", EventType: "$.type", EventID: "$.id", EventVersion: "$.order.version",
		EventData: "$.data", Metadata: "$.context", OccurredAt: "$.at",
	})
}

func TestDocumentExtract(t *testing.T) {
	t.Parallel()
	ev, err := jsonOrders(t).Extract([]byte(` {
		"id": "e-1", "type": "Order\u0050laced", "at": "2026-01-02T04:04:05.5+01:00",
		"order": {"id": 12345678901234567890123, "version": 3},
		"data": {"total": 0.1, "count": 9007199254740993},
		"context": {"user": "ann"}, "more": [[], {}, null, true, -1.5e+400]
	} `))
	if err != nil {
		t.Fatal(err)
	}
	if ev.ID != "e-1" || ev.Type != "OrderPlaced" || ev.AggregateID != "12345678901234567890123" || ev.AggregateType != "Order" || ev.Version != 3 {
		t.Errorf("columns %+v", ev)
	}
	if got := string(ev.Document(31)); got != `{"total": 0.1, "count": 9007199254740993}` {
		t.Errorf("event_data %s", got)
	}
	if got := string(ev.Metadata); got != `{"user": "ann"}` {
		t.Errorf("metadata %s", got)
	}
	if want := time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC); !ev.Occurred.AsTime().Equal(want) || ev.ContentType != "application/json" {
		t.Errorf("occurred_at %v, content type %q", ev.Occurred.AsTime(), ev.ContentType)
	}
}

func TestDocumentRefusedPayloads(t *testing.T) {
	t.Parallel()
	const not = "invalid event: not a valid JSON event: "
	with := func(members string) string { return `{"order": {"id": "1"}, "type": "T", ` + members + `}` }
	nested := func(open, end string, levels int) string {
		return strings.Repeat(open, levels) + "1" + strings.Repeat(end, levels)
	}
	many := func(n int) string { return `"x": [1` + strings.Repeat(",1", n) + `]` }
	names := func(n int, last string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"n%d": 1, `, i)
		}
		return b.String() + last
	}
	tests := map[string]struct{ payload, want string }{
		"least":                    {`{"order": {"id": "1"}, "type": "T"}`, ""},
		"nothing":                  {"", not + "it ends too early"},
		"an empty object":          {"{}", "invalid event: aggregate_id is missing: $.order.id is absent, null or empty"},
		"a list":                   {"[1]", not + "it is not an object"},
		"text":                     {"hello", not + `unexpected 'h' at byte 0`},
		"true":                     {"true", not + "it is not an object"},
		"cut off":                  {`{"order": {"id"`, not + "it ends too early"},
		"more":                     {with(`"a": 1`) + " x", not + "unexpected 'x' at byte 44"},
		"two documents":            {`{} {}`, not + "unexpected '{' at byte 3"},
		"comma at the end":         {`{"a": 1,}`, not + "unexpected '}' at byte 8"},
		"comma in a list":          {`{"a": [1,]}`, not + "unexpected ']' at byte 9"},
		"comment":                  {`{/**/}`, not + "unexpected '/' at byte 1"},
		"single quotes":            {`{'a': 1}`, not + `unexpected '\'' at byte 1`},
		"byte order mark":          {"\ufeff{}", not + "it begins with a byte order mark: encode it as UTF-8 without one"},
		"leading zero":             {`{"a": 01}`, not + "unexpected '0' at byte 6"},
		"NaN":                      {`{"a": NaN}`, not + "unexpected 'N' at byte 6"},
		"bad UTF-8":                {"{\"a\": \"\xff\"}", not + "invalid UTF-8 at byte 7"},
		"bad UTF-8 outside":        {"{\xff}", not + "invalid UTF-8 at byte 1"},
		"NUL":                      {"{\"a\": \"\x00\"}", not + "a text contains a NUL byte, at byte 7"},
		"escaped NUL":              {`{"a": "\u0000"}`, not + "a text contains a NUL byte, at byte 7"},
		"NUL in a name":            {`{"\u0000": 1}`, not + "a text contains a NUL byte, at byte 2"},
		"half a pair":              {`{"a": "\ud800x"}`, not + "half a surrogate pair at byte 7"},
		"other half":               {`{"a": "\udc00"}`, not + "half a surrogate pair at byte 7"},
		"unknown escape":           {`{"a": "\x"}`, not + "unknown escape at byte 7"},
		"line break in a text":     {"{\"a\": \"\n\"}", not + `unexpected '\n' at byte 7`},
		"name twice":               {`{"a": 1, "a": 1}`, not + `an object has two members "a"`},
		"name twice, escaped":      {`{"a": 1, "\u0061": 1}`, not + `an object has two members "a"`},
		"name twice, below":        {with(`"x": [{"é": 1, "\u00e9": 2}]`), not + `an object has two members "é"`},
		"name twice among many":    {with(names(1000, `"n7": 1`)), not + `an object has two members "n7"`},
		"many names":               {with(names(1000, `"n": {"n": {"n": 1}}`)), ""},
		"name in another object":   {with(`"x": {"type": {"type": 1}}`), ""},
		"100 deep":                 {with(`"x": ` + nested("[", "]", 99)), ""},
		"101 deep":                 {with(`"x": ` + nested("[", "]", 100)), not + "it is nested deeper than 100"},
		"a million deep":           {nested(`{"a":`, "}", 1_000_000), not + "it is nested deeper than 100"},
		"a million values":         {with(many(1_000_000)), ""},
		"too many values":          {with(many(1 << 20)), not + "it has too many values"},
		"too many objects":         {with(`"x": [{}` + strings.Repeat(",{}", 1<<17) + `]`), not + "it has too many values"},
		"huge number":              {with(`"x": 1e999999`), ""},
		"no type":                  {`{"order": {"id": "1"}, "type": null}`, "invalid event: event_type is missing: $.type is absent, null or empty"},
		"empty id":                 {`{"order": {"id": ""}, "type": "T"}`, "invalid event: aggregate_id is missing: $.order.id is absent, null or empty"},
		"order is null":            {`{"order": null, "type": "T"}`, "invalid event: aggregate_id is missing: $.order.id is absent, null or empty"},
		"order is a text":          {`{"order": "1", "type": "T"}`, "invalid event: aggregate_id is missing: $.order is a text, not an object"},
		"id is a boolean":          {`{"order": {"id": true}, "type": "T"}`, "invalid event: aggregate_id must be a text or an integer: $.order.id is a boolean"},
		"id is a fraction":         {`{"order": {"id": 1.5}, "type": "T"}`, "invalid event: aggregate_id must be a text or an integer: $.order.id is 1.5"},
		"id is scientific":         {`{"order": {"id": 1e3}, "type": "T"}`, "invalid event: aggregate_id must be a text or an integer: $.order.id is 1e3"},
		"type is an object":        {`{"order": {"id": 1}, "type": {}}`, "invalid event: event_type must be a text or an integer: $.type is an object"},
		"long id":                  {`{"order": {"id": "` + strings.Repeat("x", 256) + `"}, "type": "T"}`, "invalid event: aggregate_id is longer than 255 bytes"},
		"version is a fraction":    {`{"order": {"id": 1, "version": 1.0}, "type": "T"}`, "invalid event: event_version must be an integer: $.order.version is 1.0"},
		"version is a word":        {`{"order": {"id": 1, "version": "one"}, "type": "T"}`, "invalid event: event_version must be an integer: $.order.version is a text"},
		"version is negative":      {`{"order": {"id": 1, "version": -1}, "type": "T"}`, "invalid event: event_version is out of range"},
		"version is too large":     {`{"order": {"id": 1, "version": 9223372036854775808}, "type": "T"}`, "invalid event: event_version is out of range"},
		"largest version":          {`{"order": {"id": 1, "version": "9223372036854775807"}, "type": "T"}`, ""},
		"metadata is a list":       {with(`"context": []`), "invalid event: metadata must be an object: $.context is a list"},
		"metadata is too deep":     {with(`"context": {"a": ` + nested("[", "]", 31) + `}`), "invalid event: metadata has no JSON form that every database accepts: it is nested too deeply, or has a number beyond a double or a NUL"},
		"metadata has huge number": {with(`"context": {"a": 1e999}`), "invalid event: metadata has no JSON form that every database accepts: it is nested too deeply, or has a number beyond a double or a NUL"},
		"bad time":                 {with(`"at": "yesterday"`), `invalid event: occurred_at is not an RFC 3339 timestamp, such as "2026-01-02T03:04:05Z"`},
		"time is a number":         {with(`"at": 5`), `invalid event: occurred_at is not an RFC 3339 timestamp, such as "2026-01-02T03:04:05Z"`},
		"year 0":                   {with(`"at": "0000-01-01T00:00:00Z"`), "invalid event: occurred_at is out of range"},
	}
	m := jsonOrders(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := m.Extract([]byte(tt.payload))
			switch {
			case err == nil && tt.want == "":
			case err == nil || err.Error() != tt.want:
				t.Errorf("error %.200v, want %q", err, tt.want)
			case !errors.Is(err, ErrInvalid):
				t.Errorf("%T is not ErrInvalid", err)
			}
			if m.SameEvent([]byte(tt.payload), []byte(`{"other": 1}`)) {
				t.Error("SameEvent is true for another event")
			}
		})
	}
}

// Publishers of JSON learn that a channel wants protobuf.
func TestJSONInsteadOfProtobuf(t *testing.T) {
	t.Parallel()
	for message, m := range map[string]*Mapping{"eventstore.v1.Event": nil, "acme.orders.v1.OrderEvent": orders(t).Mapping} {
		want := "invalid event: this looks like JSON: messages of this channel are " + message + ", encoded as protobuf; a block events with format: json or cloudevents accepts JSON"
		for _, payload := range []string{`{"order_id": "1"}`, "\n {}", `[{"a": 1}]`, "\ufeff{}"} {
			if _, err := m.ExtractNew([]byte(payload)); err == nil || err.Error() != want {
				t.Errorf("%s: error %v, want %s", payload, err, want)
			}
		}
		for _, payload := range []string{"{", "{x", "true", ""} {
			if _, err := m.ExtractNew([]byte(payload)); err == nil || strings.Contains(err.Error(), "JSON") {
				t.Errorf("%q: error %v", payload, err)
			}
		}
	}
}

func TestDocumentSources(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*MappingConfig)
		want   string
	}{
		"valid":              {func(*MappingConfig) {}, ""},
		"quoted names":       {func(c *MappingConfig) { c.EventID = `$['order.id']["a b"].c-d` }, ""},
		"the whole document": {func(c *MappingConfig) { c.EventData = "$" }, ""},
		"no aggregate":       {func(c *MappingConfig) { c.AggregateID = "" }, "aggregate_id is missing"},
		"no type":            {func(c *MappingConfig) { c.EventType = " " }, "event_type is missing"},
		"a field":            {func(c *MappingConfig) { c.EventID = "order.id" }, `event_id: "order.id": must begin with $., such as $.order.id; a text for all events is "= text"`},
		"no name":            {func(c *MappingConfig) { c.EventID = "$." }, `event_id: "$.": a name is missing`},
		"no name inside":     {func(c *MappingConfig) { c.EventID = "$.a..b" }, `event_id: "$.a..b": a name is missing`},
		"an element":         {func(c *MappingConfig) { c.EventID = "$.a[0]" }, `event_id: "$.a[0]": "[0]" is not a member: a source must have a single value, so it cannot be in a list`},
		"all members":        {func(c *MappingConfig) { c.EventID = "$.*" }, `event_id: "$.*": a name is missing`},
		"no dot":             {func(c *MappingConfig) { c.EventID = "$id" }, `event_id: "$id": "id" is not the name of a member: write it as ['name'] if it is one`},
		"open bracket":       {func(c *MappingConfig) { c.EventID = "$['a" }, `event_id: "$['a": "['a" is not a quoted name`},
		"document as ID":     {func(c *MappingConfig) { c.EventID = "$" }, `event_id: "$": must be a member, such as $.id`},
		"document as object": {func(c *MappingConfig) { c.Metadata = "$" }, `metadata: "$": must be a member, such as $.id`},
		"constant ID":        {func(c *MappingConfig) { c.EventID = "= 1" }, `event_id: "= 1": must be a member, such as $.id, not a text for all events`},
		"constant time":      {func(c *MappingConfig) { c.OccurredAt = "= 1" }, `occurred_at: "= 1": must be a member, such as $.time`},
		"empty constant":     {func(c *MappingConfig) { c.EventType = "=" }, `event_type: "=": the text after = is missing`},
		"version in an ID":   {func(c *MappingConfig) { c.EventVersion = "$.id.v" }, "event_version: $.id.v is inside $.id, the aggregate_id, which is a text or a number"},
		"version is a type":  {func(c *MappingConfig) { c.EventVersion = "$.type" }, "event_version: $.type is event_type, too: name a member of its own"},
		"data in an ID":      {func(c *MappingConfig) { c.EventData = "$.id.data" }, "event_data: $.id.data is inside $.id, the aggregate_id"},
		"version in data":    {func(c *MappingConfig) { c.EventVersion, c.EventData = "$.data.v", "$.data" }, ""},
		"two of one member":  {func(c *MappingConfig) { c.EventID = "$.id" }, ""},
		"a message type":     {func(c *MappingConfig) { c.Message = "acme.E" }, "message is for format: protobuf"},
		"unknown format":     {func(c *MappingConfig) { c.Format = "xml" }, `format: "xml" must be `},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := MappingConfig{Format: FormatJSON, AggregateID: "$.id", EventType: "$.type"}
			tt.change(&cfg)
			_, err := NewMapping(cfg)
			if tt.want == "" && err == nil {
				return
			}
			if err == nil || tt.want == "" || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// Assigned versions change nothing else in the payload.
func TestDocumentVersions(t *testing.T) {
	t.Parallel()
	const v = math.MaxInt64
	tests := []struct{ source, payload, want string }{
		{"$.v", `{"id": 1}`, `{"id": 1,"v":9223372036854775807}`},
		{"$.v", "{\"id\" :\t1 \n}\n", "{\"id\" :\t1 \n,\"v\":9223372036854775807}\n"},
		{"$.v", `{"id": 1, "v": null}`, `{"id": 1, "v": 9223372036854775807}`},
		{"$.v", `{"v":0, "id": 1}`, `{"v":9223372036854775807, "id": 1}`},
		{"$.v", `{"v":"0", "id": 1}`, `{"v":9223372036854775807, "id": 1}`},
		{"$.o.v", `{"id": 1}`, `{"id": 1,"o":{"v":9223372036854775807}}`},
		{"$.o.v", `{"id": 1, "o": {}}`, `{"id": 1, "o": {"v":9223372036854775807}}`},
		{"$.o.v", `{"id": 1, "o": { "x": 1 }}`, `{"id": 1, "o": { "x": 1 ,"v":9223372036854775807}}`},
		{"$.o.v", `{"id": 1, "o": null}`, `{"id": 1, "o": {"v":9223372036854775807}}`},
		{"$.o.p.v", `{"id": 1, "o": {}}`, `{"id": 1, "o": {"p":{"v":9223372036854775807}}}`},
		{`$['a"b'].v`, `{"id": 1}`, ``},
		{"$['ä\n.b'].v", `{"id": 1}`, `{"id": 1,"ä\n.b":{"v":9223372036854775807}}`},
		{"", `{"id": 1}`, `{"id": 1}`},
	}
	for _, tt := range tests {
		t.Run(tt.source+" "+tt.payload, func(t *testing.T) {
			cfg := MappingConfig{Format: FormatJSON, AggregateID: "$.id", EventType: "= T", EventVersion: tt.source, EventData: "$.o"}
			m, err := NewMapping(cfg)
			if tt.want == "" {
				if err == nil {
					t.Error("a quote within quotes is accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			payload := []byte(tt.payload)
			ev, err := m.Extract(payload)
			if err != nil || ev.Version != 0 {
				t.Fatalf("version %d, error %v", ev.Version, err)
			}
			stored, assigned := m.Assign(payload, &ev, v)
			if string(stored) != tt.want || string(payload) != tt.payload {
				t.Errorf("payload %s, want %s", stored, tt.want)
			}
			if grown := len(stored) - len(payload); grown > m.Growth() {
				t.Errorf("the payload grew by %d bytes, the limit is %d", grown, m.Growth())
			}
			if now, err := m.Extract(stored); err != nil || tt.source != "" && now.Version != v || string(now.Data) != string(assigned.Data) {
				t.Errorf("version %d, event_data %s, error %v; assigned %s", now.Version, now.Data, err, assigned.Data)
			}
			if !m.SameEvent(payload, stored) || !m.SameEvent(stored, payload) {
				t.Error("SameEvent is false for the event with its version")
			}
			if tt.source != "" && m.SameEvent(stored, m.AppendVersion(payload, v-1)) {
				t.Error("SameEvent is true for another version")
			}
		})
	}
}

func TestSameDocument(t *testing.T) {
	t.Parallel()
	m := jsonOrders(t)
	const base = `{"order": {"id": "ä"}, "type": "T", "x": [1.50, 1e2, {"a": "/", "b": -0}]}`
	for payload, want := range map[string]bool{
		`{"type":"T","x":[15e-1,100,{"b":0.0,"a":"\/"}],"order":{"id":"\u00e4"}}`:                     true,
		`{"type":"T","x":[1.5,100.0,{"b":0,"a":"/"}],"order":{"version":0,"id":"ä"}}`:                 true,
		`{"type":"T","x":[1.5,100.0,{"b":0,"a":"/"}],"order":{"version":"7","id":"ä"}}`:               true,
		`{"type":"T","x":[1.5,100.0,{"b":0,"a":"/"}],"order":{"version":7,"id":"ä"}}`:                 true,
		`{"type":"T","x":[1.5,{"b":0,"a":"/"},100],"order":{"id":"ä"}}`:                               false,
		`{"type":"T","x":[1.5,100.00000000000000000000000000001,{"b":0,"a":"/"}],"order":{"id":"ä"}}`: false,
		`{"type":"T","x":[-1.5,100,{"b":0,"a":"/"}],"order":{"id":"ä"}}`:                              false,
		`{"type":"T","x":["1.5",100,{"b":0,"a":"/"}],"order":{"id":"ä"}}`:                             false,
		`{"type":"T","x":[1.5,100,{"b":0,"a":"/","c":null}],"order":{"id":"ä"}}`:                      false,
		`{"type":"T","x":[1.5,100,{"b":0,"a":"/"}],"order":{"id":"ä"},"order":{"id":"ä"}}`:            false,
		`{`: false,
	} {
		if got := m.SameEvent([]byte(base), []byte(payload)); got != want {
			t.Errorf("%s: %v, want %v", payload, got, want)
		}
	}
	for a, b := range map[string]string{"1E+5": "100000", "10e-1": "1", "-0e99": "0", "0.001": "1e-3", "123456789012345678901234567890": "1234567890123456789012345678.9e2"} {
		if !SameNumber(json.Number(a), json.Number(b)) {
			t.Errorf("%s and %s differ", a, b)
		}
	}
	for a, b := range map[string]string{"9007199254740993": "9007199254740992", "1": "-1", "1e5": "1e6", "1e99999999999999999999": "1e99999999999999999998"} {
		if SameNumber(json.Number(a), json.Number(b)) {
			t.Errorf("%s and %s are the same", a, b)
		}
	}
}

func TestDocumentMetadataIsLimited(t *testing.T) {
	t.Parallel()
	m := jsonOrders(t)
	payload := func(n int) []byte {
		var b strings.Builder
		b.WriteString(`{"order": {"id": "1"}, "type": "T", "context": {"0": 0`)
		for i := 1; i < n; i++ {
			fmt.Fprintf(&b, `,"%d": 0`, i)
		}
		return []byte(b.String() + "}}")
	}
	if _, err := m.ExtractNew(payload(MaxMetadata)); err != nil {
		t.Errorf("as many as allowed: %v", err)
	}
	if _, err := m.ExtractNew(payload(MaxMetadata + 1)); !errors.Is(err, ErrMetadataEntries) {
		t.Errorf("too many: %v", err)
	}
	if _, err := m.Extract(payload(MaxMetadata + 1)); err != nil {
		t.Errorf("stored with more than the limit: %v", err)
	}
}

// BenchmarkFormats compares what the formats cost for the same event on its way into the log: reading the columns and
// assigning a version.
func BenchmarkFormats(b *testing.B) {
	const order = `"order_placed": {"customer_id": "c-9", "items": [{"sku": "a-1", "quantity": "2"}, {"sku": "b-1", "quantity": "2"}], "placed_at": "2026-01-02T03:04:05Z", "total": 12.5}`
	const metadata = `"metadata": {"user": "ann", "correlation_id": "c-1"}`
	messages := orders(b)
	document := newDocumentMapping(b, MappingConfig{
		AggregateID: "$.header.order_id", AggregateType: "= Order", EventType: "$.header.type", EventID: "$.header.event_id", EventVersion: "$.version",
		EventData: "$.order_placed", Metadata: "$.metadata",
	})
	cloud := newCloudMapping(b, MappingConfig{EventVersion: "$.version"})
	var envelope []byte
	for num, text := range []string{1: "5f0c1f87-8a57-4a1c-9a0b-2f3c7d0e9b11", 2: "OrderPlaced", 3: "order-17", 4: "Order", 5: "{" + order + "}"} {
		if num > 0 {
			envelope = append(envelope, bytesField(protowire.Number(num), text)...)
		}
	}
	for _, f := range []struct {
		name    string
		m       *Mapping
		payload []byte
	}{
		{"envelope", nil, envelope},
		{"protobuf", messages.Mapping, encode(b, messages, `{"header": {"order_id": "order-17", "event_id": "Xwwfh4pXShyaCy88fQ6bEQ=="}, `+order+`, `+metadata+`}`)},
		{"json", document, []byte(`{"header": {"order_id": "order-17", "event_id": "5f0c1f87-8a57-4a1c-9a0b-2f3c7d0e9b11", "type": "OrderPlaced"}, ` + order + `, ` + metadata + `}`)},
		{"cloudevents in json", cloud, []byte(`{"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "OrderPlaced", "subject": "order-17", "time": "2026-01-02T03:04:05Z", "user": "ann", "data": {` + order + `}}`)},
		{"cloudevents in protobuf", cloud, cloudPayload(b, `spec_version: "1.0" id: "e-1" source: "/shop" type: "OrderPlaced" attributes { key: "subject" value { ce_string: "order-17" } }
			attributes { key: "time" value { ce_timestamp { seconds: 1767323045 } } } attributes { key: "user" value { ce_string: "ann" } } text_data: '{`+order+`}'`)},
	} {
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(f.payload)))
			for b.Loop() {
				ev, err := f.m.ExtractNew(f.payload)
				if err != nil {
					b.Fatal(err)
				}
				if _, assigned := f.m.Assign(f.payload, &ev, 17); assigned.Document(31) == nil {
					b.Fatal("no event_data")
				}
			}
		})
	}
}
