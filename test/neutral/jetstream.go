package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// natsVariable makes this program a NATS server: its value is the file of the configuration, the port is the argument.
	natsVariable = "NATS_EVENTSTORE_NEUTRAL_NATS"
	natsReady    = "NATS server of the harness is ready"

	jetStreamName = "EVENTS"
	jetSubject    = "events" // before category and stream
)

// serveNATS is the NATS server in a process of its own. Built with this program, it is of the module's version.
func serveNATS() error {
	o, err := natsd.ProcessConfigFile(os.Getenv(natsVariable))
	if err != nil {
		return err
	}
	if o.Port, err = strconv.Atoi(os.Args[1]); err != nil {
		return err
	}
	o.Host, o.NoLog, o.NoSigs = "127.0.0.1", true, true
	server, err := natsd.NewServer(o)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	server.Start()
	defer server.WaitForShutdown()
	defer server.Shutdown()
	if !server.ReadyForConnections(time.Minute) {
		return errors.New("the NATS server is not ready")
	}
	fmt.Println(natsReady)
	<-stop
	return nil
}

// jetStream is a NATS server with one stream.
type jetStream struct{ *program }

func startJetStream(ctx context.Context, at *place) (store, error) {
	dir, err := at.folder()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, "jetstream { store_dir: %q, sync_interval: always }\n", dir), 0o600); err != nil {
		return nil, err
	}
	p := &program{name: "jetstream", ready: natsReady, dir: dir, command: func(port string) *exec.Cmd {
		cmd := exec.Command(self, port)
		cmd.Env = append(os.Environ(), natsVariable+"="+config)
		return cmd
	}}
	if err := p.restart(ctx); err != nil {
		return nil, err
	}
	s := &jetStream{p}
	c, err := s.open()
	if err != nil {
		return s, err
	}
	defer c.close()
	_, err = c.js.CreateStream(ctx, jetstream.StreamConfig{Name: jetStreamName, Subjects: []string{jetSubject + ".>"}, Storage: jetstream.FileStorage, AllowDirect: true})
	return s, err
}

func (s *jetStream) connect(context.Context) (client, error) { return s.open() }

func (s *jetStream) open() (*jetClient, error) {
	nc, err := nats.Connect(s.running.URL, nats.NoReconnect())
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	return &jetClient{nc, js}, err
}

type jetClient struct {
	nc *nats.Conn
	js jetstream.JetStream
}

func (s stream) subject() string { return jetSubject + "." + s.category + "." + s.id }

func (c *jetClient) append(ctx context.Context, to stream, at version, events [][]byte) (last version, err error) {
	for _, data := range events {
		var expected []jetstream.PublishOpt
		if at != anyVersion {
			expected = append(expected, jetstream.WithExpectLastSequencePerSubject(uint64(at)))
		}
		ack, err := c.js.Publish(ctx, to.subject(), data, expected...)
		var refused *jetstream.APIError
		if errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return 0, errConflict
		}
		if err != nil {
			return 0, err
		}
		if last = version(ack.Sequence); at != anyVersion {
			at = last
		}
	}
	return last, nil
}

func (c *jetClient) call(ctx context.Context) error { return c.nc.FlushWithContext(ctx) }

func (c *jetClient) read(ctx context.Context, of stream, limit int) ([][]byte, error) {
	return c.get(ctx, of.subject(), limit)
}

func (c *jetClient) category(ctx context.Context, name string, limit int) ([][]byte, error) {
	return c.get(ctx, stream{name, "*"}.subject(), limit)
}

// get is a direct get of the first messages of a subject, which the library does not have for more than one:
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md
func (c *jetClient) get(ctx context.Context, subject string, limit int) (list [][]byte, err error) {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // all was received, or the connection is gone
	request, err := json.Marshal(map[string]any{"batch": limit, "next_by_subj": subject, "seq": 1})
	if err != nil {
		return nil, err
	}
	if err := c.nc.PublishRequest("$JS.API.DIRECT.GET."+jetStreamName, inbox, request); err != nil {
		return nil, err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			list = append(list, m.Data)
		case "204", "404": // end of the batch, nothing there
			return list, nil
		default:
			return nil, fmt.Errorf("get %q: %s %s", subject, status, m.Header.Get("Description"))
		}
	}
}

func (c *jetClient) head(ctx context.Context, of stream) (version, error) {
	m, err := c.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+jetStreamName+"."+of.subject(), nil)
	if err != nil {
		return 0, err
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		sequence, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
		return version(sequence), err
	case "404":
		return 0, nil
	default:
		return 0, fmt.Errorf("last message of %q: %s %s", of.subject(), status, m.Header.Get("Description"))
	}
}

func (c *jetClient) follow(ctx context.Context, category string, handle func([]byte) error) error {
	consumer, err := c.js.OrderedConsumer(ctx, jetStreamName, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{stream{category, "*"}.subject()}, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return err
	}
	return received(ctx, handle, func(receive func([]byte)) (stop func(), err error) {
		consuming, err := consumer.Consume(func(m jetstream.Msg) { receive(m.Data()) })
		if err != nil {
			return nil, err
		}
		return consuming.Stop, nil
	})
}

func (c *jetClient) close() { c.nc.Close() }
