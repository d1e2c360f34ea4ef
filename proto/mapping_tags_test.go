package proto

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// taggedMapping is a mapping with tags in one format.
func taggedMapping(t testing.TB, format string, tags ...string) *Mapping {
	t.Helper()
	switch format {
	case FormatJSON:
		return newDocumentMapping(t, MappingConfig{AggregateID: "= a", EventType: "= T", Tags: tags})
	case FormatCloudEvents:
		return newCloudMapping(t, MappingConfig{Tags: tags})
	}
	return newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "= a", EventType: "= T", Tags: tags}).Mapping
}

// checkTags checks what a mapping makes of a new and of a stored payload.
func checkTags(t *testing.T, m *Mapping, payload []byte, want []string, refused string) {
	t.Helper()
	old, err := m.Extract(payload)
	if err != nil || !slices.Equal(old.Tags, want) {
		t.Errorf("stored: %q, %v, want %q", old.Tags, err, want)
	}
	ev, err := m.ExtractNew(payload)
	switch {
	case refused != "":
		if err == nil || err.Error() != refused {
			t.Errorf("new: %v, want %s", err, refused)
		}
	case err != nil || !slices.Equal(ev.Tags, want) || !slices.Equal(ev.Message().GetTags(), want):
		t.Errorf("new: %q, %v, want %q", ev.Tags, err, want)
	}
}

func TestTagsOfMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tags    []string
		json    string
		want    []string
		refused string
	}{
		"a field":               {[]string{"child:{child.s}"}, `{"child": {"s": "x"}}`, []string{"child:x"}, ""},
		"two fields":            {[]string{"{s}/{child.u64}!"}, `{"s": "x", "child": {"u64": 7}}`, []string{"x/7!"}, ""},
		"a field alone":         {[]string{"s"}, `{"s": "x"}`, []string{"x"}, ""},
		"a constant":            {[]string{"= all", "s"}, `{}`, []string{"all"}, ""},
		"missing":               {[]string{"s:{s}", "u:{u64}", "o:{oi}", "c:{child.s}", "{s}{i32}"}, `{"i32": 3}`, nil, ""},
		"zero that is given":    {[]string{"{oi}", "{os}", "{color}"}, `{"oi": 0, "os": ""}`, []string{"0", "BLUE"}, ""},
		"kinds":                 {[]string{"{b}", "{color}", "{s32}", "{s64}", "{sf32}", "{f64}"}, `{"b": "AZr5dgt2fKGw3l6FFsCHoQ==", "color": "GREEN", "s32": -3, "s64": -4, "sf32": -5, "f64": 6}`, []string{"019af976-0b76-7ca1-b0de-5e8516c087a1", "GREEN", "-3", "-4", "-5", "6"}, ""},
		"a list":                {[]string{"strings"}, `{"strings": ["b", "a", "", "b"]}`, []string{"b", "a"}, ""},
		"a list of numbers":     {[]string{"n:{numbers}"}, `{"numbers": [0, -1]}`, []string{"n:0", "n:-1"}, ""},
		"an empty list":         {[]string{"strings", "n:{numbers}"}, `{}`, nil, ""},
		"in a list":             {[]string{"{s}:{children.s}"}, `{"s": "x", "children": [{"s": "1"}, {}, {"s": "2"}]}`, []string{"x:1", "x:2"}, ""},
		"a list in a list":      {[]string{"{children.strings}"}, `{"children": [{"strings": ["a", "b"]}, {"strings": ["c", "a"]}]}`, []string{"a", "b", "c"}, ""},
		"a list twice":          {[]string{"{strings}={strings}"}, `{"strings": ["a", "b"]}`, []string{"a=a", "b=b"}, ""},
		"a oneof":               {[]string{"{oneof:choice}", "{oneof_type:message_choice}", "{children.leaf.name}", "{oneof:children.choice}", "{$message}"}, `{"choice_text": "x", "leaf": {}, "children": [{"leaf": {"name": "n"}, "choice_number": 1}]}`, []string{"choice_text", "Leaf", "n", "choice_number", "Everything"}, ""},
		"an unset oneof":        {[]string{"{oneof:choice}", "{oneof_type:message_choice}"}, `{}`, nil, ""},
		"from several, a set":   {[]string{"{s}", "{os}"}, `{"s": "x", "os": "x"}`, []string{"x"}, ""},
		"a control character":   {[]string{"s:{s}", "os"}, `{"s": "a\nb", "os": "x"}`, []string{"x"}, `invalid event: tags contain "s:a\nb" with a control character: remove it`},
		"too long with its key": {[]string{"s:{s}", "os"}, `{"os": "x", "s": "` + strings.Repeat("y", 254) + `"}`, []string{"x"}, `invalid event: tags contain "s:` + strings.Repeat("y", 38) + `"… of 256 bytes: shorten it to 255`},
		"too many":              {[]string{"n:{numbers}"}, `{"numbers": [` + numbersTo(65) + `]}`, prefixed("n:", 64), "invalid event: tags contain more than 64: keep those that readers ask for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := taggedMapping(t, FormatProtobuf, c.tags...)
			checkTags(t, m, encode(t, messageMapping{m, m.format.(*messages)}, c.json), c.want, c.refused)
		})
	}
}

