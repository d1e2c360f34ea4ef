package server

import (
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats-streaming-server/spb"
)

// maxChannelName is the longest name of a channel, in characters: the width of its column.
const maxChannelName = 1024

// validChannel reports whether name may name a channel: not empty, no '/', '*' or '>' anywhere,
// no empty token, and nothing that some database does not hold.
func validChannel(name string) bool {
	if name == "" || strings.ContainsAny(name, "/*>\x00") || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxChannelName {
		return false
	}
	return name[0] != '.' && name[len(name)-1] != '.' && !strings.Contains(name, "..")
}

// validPattern reports whether p is a channel name in which whole tokens may be * and the
// last one >.
func validPattern(p string) bool {
	tokens := strings.Split(p, ".")
	for i, t := range tokens {
		switch {
		case t == "*" || t == ">" && i == len(tokens)-1:
		case !validChannel(t):
			return false
		}
	}
	return true
}

// matches reports whether the channel name matches the pattern. As in NATS, > stands for one
// or more tokens.
func matches(pattern, name string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		n, restN, moreN := strings.Cut(name, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != n:
			return false
		case !moreP || !moreN:
			return moreP == moreN
		}
		pattern, name = restP, restN
	}
}

// subjects are the NATS subjects of one cluster ID. Clients learn all but discover from the
// answer to their connect request.
type subjects struct {
	discover    string
	pings       string
	publish     string // prefix; the channel follows after a dot
	subscribe   string
	unsubscribe string
	subClose    string
	close       string
}

// recovered returns the subjects that clients of a stored state know: those of databases that were written by NATS
// Streaming in its first releases are random.
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
