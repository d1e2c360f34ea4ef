package console

import (
	"strings"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// pageItems is the number of items in a page of a list.
const pageItems = 50

// channelsBody is a page of channels.
type channelsBody struct {
	Prefix   string
	Channels []*eventstorev1.Channel
	First    string // addresses; "" if there is none
	Next     string
}

// channels shows the event channels that the visitor may read or append to.
func (c *Console) channels(v *visit) error {
	body := channelsBody{Prefix: strings.TrimSpace(v.query.Get("prefix"))}
	resp, err := c.api.ListChannels(v.ctx, &eventstorev1.ListChannelsRequest{Prefix: body.Prefix, PageSize: pageItems, PageToken: v.query.Get("after")})
	if err != nil {
		return err
	}
	body.Channels = resp.GetChannels()
	body.First, body.Next = v.paging("/console/channels", resp.GetNextPageToken(), "prefix", body.Prefix)
	return v.show("channels", "Channels", "channels", body)
}

// paging returns the addresses of the first page, unless this is it, and of the next, if there is one.
func (v *visit) paging(path, next string, pairs ...string) (first, following string) {
	if v.query.Get("after") != "" {
		first = link(path, pairs...)
	}
	if next != "" {
		following = link(path, append(pairs, "after", next)...)
	}
	return first, following
}
