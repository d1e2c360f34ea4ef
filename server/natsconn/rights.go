package natsconn

import (
	"slices"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// The kinds of the server's own connections.
const (
	general    = "general"
	send       = "send"
	pubAcks    = "pubacks"
	acks       = "acks"
	heartbeats = "hb"
	relaying   = "relay"
)

// serviceReplies are the reply subjects that NATS makes for requests between accounts.
const serviceReplies = "_R_.>"

// rights are what each own connection may do in an embedded NATS server that authenticates its clients: what it needs. A
// connection that sends to clients can send to inboxes, and nowhere else.
func (o *Options) rights() map[string]*natsd.Permissions {
	inboxes := []string{DefaultInboxPrefix + ".>", PublishAcks + ".>", serviceReplies}
	for _, p := range o.InboxPrefixes {
		inboxes = append(inboxes, p+".>")
	}
	slices.Sort(inboxes)
	inboxes = slices.Compact(inboxes)
	nothing := &natsd.SubjectPermission{Deny: []string{">"}}
	discover := o.DiscoverPrefix + "." + o.ClusterID
	// Some libraries make up inboxes of one token. NATS cannot tell them from others; package stan does.
	bare := append([]string{"*"}, inboxes...)
	all := map[string]*natsd.Permissions{
		general: {
			// To look for another server of the same cluster ID, as a client does.
			Publish:   &natsd.SubjectPermission{Allow: []string{discover, "_STAN.close.>"}},
			Subscribe: &natsd.SubjectPermission{Allow: []string{discover, discover + ".pings", "_STAN.>", DefaultInboxPrefix + ".>"}},
		},
		send:    {Publish: &natsd.SubjectPermission{Allow: bare}, Subscribe: nothing},
		pubAcks: {Publish: &natsd.SubjectPermission{Allow: inboxes}, Subscribe: nothing},
		acks: {
			Publish:   nothing,
			Subscribe: &natsd.SubjectPermission{Allow: []string{DefaultInboxPrefix + ".>"}},
		},
		heartbeats: {
			Publish:   &natsd.SubjectPermission{Allow: bare},
			Subscribe: &natsd.SubjectPermission{Allow: []string{OwnInboxes(o.ClusterID) + ">"}},
		},
	}
	if len(o.Streams) > 0 {
		relay := []string{}
		for name, subjects := range o.Streams {
			relay = append(relay, subjects...)
			for _, request := range []string{"STREAM.INFO.", "STREAM.CREATE.", "STREAM.MSG.GET.", "DIRECT.GET."} {
				relay = append(relay, "$JS.API."+request+name)
			}
			relay = append(relay, "$JS.API.DIRECT.GET."+name+".>")
		}
		all[relaying] = &natsd.Permissions{
			Publish:   &natsd.SubjectPermission{Allow: relay},
			Subscribe: &natsd.SubjectPermission{Allow: []string{DefaultInboxPrefix + ".>"}},
		}
	}
	return all
}