func numbersTo(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return strings.Join(all, ", ")
}

func prefixed(prefix string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}

func TestTagsOfDocuments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tags    []string
		json    string
		want    []string
		refused string
	}{
		"a member":              {[]string{"customer:{$.customer.id}"}, `{"customer": {"id": "c-9"}}`, []string{"customer:c-9"}, ""},
		"two members":           {[]string{"{$.a}/{$['b c']}!"}, `{"a": "\u00e4", "b c": 12345678901234567890123}`, []string{"ä/12345678901234567890123!"}, ""},
		"a member alone":        {[]string{"$.a"}, `{"a": -0}`, []string{"0"}, ""},
		"a constant":            {[]string{"= all"}, `{}`, []string{"all"}, ""},
		"missing":               {[]string{"a:{$.a}", "b:{$.b}", "c:{$.c.d}", "d:{$.d.e}", "{$.b}{$.f}"}, `{"b": null, "a": "", "d": {}, "c": null, "f": 3}`, nil, ""},
		"a list":                {[]string{"$.tags"}, `{"tags": ["b", 1, "", null, "b", "a"]}`, []string{"b", "1", "a"}, ""},
		"an empty list":         {[]string{"$.tags", "t:{$.tags}"}, `{"tags": []}`, nil, ""},
		"in a list":             {[]string{"{$.a}:{$.items.sku}"}, `{"a": "x", "items": [{"sku": "1"}, {}, null, {"sku": "2"}]}`, []string{"x:1", "x:2"}, ""},
		"a list in a list":      {[]string{"$.a.b"}, `{"a": [{"b": ["x", "y"]}, {"b": "z"}, {"b": [["x", "w"]]}]}`, []string{"x", "y", "z", "w"}, ""},
		"a list twice":          {[]string{"{$.a}={$.a}", "$.a"}, `{"a": [1, 2]}`, []string{"1=1", "2=2", "1", "2"}, ""},
		"two lists":             {[]string{"{$.a}/{$.b}", "c:{$.c}"}, `{"a": [1], "b": [2], "c": 3}`, []string{"c:3"}, "invalid event: tags cannot combine two lists: map them to different tags"},
		"an object":             {[]string{"$.a", "$.b"}, `{"a": {}, "b": 1}`, []string{"1"}, "invalid event: tags need a text or an integer: $.a is an object"},
		"a fraction in a list":  {[]string{"$.a", "$.b"}, `{"a": [1, 1.5], "b": 1}`, []string{"1"}, "invalid event: tags need a text or an integer: $.a is 1.5"},
		"a boolean":             {[]string{"$.a"}, `{"a": true}`, nil, "invalid event: tags need a text or an integer: $.a is a boolean"},
		"a text on the way":     {[]string{"$.a.b.c", "$.d.e"}, `{"a": {"b": "x"}, "d": [1, {"e": 2}]}`, []string{"2"}, ""},
		"a control character":   {[]string{"$.a"}, `{"a": ["\u007f", "x"]}`, []string{"x"}, `invalid event: tags contain "\x7f" with a control character: remove it`},
		"too long with its key": {[]string{"a:{$.a}"}, `{"a": "` + strings.Repeat("y", 254) + `"}`, nil, `invalid event: tags contain "a:` + strings.Repeat("y", 38) + `"… of 256 bytes: shorten it to 255`},
		"too many":              {[]string{"n:{$.n}"}, `{"n": [` + numbersTo(65) + `]}`, prefixed("n:", 64), "invalid event: tags contain more than 64: keep those that readers ask for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkTags(t, taggedMapping(t, FormatJSON, c.tags...), []byte(c.json), c.want, c.refused)
		})
	}
}

