package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
)

// healthTimeout bounds the whole check.
const healthTimeout = 5 * time.Second

var healthcheckCommand = command{
	usage: `Usage: nats-streaming-server healthcheck [-path <path>] [options of the server]

Asks a server on this host whether it is healthy. The exit status is 0 if it is, else 1.

The options (-m, -ms, -a, -c) name the server's monitoring port. In a container none are needed: the options of process 1
count. Without a monitoring port, the check asks only whether the NATS port answers. With external NATS there is none.

    -path <path>    What to ask (default /healthz). /readyz: does it serve clients? /readyz?standby=1: or stand by?
`,
	run: func(ctx context.Context, name string, args []string) error {
		path := "/healthz"
		fs := flag.NewFlagSet(name, flag.ContinueOnError)
		fs.StringVar(&path, "path", path, "")
		rest, err := settings.Split(fs, args)
		if err != nil {
			return err
		}
		contained := len(rest) == 0
		if contained {
			rest = argsOfContainer()
		}
		o, err := settings.Load(rest)
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		if err := settings.CheckSyntax(rest); err != nil { // other mistakes are for the server to tell
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, healthTimeout)
		defer cancel()
		healthy, err := checkHealth(ctx, &o, "/"+strings.TrimPrefix(path, "/"), contained)
		if err != nil {
			return err
		}
		fmt.Println(healthy)
		return nil
	},
}

// argsOfContainer returns the arguments of process 1 if that is a server, as it is in a container.
func argsOfContainer() []string {
	b, err := os.ReadFile("/proc/1/cmdline")
	if err != nil {
		return nil
	}
	line := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	if filepath.Base(line[0]) != "nats-streaming-server" {
		return nil
	}
	return line[1:]
}

// checkHealth returns a sentence about a healthy server, or why it is not. A server whose container this is runs, at least.
func checkHealth(ctx context.Context, o *settings.Options, path string, contained bool) (string, error) {
	n := o.NATS
	host := cmp.Or(n.HTTPHost, n.Host)
	switch {
	case n.HTTPPort < 0 || n.HTTPSPort < 0:
		return "", errors.New("the monitoring port is a random one: name it with -m PORT")
	case n.HTTPSPort != 0:
		return getHealth(ctx, "https://"+onThisHost(host, n.HTTPSPort)+path)
	case n.HTTPPort != 0:
		return getHealth(ctx, "http://"+onThisHost(host, n.HTTPPort)+path)
	case o.NATSURL != "" && contained:
		return "process 1 runs; start the server with -m PORT to learn more", nil
	case o.NATSURL != "":
		return "", errors.New("NATS is external, so the server has no port that can be asked: start it with -m PORT")
	}
	return greet(ctx, onThisHost(n.Host, cmp.Or(n.Port, natsd.DEFAULT_PORT)), n.TLSHandshakeFirst)
}

// onThisHost returns the address where a server that listens on host answers.
func onThisHost(host string, port int) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// getHealth asks the monitoring port.
func getHealth(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	// Nothing secret is sent, and certificates rarely name the host as it calls itself.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	log.SetOutput(io.Discard) // net/http would print what a port says that speaks something else
	resp, err := client.Do(req)
	var network *net.OpError
	if err != nil && req.URL.Scheme == "http" && ctx.Err() == nil && !errors.As(err, &network) {
		return "", fmt.Errorf("%s: the port does not speak HTTP: name the monitoring port with -m PORT, or -ms PORT for HTTPS", url)
	}
	if err != nil {
		return "", fmt.Errorf("%w: start the server, or give its options here (-m PORT, -c FILE)", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return "", fmt.Errorf("%s: %w", url, err)
	}
	var status struct{ State, Error string }
	switch err := json.Unmarshal(body, &status); {
	case resp.StatusCode == http.StatusOK:
		return fmt.Sprintf("%s: ok %s", url, status.State), nil
	case err != nil || status.Error == "":
		return "", fmt.Errorf("%s: %s", url, resp.Status)
	}
	return "", fmt.Errorf("%s: %s", url, status.Error)
}

// greet asks the NATS port for the server's first line, which it sends unless TLS begins first.
func greet(ctx context.Context, address string, silent bool) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("%w: start the server, or give its options here (-m PORT, -c FILE)", err)
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if !silent {
		greeting := make([]byte, len("INFO "))
		err := conn.SetReadDeadline(time.Now().Add(healthTimeout))
		if err == nil {
			_, err = io.ReadFull(conn, greeting)
		}
		if err == nil && string(greeting) != "INFO " {
			err = fmt.Errorf("%q is not the greeting of a NATS server", greeting)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w: give the server's options here (-m PORT, -c FILE)", address, err)
		}
	}
	return fmt.Sprintf("%s answers; start the server with -m PORT to learn more", address), nil
}
