package proto

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// numbered returns different tags.
func numbered(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = "tag:" + strings.Repeat("x", i)
	}
	return tags
}

// tagged returns the payload of an event with tags, which proto.Marshal might refuse.
func tagged(t testing.TB, tags ...string) []byte {
	b := marshal(t, &eventstorev1.Event{EventType: "T", AggregateId: "a"})
	for _, tag := range tags {
		b = protowire.AppendString(protowire.AppendTag(b, fieldTags, protowire.BytesType), tag)
	}
	return b
}

func TestTags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tags, want []string // want is what Extract keeps
		refused    string   // by ExtractNew
	}{
		"none":             {},
		"some":             {tags: []string{"b:2", "a:1"}, want: []string{"b:2", "a:1"}},
		"twice":            {tags: []string{"a", "b", "a", "A", "b"}, want: []string{"a", "b", "A"}},
		"most":             {tags: numbered(MaxTags), want: numbered(MaxTags)},
		"most, each twice": {tags: slices.Repeat(numbered(MaxTags), 2), want: numbered(MaxTags)},
		"longest":          {tags: []string{strings.Repeat("é", 127) + "x"}, want: []string{strings.Repeat("é", 127) + "x"}},
		"too many":         {tags: numbered(MaxTags + 1), want: numbered(MaxTags), refused: "invalid event: tags contain more than 64: keep those that readers ask for"},
		"empty":            {tags: []string{"a", ""}, want: []string{"a"}, refused: "invalid event: tags contain an empty tag: leave it out"},
		"too long": {tags: []string{strings.Repeat("x", 256), "a"}, want: []string{"a"},
			refused: `invalid event: tags contain "` + strings.Repeat("x", 40) + `"… of 256 bytes: shorten it to 255`},
		"NUL":        {tags: []string{"a\x00b", "a"}, want: []string{"a"}, refused: `invalid event: tags contain "a\x00b" with a control character: remove it`},
		"line break": {tags: []string{"a\nb"}, refused: `invalid event: tags contain "a\nb" with a control character: remove it`},
		"DEL":        {tags: []string{"\x7f"}, refused: `invalid event: tags contain "\x7f" with a control character: remove it`},
		"C1":         {tags: []string{"\u0085"}, refused: `invalid event: tags contain "\u0085" with a control character: remove it`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := tagged(t, c.tags...)
			old, err := Extract(payload)
			if err != nil || !slices.Equal(old.Tags, c.want) {
				t.Errorf("stored: %q, %v, want %q", old.Tags, err, c.want)
			}
			if got := Tags(c.tags); !slices.Equal(got, c.want) {
				t.Errorf("Tags: %q, want %q", got, c.want)
			}
			ev, err := ExtractNew(payload)
			if c.refused != "" {
				if err == nil || err.Error() != c.refused {
					t.Errorf("new: %v, want %s", err, c.refused)
				}
				return
			}
			if err != nil || !slices.Equal(ev.Tags, c.want) || !slices.Equal(ev.Message().GetTags(), c.want) {
				t.Errorf("new: %q, %v, want %q", ev.Tags, err, c.want)
			}
		})
	}
}

// Text that is not UTF-8 is refused in stored events, too, as every decoder of the envelope does.
func TestTagsAreUTF8(t *testing.T) {
	t.Parallel()
	const want = `invalid event: tags contain "\xff", which is not valid UTF-8: encode tags as UTF-8`
	for _, extract := range []func([]byte) (Event, error){Extract, ExtractNew} {
		if _, err := extract(tagged(t, "a", "\xff")); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if got := Tags([]string{"\xff", "a"}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("Tags: %q", got)
	}
}

// Tags are a set: an event published again may have them in another order.
func TestSameEventComparesTagsAsASet(t *testing.T) {
	t.Parallel()
	base := tagged(t, "a", "b", "a")
	same(t, base, tagged(t, "b", "a"), true)
	same(t, base, AppendVersion(tagged(t, "b", "a", "b", "b"), 7), true)
	for _, other := range [][]string{nil, {"a"}, {"a", "b", "c"}, {"a", "B"}} {
		same(t, base, tagged(t, other...), false)
	}
}
