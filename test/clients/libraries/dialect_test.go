package libraries

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// dialect is how a client library, with the NATS library below it, differs from others in what it sends.
type dialect struct {
	// hello are the options of NATS' CONNECT. CLIENT stands for the client ID.
	hello string
	// sub subscribes with a subject and an ID, subAnswers to the answers to requests, unsub unsubscribes by ID, and pub publishes to a subject as many bytes, without a
	// reply subject.
	sub, subAnswers, unsub, pub string
	// inbox returns a new inbox for messages and heartbeats, token one for the answers to requests, and guid names a message.
	inbox, token, guid func() string
	// inboxForEach says that each request has an inbox of its own. Otherwise one subscription receives all answers.
	inboxForEach bool
	// protocol is that of the connect request: 0 has no pings and no connection ID.
	protocol int32
	// namesConnection says that published messages have the connection ID.
	namesConnection bool
	// leaves are what the library unsubscribes from before it asks for the end of its client.
	leaves leaving
}

// leaving is what a library unsubscribes from before its request to close.
type leaving int

const (
	leavesNothing leaving = iota
	leavesAnswers         // to publishes and pings
	leavesAll             // heartbeats and messages, too
)

// The lines of NATS' protocol, with the spaces that each library has around what it omits.
const (
	oneSpace  = "SUB %s %d\r\n"
	twoSpaces = "SUB %s  %d\r\n" // around no queue group
)

// python is stan.py 0.4.0 on asyncio-nats-client 0.11.
var python = dialect{
	hello: `{"lang": "python3", "pedantic": false, "protocol": 1, "verbose": false, "version": "0.11.4"}`,
	sub:   twoSpaces, subAnswers: twoSpaces, unsub: "UNSUB %d \r\n", pub: "PUB %s  %d\r\n",
	inbox: func() string { return "_INBOX." + hexBits(0x58) }, token: nuid, guid: func() string { return hexBits(0x58) },
	protocol: 1, namesConnection: true, leaves: leavesAll,
}

// strictPython is the same with options of its NATS library.
var strictPython = with(python, func(d *dialect) {
	d.hello = `{"echo": false, "lang": "python3", "name": "CLIENT", "pedantic": true, "protocol": 1, "verbose": true, "version": "0.11.4"}`
})

// oldPython is stan.py 0.2.0, whose requests have an inbox each. Its other inboxes have no prefix, and it knows no pings.
var oldPython = with(python, func(d *dialect) {
	d.hello = `{"lang": "python3", "pedantic": false, "protocol": 1, "verbose": false, "version": "0.8.2"}`
	d.inbox = func() string { return hexBits(0x58) }
	d.protocol, d.namesConnection, d.inboxForEach = 0, false, true
})

// java is java-nats-streaming 2.2.3 on jnats 2.6.5. Its publishes name the client alone.
var java = dialect{
	hello: `{"lang":"java","version":"2.6.5","name":"CLIENT","protocol":1,"verbose":false,"pedantic":false,"tls_required":false,"echo":true}`,
	sub:   oneSpace, subAnswers: oneSpace, unsub: "UNSUB %d\r\n", pub: "PUB %s %d\r\n",
	inbox: func() string { return "_INBOX." + nuid() }, token: nuid, guid: nuid,
	protocol: 1, leaves: leavesAll,
}

// dotnet is STAN.Client 0.3.0 on NATS.Client 0.11.0.
var dotnet = dialect{
	hello: `{"verbose":false,"pedantic":false,"user":"","pass":"","ssl_required":false,"name":"","auth_token":"","lang":".NET","version":"0.0.1",` +
		`"protocol":1,"jwt":"","nkey":"","sig":"","echo":true,"headers":true,"no_responders":true}`,
	sub: twoSpaces, subAnswers: twoSpaces, unsub: "UNSUB %d 0\r\n", pub: "PUB %s %d\r\n",
	inbox: func() string { return "_INBOX." + nuid() }, token: nuid, guid: nuid,
	protocol: 1, namesConnection: true, leaves: leavesAnswers,
}

// ruby is nats-streaming 0.2.2 on nats-pure 0.7.2. It knows neither pings nor connection IDs, and its inboxes have no prefix.
var ruby = dialect{
	hello: `{"verbose":false,"pedantic":false,"lang":"ruby2.7.8","version":"0.7.2","protocol":1,"headers":true,"no_responders":true}`,
	sub:   twoSpaces, subAnswers: oneSpace, unsub: "UNSUB %d\r\n", pub: "PUB %s  %d\r\n",
	inbox: func() string { return hexBytes(13) }, token: nuid, guid: func() string { return hexBytes(11) },
	leaves: leavesNothing,
}

// oldRuby is the same on nats-pure 0.2, whose requests have an inbox each. It predates headers.
var oldRuby = with(ruby, func(d *dialect) {
	d.hello = `{"verbose":false,"pedantic":false,"lang":"ruby2.3.1","version":"0.2.4","protocol":1}`
	d.token, d.inboxForEach = func() string { return hexBytes(13) }, true
})

func with(d dialect, change func(*dialect)) dialect {
	change(&d)
	return d
}

func hexBytes(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// hexBits returns a random number of as many bits, without zeros in front.
func hexBits(n uint) string {
	i, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), n))
	if err != nil {
		panic(err) // never: the reader does not fail
	}
	return fmt.Sprintf("%x", i)
}

// nuid returns 22 letters and digits, as most libraries make their IDs of.
func nuid() string { return strings.ToLower(rand.Text())[:22] }