// Tags come from attributes, extensions and data of CloudEvents, in both of their formats. No attribute is a tag by itself.
func TestTagsOfCloudEvents(t *testing.T) {
	t.Parallel()
	const required = `"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "T", "tags": "x", "tenant": "t-1"`
	const fields = `spec_version: "1.0" id: "e-1" source: "/shop" type: "T" attributes { key: "tags" value { ce_string: "x" } } attributes { key: "tenant" value { ce_string: "t-1" } } `
	for _, payload := range [][]byte{
		[]byte(`{` + required + `, "data": {"items": [{"sku": 1}, {"sku": 2}]}}`),
		cloudPayload(t, fields+`text_data: '{"items": [{"sku": 1}, {"sku": 2}]}'`),
	} {
		checkTags(t, taggedMapping(t, FormatCloudEvents), payload, nil, "")
		m := taggedMapping(t, FormatCloudEvents, "tenant:{$.tenant}", "from:{$.source}", "sku:{$.data.items.sku}", "$.none")
		checkTags(t, m, payload, []string{"tenant:t-1", "from:/shop", "sku:1", "sku:2"}, "")
		checkTags(t, taggedMapping(t, FormatCloudEvents, "{$.data.items}"), payload, nil, "invalid event: tags need a text or an integer: $.data.items is an object")
	}
}

func TestWrongTagsOfMappings(t *testing.T) {
	t.Parallel()
	for format, all := range map[string]map[string]string{
		FormatProtobuf: {
			" ":                              `is empty: write a text with sources in braces, such as "customer:{customer.id}"`,
			"s:{s":                           `{s has no closing brace`,
			"s:s}":                           `} has no opening brace`,
			"{}":                             `{} is not a source: name a field or a member`,
			"{= x}":                          `{= x} is not a source: name a field or a member`,
			"=":                              `the text after = is missing`,
			"= a\nb":                         `the text must be valid UTF-8 without control characters`,
			"a\x00{s}":                       `the text must be valid UTF-8 without control characters`,
			"\xff{s}":                        `the text must be valid UTF-8 without control characters`,
			strings.Repeat("x", 256):         `acme.orders.v1.Everything has no field`,
			strings.Repeat("x", 256) + "{s}": `the text is longer than 255 bytes`,
			"s:{none}":                       `acme.orders.v1.Everything has no field "none"`,
			"s:{s.x}":                        `acme.orders.v1.Everything.s is not a message: it has no field "x"`,
			"{child}":                        `acme.orders.v1.Everything.child is of type acme.orders.v1.Everything: name one of its fields`,
			"{d}":                            `acme.orders.v1.Everything.d is of type double: it must be a string, bytes, an integer or an enum`,
			"{words}":                        `acme.orders.v1.Everything.words is a map: name a field or a list`,
			"{by_name.s}":                    `acme.orders.v1.Everything.by_name is repeated: a source must have a single value`,
			"{oneof_type:choice}":            `acme.orders.v1.Everything.choice_text is not a message: it has no type name`,
			"{strings}{children.s}":          `cannot combine two lists: map them to different tags`,
			"{u64}":                          `is event_version, too, which the server may assign: name another field`,
		},
		FormatJSON: {
			"shop":          `must begin with $., such as $.order.id`,
			"a:{order}":     `must begin with $., such as $.order.id`,
			"{$}":           `must be a member, such as $.customer.id`,
			"{$.a[*].b}":    `leave [*] out: a list stands for each of its elements`,
			"{$.a[0]}":      `"[0]" is not a member: a source must have a single value, so it cannot be in a list`,
			"{$.version}":   "tags: $.version is event_version, too, which the server may assign: name another member",
			"{$.version.a}": "tags: $.version.a is inside $.version, the event_version, which is a text or a number: name other members",
			"{$.id.a}":      "tags: $.id.a is inside $.id, the aggregate_id, which is a text or a number: name other members",
			"{$.order}":     "event_id: $.order.id is inside $.order, of tags, which is a text, a number or a list of them: name other members",
			"{$.x}{$.x.y}":  "tags: $.x.y is inside $.x, which is a text, a number or a list of them: name other members",
		},
	} {
		for tag, want := range all {
			cfg := MappingConfig{Format: FormatJSON, AggregateID: "$.id", EventType: "= T", EventVersion: "$.version", EventID: "$.order.id"}
			if format == FormatProtobuf {
				cfg = MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "s", EventType: "$message", EventVersion: "u64"}
			}
			cfg.Tags = []string{"= all", tag}
			_, err := NewMapping(cfg)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "tags") {
				t.Errorf("%s %q: %v, want %s", format, tag, err, want)
			}
		}
	}
}

