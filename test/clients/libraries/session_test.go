package libraries

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// session is a connection to NATS as a library makes it: with the library's lines, over TCP. Like the libraries, it connects
// again when the connection is lost, and subscribes again.
type session struct {
	t       *testing.T
	speaks  dialect
	address string
	secure  *tls.Config   // nil without TLS
	ended   chan struct{} // closed when run has returned
	again   chan struct{} // receives a value for each new connection

	mu     sync.Mutex // guards what follows, and writes
	conn   net.Conn
	closed bool
	nextID int
	subs   map[int]*natsSubscription
	pongs  []chan struct{}
}

type natsSubscription struct {
	subject string
	handle  func(subject, reply string, data []byte)
}

// dial connects, and returns when NATS has answered the first PING.
func dial(t *testing.T, speaks dialect, to address, id string) (*session, error) {
	u, err := url.Parse(to.url)
	if err != nil {
		return nil, err
	}
	speaks.hello = strings.ReplaceAll(speaks.hello, "CLIENT", id)
	if password, ok := u.User.Password(); ok {
		speaks.hello = fmt.Sprintf("%s,%q:%q,%q:%q}", strings.TrimSuffix(speaks.hello, "}"), "user", u.User.Username(), "pass", password)
	}
	secure, err := secured(to.ca)
	if err != nil {
		return nil, err
	}
	if secure != nil { // as Java and .NET say
		speaks.hello = strings.NewReplacer(`"tls_required":false`, `"tls_required":true`, `"ssl_required":false`, `"ssl_required":true`).Replace(speaks.hello)
	}
	s := &session{t: t, speaks: speaks, address: u.Host, secure: secure, ended: make(chan struct{}), again: make(chan struct{}, 16), subs: make(map[int]*natsSubscription)}
	in, err := s.greet()
	if err != nil {
		close(s.ended)
		return nil, err
	}
	go s.run(in)
	return s, nil
}

// secured returns how to speak TLS with a server whose certificate is from an authority, or nil without one.
func secured(ca string) (*tls.Config, error) {
	if ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}, nil
}

// greet opens the connection.
func (s *session) greet() (*bufio.Reader, error) {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	info, err := in.ReadString('\n')
	if err == nil && !strings.HasPrefix(info, "INFO {") {
		err = fmt.Errorf("NATS begins with %q", info)
	}
	if err == nil && s.secure != nil {
		conn = tls.Client(conn, s.secure)
		in = bufio.NewReader(conn)
	}
	if err == nil {
		_, err = io.WriteString(conn, "CONNECT "+s.speaks.hello+"\r\nPING\r\n")
	}
	for line := ""; err == nil && line != "PONG"; { // +OK precedes it in verbose mode
		if line, err = readLine(in); strings.HasPrefix(line, "-ERR") {
			err = fmt.Errorf("NATS answers %s", line)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	s.conn = conn
	for id, sub := range s.subs {
		s.write(s.speaks.sub, sub.subject, id)
	}
	return in, nil
}

// run reads until the session is closed.
func (s *session) run(in *bufio.Reader) {
	defer close(s.ended)
	for {
		err := s.read(in)
		for err != nil {
			s.mu.Lock()
			closed := s.closed
			s.mu.Unlock()
			if closed {
				return
			}
			time.Sleep(20 * time.Millisecond) // between attempts to connect
			if in, err = s.greet(); err == nil {
				s.again <- struct{}{}
			}
		}
	}
}

// read handles what NATS sends until the connection is lost.
func (s *session) read(in *bufio.Reader) error {
	for {
		line, err := readLine(in)
		if err != nil {
			return err
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch words := strings.Fields(rest); verb {
		case "PING":
			s.locked(func() { s.write("PONG\r\n") })
		case "PONG":
			s.locked(func() {
				close(s.pongs[0])
				s.pongs = s.pongs[1:]
			})
		case "INFO", "+OK":
		case "MSG", "HMSG":
			if err := s.message(in, verb == "HMSG", words); err != nil {
				return err
			}
		default:
			s.t.Errorf("NATS says %s", line)
		}
	}
}

// message hands over a message: MSG SUBJECT SID [REPLY] SIZE, or HMSG with the size of its headers before its size.
func (s *session) message(in *bufio.Reader, headers bool, words []string) error {
	sizes := 1
	if headers {
		sizes = 2
	}
	reply := ""
	if len(words) == 3+sizes {
		reply = words[2]
	}
	skip := 0
	if headers {
		skip, _ = strconv.Atoi(words[len(words)-2])
	}
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return err
	}
	data := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(in, data); err != nil {
		return err
	}
	id, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	s.mu.Lock()
	sub := s.subs[id]
	s.mu.Unlock()
	if sub != nil {
		sub.handle(words[0], reply, data[skip:size])
	}
	return nil
}

func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func (s *session) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// write sends a line, unless the connection is lost: then it is repeated when it is back, or its answer will be missed.
// The caller holds s.mu.
func (s *session) write(format string, args ...any) {
	_, _ = fmt.Fprintf(s.conn, format, args...)
}

// subscribe listens to a subject. The handler runs on the reading goroutine.
func (s *session) subscribe(subject string, handle func(subject, reply string, data []byte)) int {
	return s.subscribeAs(s.speaks.sub, subject, handle)
}

func (s *session) subscribeAs(format, subject string, handle func(subject, reply string, data []byte)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	s.subs[s.nextID] = &natsSubscription{subject: subject, handle: handle}
	s.write(format, subject, s.nextID)
	return s.nextID
}

func (s *session) unsubscribe(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subs, id)
	s.write(s.speaks.unsub, id)
}

func (s *session) publish(subject, reply string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reply == "" {
		s.write(s.speaks.pub+"%s\r\n", subject, len(data), data)
		return
	}
	s.write("PUB %s %s %d\r\n%s\r\n", subject, reply, len(data), data)
}

// flush returns when NATS has taken everything before.
func (s *session) flush() {
	pong := make(chan struct{})
	s.locked(func() {
		s.pongs = append(s.pongs, pong)
		s.write("PING\r\n")
	})
	<-pong
}

// close ends the connection.
func (s *session) close() {
	s.locked(func() {
		s.closed = true
		_ = s.conn.Close()
	})
	<-s.ended
}
