package natsconn

import (
	"strconv"
	"strings"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// user returns the name or public key under which NATS admitted a connection, or "".
//
// It is not AuthorizedUser of /connz: that is the first of the names in the client's CONNECT, which may hold several, while NATS
// checks one; and a client may send CONNECT again. What String shows was written once, after the client was admitted, and
// tells the kinds of names apart.
func (p *Peers) user(c *natsd.ConnInfo) string {
	client := p.ns.GetClient(c.Cid)
	if client == nil {
		return ""
	}
	kind, name := admitted(client.String(), c)
	key := nkeys.IsValidPublicUserKey(name)
	switch {
	case name != c.AuthorizedUser:
		return ""
	case p.operators && kind == "jwt",
		!p.operators && kind == "nkey" && key, // if NATS has nkeys it checked this one; else the access file names none
		!p.operators && kind == "user" && !key:
		return name
	}
	return ""
}

// admitted returns the kind and name of the user in the description of a connection, which ends with "ACCOUNT/KIND:NAME".
func admitted(description string, c *natsd.ConnInfo) (kind, name string) {
	i := strings.LastIndex(description, ` - "`)
	if i < 0 {
		return "", ""
	}
	text, err := strconv.Unquote(description[i+len(" - "):])
	if err != nil {
		return "", ""
	}
	account := c.Account
	if account == "" {
		account = natsd.DEFAULT_GLOBAL_ACCOUNT
	}
	if c.NameTag != account { // an account without a name tag has its name
		account += "/" + c.NameTag
	}
	label, ok := strings.CutPrefix(text, account+"/")
	if !ok {
		return "", ""
	}
	kind, name, _ = strings.Cut(label, ":")
	return kind, name
}
