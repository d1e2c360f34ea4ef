package streams

import (
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

// maxName is the longest name of a stream or consumer in bytes.
const maxName = 255

// legal returns a text as JetStream takes it for the name of a stream or consumer: what it does not take becomes _.
func legal(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`.*>/\`, c) >= 0 {
			b.WriteByte('_')
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// streamOf returns the name of the stream of a channel.
func (o *Options) streamOf(channel string) (string, error) {
	name, given := o.Streams[channel]
	if !given {
		name = legal(channel)
	}
	if err := relay.ValidStream(name); err != nil {
		return "", fmt.Errorf("channel %q: %w: name its stream with --stream %s=NAME", channel, err, channel)
	}
	return name, nil
}
