package stan

import "github.com/nats-io/nats-streaming-server/spb"

// subjects are the NATS subjects of one cluster ID. Clients learn all but discover from the answer to their connect
// request.
type subjects struct {
	discover    string
	pings       string
	publish     string // prefix; the channel follows after a dot
	subscribe   string
	unsubscribe string
	subClose    string
	close       string
}

func newSubjects(discoverPrefix, clusterID string) subjects {
	discover := discoverPrefix + "." + clusterID
	return subjects{
		discover:    discover,
		pings:       discover + ".pings",
		publish:     "_STAN.pub." + clusterID,
		subscribe:   "_STAN.sub." + clusterID,
		unsubscribe: "_STAN.unsub." + clusterID,
		subClose:    "_STAN.subclose." + clusterID,
		close:       "_STAN.close." + clusterID,
	}
}

// recovered returns the subjects that clients of a stored state know: in databases of NATS Streaming's first releases they
// are random.
func (s subjects) recovered(info *spb.ServerInfo) subjects {
	for _, it := range []struct {
		stored string
		to     *string
	}{
		{info.Publish, &s.publish}, {info.Subscribe, &s.subscribe}, {info.Unsubscribe, &s.unsubscribe},
		{info.SubClose, &s.subClose}, {info.Close, &s.close},
	} {
		if it.stored != "" {
			*it.to = it.stored
		}
	}
	return s
}

// serverInfo is what the database remembers of the server.
func (s subjects) serverInfo(clusterID string) *spb.ServerInfo {
	return &spb.ServerInfo{
		ClusterID:   clusterID,
		Discovery:   s.discover,
		Publish:     s.publish,
		Subscribe:   s.subscribe,
		Unsubscribe: s.unsubscribe,
		Close:       s.close,
		SubClose:    s.subClose,
	}
}
