package server

import "strings"

// validChannel reports whether name may name a channel: not empty, no '/', '*' or '>' anywhere,
// and no empty token.
func validChannel(name string) bool {
	if name == "" || strings.ContainsAny(name, "/*>") {
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
