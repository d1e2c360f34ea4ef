package eventlog

import (
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func TestChannelVersions(t *testing.T) {
	t.Parallel()
	var all []ChannelVersions
	for _, text := range []string{"imports.legacy=off", "imports.> = unique", "strict"} {
		v, err := ParseChannelVersions(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	for channel, want := range map[string]stores.Versions{
		"imports.legacy": stores.VersionsOff, "imports.new": stores.VersionsUnique, "imports": stores.VersionsStrict, "orders": stores.VersionsStrict,
	} {
		if got := versionsOf(all, channel); got != want {
			t.Errorf("%s: %v, want %v", channel, got, want)
		}
	}
	if got := versionsOf(nil, "orders"); got != stores.VersionsStrict {
		t.Errorf("default %v", got)
	}
	for text, want := range map[string]string{"loose": `"loose"`, "a..b=off": `"a..b"`, "=off": `""`, "a=": `""`, "a=b=off": `"b=off"`} {
		if _, err := ParseChannelVersions(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
