package databases

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

const (
	firstPort = 10_000
	endPort   = 32_768 // from here on, systems assign ports to outgoing connections
	// portBlock is how many ports a process claims at a time.
	portBlock = 64
)

// ports are the free ports of this process. It claims them in blocks, by listening on the first port of each until it ends, so
// that processes that run at the same time never get the same port, even while its owner has stopped to start again.
var ports struct {
	mu         sync.Mutex
	claims     []net.Listener
	next, stop int // of the block claimed last
}

// FreePort returns a loopback port that nobody listens on, and never the same one twice, in any process that gets its ports here.
func FreePort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for {
		if ports.next == ports.stop {
			if err := claimPorts(); err != nil {
				return 0, err
			}
		}
		port := ports.next
		ports.next++
		if l, err := listenOn(port); err == nil {
			return port, l.Close()
		}
	}
}

// claimPorts claims a block of ports that no process has. The caller holds ports.mu.
func claimPorts() error {
	var failed error
	for _, block := range rand.Perm((endPort - firstPort) / portBlock) {
		first := firstPort + block*portBlock
		l, err := listenOn(first)
		if err != nil {
			failed = err
			continue
		}
		ports.claims = append(ports.claims, l)
		ports.next, ports.stop = first+1, first+portBlock
		return nil
	}
	return fmt.Errorf("no free port: %w", failed)
}

func listenOn(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
