package eventstore_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// server is the server that the examples run.
var server string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "eventstore-examples")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server = filepath.Join(dir, "nats-streaming-server")
	build := exec.Command("go", "build", "-o", server, "./cmd/nats-streaming-server")
	build.Dir = ".." // another module: this one does not depend on the server
	if out, err := build.CombinedOutput(); err != nil {
		log.Printf("%s: %v\n%s", build, err, out)
		return 1
	}
	return m.Run()
}

// connect starts a server and returns its client and a context with a deadline. The client's calls wait until the server
// is ready.
func connect() (context.Context, *eventstore.Client, func()) {
	port, err := freePort()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(server), "data")
	if err != nil {
		log.Fatal(err)
	}
	running := exec.Command(server, "-a", "127.0.0.1", "-p", "-1", "-dir", dir, "-grpc_port", strconv.Itoa(port))
	if err := running.Start(); err != nil {
		log.Fatal(err)
	}
	client, err := eventstore.New(eventstore.Options{URLs: []string{fmt.Sprintf("http://127.0.0.1:%d", port)}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	return ctx, client, func() {
		cancel()
		client.Close()
		_ = running.Process.Kill()
		_ = running.Wait()
	}
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
