package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// dialTimeout bounds how long a host that does not answer holds up the search for the server that leads.
const dialTimeout = 5 * time.Second

// remote calls the servers of one event store. One goroutine uses it at a time, except for its servers.
type remote struct {
	servers []*server
	current int // index of the server that answered last
	wait    time.Duration
	timeout time.Duration
	reached bool // a server has answered
	offline bool // the only server is in this process, on a database
	// away, if set, is told that the server that answered is away, before others are tried.
	away func(error)
}

// server is one server of an event store.
type server struct {
	url    string
	events eventstorev1connect.EventStoreClient
	admin  eventstorev1connect.AdminClient
	http   *http.Client // with the credentials
	pages  *http.Client // likewise, for ports that do not speak HTTP/2
}

// connected runs a command with the servers that the flags name, or with the database. Only commands that read may use the latter.
func (t *tool) connected(run func(ctx context.Context, r *remote, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if t.flags.offline.given() {
			return t.flags.offline.read(cmd.Context(), func(ctx context.Context, r *remote) error { return run(ctx, r, args) })
		}
		r, err := t.flags.dial()
		if err != nil {
			return err
		}
		return run(cmd.Context(), r, args)
	}
}

// online is connected for commands that need a server.
func (t *tool) online(run func(ctx context.Context, r *remote, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if t.flags.offline.given() {
			return usage("%s needs a server: leave out --dsn and --server-config, and give --url", cmd.CommandPath())
		}
		return t.connected(run)(cmd, args)
	}
}

// dial returns the servers of the flags. It connects on the first call.
func (f *connectionFlags) dial() (*remote, error) {
	token, err := f.bearer()
	if err != nil {
		return nil, err
	}
	config, err := f.tls()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSHandshakeTimeout: dialTimeout, Protocols: new(http.Protocols),
		// Pings detect a server that disappeared without closing the connection.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	r := &remote{wait: f.wait, timeout: f.timeout}
	client := &http.Client{Transport: authorized{transport, token}, CheckRedirect: stay}
	pages := &http.Client{Transport: authorized{&http.Transport{
		TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, DialContext: transport.DialContext, TLSHandshakeTimeout: dialTimeout,
	}, token}, CheckRedirect: stay}
	for _, url := range f.URLs {
		r.servers = append(r.servers, &server{
			url: url, http: client, pages: pages,
			events: eventstorev1connect.NewEventStoreClient(client, url),
			admin:  eventstorev1connect.NewAdminClient(client, url),
		})
	}
	return r, nil
}

// stay follows no redirect: the token would go along, to whatever host it names.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// authorized sends a token with each request, and marks errors of reading an answer.
type authorized struct {
	http.RoundTripper
	token string
}

// RoundTrip implements http.RoundTripper.
func (a authorized) RoundTrip(request *http.Request) (*http.Response, error) {
	if a.token != "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := a.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = body{response.Body}
	}
	return response, err
}

// body marks errors of reading: net/http reports a lost connection only in its text.
type body struct{ io.ReadCloser }

// Read implements io.Reader.
func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &brokenError{err}
	}
	return n, err
}

// brokenError means that the connection was lost while an answer was read.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// call calls the server that leads. It tries the servers in turn, until one answers or the time to wait is over. Where nothing listens at
// any of the URLs, it does not wait, unless a server has answered before. A call that may have changed something must be idempotent.
func (r *remote) call(ctx context.Context, call func(ctx context.Context, s *server) error) error {
	return r.try(ctx, func(ctx context.Context, s *server) error {
		ctx, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		return call(ctx, s)
	})
}

// act is call for an act that is not idempotent: it is sent again only if the server did not receive it, or refused it.
func (r *remote) act(ctx context.Context, call func(ctx context.Context, s *server) error) error {
	return r.call(ctx, actOnce(call))
}

// actSlowly is act without a time limit.
func (r *remote) actSlowly(ctx context.Context, call func(ctx context.Context, s *server) error) error {
	return r.try(ctx, actOnce(call))
}

func actOnce(call func(ctx context.Context, s *server) error) func(ctx context.Context, s *server) error {
	return func(ctx context.Context, s *server) error {
		err := call(ctx, s)
		if err == nil || !transient(err) || connect.IsWireError(err) || errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		return &statusError{exitUnreachable, "there was no answer: look whether it took effect before you do it again: " + textOf(err)}
	}
}

// try is call without a time limit, for streams. The time to wait begins anew whenever progress was made, which is when the callback
// clears the error state by r.progressed.
func (r *remote) try(ctx context.Context, call func(ctx context.Context, s *server) error) error {
	pause := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: time.Second}
	deadline := time.Now().Add(r.wait)
	refusals := 0 // in a row
	for {
		was := r.reached
		r.reached = false
		s := r.servers[r.current%len(r.servers)]
		err := call(ctx, s)
		progressed := r.reached
		r.reached = r.reached || was
		switch {
		case err == nil:
			r.reached = true
			return nil
		case ctx.Err() != nil, !transient(err):
			return err
		}
		if progressed {
			deadline, refusals = time.Now().Add(r.wait), 0
			pause.Reset()
			if r.away != nil {
				r.away(err)
			}
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			refusals++
		} else {
			refusals = 0
		}
		r.current = (r.current + 1) % len(r.servers)
		if time.Now().After(deadline) || !r.reached && refusals >= len(r.servers) || r.offline {
			return r.unreachable(s, err)
		}
		timer := time.NewTimer(pause.NextBackOff())
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// unreachable is the error after all servers were tried.
func (r *remote) unreachable(s *server, err error) error {
	var urls []string
	for _, s := range r.servers {
		urls = append(urls, s.url)
	}
	reason := err.Error()
	var failed *connect.Error
	if errors.As(err, &failed) && failed.Message() != "" {
		reason = failed.Message()
	}
	what := "no server answers at "
	if len(urls) > 1 {
		what = "no server that leads answers at any of "
	}
	text := what + strings.Join(urls, ", ") + ": " + reason
	switch {
	case r.offline:
		text = reason
	case errors.Is(err, syscall.ECONNREFUSED):
		text += ": start the server with -grpc_port, or give its URL with --url"
	case !r.reached && !connect.IsWireError(err) && strings.HasPrefix(s.url, "http://"):
		text += ": is it the port of the API? If the server has TLS, its URL begins with https://"
	}
	return &statusError{exitUnreachable, text}
}

// transient reports whether another server, or the same one later, may answer.
func transient(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable:
		return !isTLS(err)
	case connect.CodeDeadlineExceeded:
		return true
	}
	var broken *brokenError
	var network net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &broken) || errors.As(err, &network)
}

// isTLS reports whether the certificates are wrong, which waiting does not mend.
func isTLS(err error) bool {
	text := err.Error()
	for _, sign := range []string{"x509:", "tls:", "certificate"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// pages calls a method that returns pages until the last one.
func pages[T any](ctx context.Context, r *remote, page func(ctx context.Context, s *server, token string) (items []T, next string, err error), each func(T) error) error {
	token := ""
	for {
		var items []T
		var next string
		err := r.call(ctx, func(ctx context.Context, s *server) (err error) {
			items, next, err = page(ctx, s, token)
			return err
		})
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := each(item); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		if next == token {
			return fmt.Errorf("the server returns page %q again", next)
		}
		token = next
	}
}