// slowTags returns the texts at a path in a decoded document, and whether a list is on it.
func slowTags(value any, path []string) (texts []string, list, ok bool) {
	switch v := value.(type) {
	case nil:
		return nil, false, true
	case []any:
		for _, element := range v {
			more, _, fine := slowTags(element, path)
			if texts = append(texts, more...); !fine {
				return nil, true, false
			}
		}
		return texts, true, true
	case map[string]any:
		if len(path) == 0 {
			return nil, false, false
		}
		return slowTags(v[path[0]], path[1:])
	}
	if len(path) > 0 {
		return nil, false, true
	}
	text, ok := slowText(map[string]any{"": value}, "")
	if s, isText := value.(string); isText {
		text, ok = s, true
	}
	if text != "" {
		texts = []string{text}
	}
	return texts, false, ok
}

// tagSources are the sources of each tag of documentsWithTags, one or two.
var tagSources = [][]string{{"$.data.a"}, {"$.order.id", "$.more.b"}, {"$.data.b", "$.context.user"}, {"$.more.type"}, {"$.at", "$.data.a"}}

func documentsWithTags(t testing.TB) *Mapping {
	t.Helper()
	var tags []string
	for _, sources := range tagSources {
		tags = append(tags, "{"+strings.Join(sources, "}/{")+"}")
	}
	return newDocumentMapping(t, MappingConfig{AggregateID: "= a", EventType: "= T", EventVersion: "$.order.version", Tags: tags})
}

// agreeTags compares the tags of a payload with what encoding/json finds at their paths.
func agreeTags(t *testing.T, m *Mapping, payload []byte) (found, listed, refused bool) {
	t.Helper()
	got, err := m.Extract(payload)
	if err != nil {
		return false, false, false
	}
	document, _ := slowDocument(payload)
	var want []string
	strict := true
	for _, sources := range tagSources {
		first, list, ok := slowTags(document, strings.Split(sources[0], ".")[1:])
		second, other, fine := []string{""}, false, true
		if len(sources) > 1 {
			second, other, fine = slowTags(document, strings.Split(sources[1], ".")[1:])
		}
		if !ok || !fine || list && other {
			strict = strict && ok && fine && (len(first) == 0 || len(second) == 0)
			continue
		}
		listed = listed || (list || other) && len(first) > 0 && len(second) > 0
		for _, a := range first {
			for _, b := range second {
				tag := a
				if len(sources) > 1 {
					tag += "/" + b
				}
				strict = strict && checkTag([]byte(tag)) == nil
				want = append(want, tag)
			}
		}
	}
	counted := Tags(want)
	if len(want) > MaxTags { // a list of many texts is cut before its tags are made
		return false, false, false
	}
	if !slices.Equal(got.Tags, counted) {
		t.Fatalf("%s: tags %q, want %q", payload, got.Tags, counted)
	}
	fresh, err := m.ExtractNew(payload)
	if strict && (err != nil || !slices.Equal(fresh.Tags, counted)) || !strict && err == nil {
		t.Fatalf("%s: new: %q, %v, want %q", payload, fresh.Tags, err, counted)
	}
	if err != nil && (!strings.HasPrefix(err.Error(), "invalid event: tags ") || !utf8.ValidString(err.Error())) {
		t.Fatalf("%s: %v", payload, err)
	}
	if now := m.AppendVersion(payload, 7); got.Version == 0 {
		if again, err := m.Extract(now); err != nil || !slices.Equal(again.Tags, got.Tags) || !m.SameEvent(payload, now) {
			t.Fatalf("%s became %s: tags %q, were %q, %v", payload, now, again.Tags, got.Tags, err)
		}
	}
	return len(got.Tags) > 0, listed, err != nil
}

func TestDocumentTagsAgreeWithEncodingJSON(t *testing.T) {
	t.Parallel()
	m := documentsWithTags(t)
	r := rand.New(rand.NewPCG(15, 16))
	var some, lists, refusals int
	const rounds = 10_000
	for range rounds {
		found, listed, refused := agreeTags(t, m, randomObject(r, nil, eventNames, 5))
		for _, it := range []struct {
			is bool
			n  *int
		}{{found, &some}, {listed, &lists}, {refused, &refusals}} {
			if it.is {
				*it.n++
			}
		}
	}
	if some < rounds/20 || lists < rounds/100 || refusals < rounds/50 {
		t.Errorf("%d payloads with tags, %d of lists, %d refused: too few to prove anything", some, lists, refusals)
	}
}

func FuzzDocumentTags(f *testing.F) {
	m := documentsWithTags(f)
	r := rand.New(rand.NewPCG(17, 18))
	for range 200 {
		f.Add(randomObject(r, nil, eventNames, 4))
	}
	f.Add([]byte(`{"data": {"a": [[1, "1"], null, {}], "b": "x"}, "context": {"user": ["u", "v"]}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if !strings.Contains(string(payload), "\ufffd") && !strings.Contains(strings.ToLower(string(payload)), `\ufffd`) {
			agreeTags(t, m, payload)
		}
	})
}
