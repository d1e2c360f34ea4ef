//go:build clock

package test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestClockSteps: a server keeps working while its clock jumps forward and back, and timestamps never decrease in a
// channel.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	program := withClock(t)
	databases.Each(t, func(t *testing.T, driver, source string) {
		launch := func() (*server, ownClock) {
			dir := t.TempDir()
			binary := filepath.Join(dir, "server")
			if err := os.Link(program, binary); err != nil {
				t.Fatal(err)
			}
			c := ownClock{t, binary + ".clock"}
			c.set(0)
			s := prepare(t, binary, "-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-max_age", "10m",
				"-hbi", "500ms", "-hbt", "500ms", "-hbf", "10")
			s.Launch()
			return s, c
		}
		s, c := launch()
		s.Ready()
		sc := s.connect("client", stan.Pings(1, 3), stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { t.Error(err) }))
		_, all := subscribe(t, sc, orders, stan.DurableName("d"))
		_, redelivered := subscribe(t, sc, orders, stan.SetManualAckMode(), stan.AckWait(time.Second), stan.MaxInflight(1))

		var firsts []*stan.Msg // first message at each clock setting
		n := uint64(0)
		for _, step := range []time.Duration{0, time.Hour, -time.Hour, 0} {
			c.set(step)
			for i := range 3 {
				publish(t, sc, orders, event(t, "A", "T"))
				m := all.next(t)
				if n++; m.Sequence != n {
					t.Fatalf("clock %v: received %d, want %d", step, m.Sequence, n)
				}
				if i == 0 {
					firsts = append(firsts, m)
				}
			}
			publish(t, sc, "plain", []byte(step.String()))
			for range 2 { // pending redeliveries are not delayed
				if m := redelivered.next(t); m.Sequence != 1 {
					t.Fatalf("clock %v: received %d, want a redelivery of 1", step, m.Sequence)
				}
			}
		}
		// Events published after the clock was set back have the timestamp of the event before them.
		ahead := firsts[1].Timestamp
		if d := ahead - firsts[0].Timestamp; d < time.Hour.Nanoseconds() || d > 2*time.Hour.Nanoseconds() {
			t.Errorf("the clock went forward an hour, timestamps %v", time.Duration(d))
		}
		for from, want := range map[int64]uint64{firsts[0].Timestamp: 1, ahead: firsts[1].Sequence} {
			// The client sends the time's distance from now, and the server applies it on arrival.
			sub, in := subscribe(t, sc, orders, stan.StartAtTime(time.Unix(0, from).Add(-time.Minute)))
			if m := in.next(t); m.Sequence != want {
				t.Errorf("from %v on: received %d, want %d", time.Unix(0, from), m.Sequence, want)
			}
			if err := sub.Close(); err != nil {
				t.Error(err)
			}
		}
		// Only the first message had expired when the clock was an hour ahead.
		_, plain := subscribe(t, sc, "plain", stan.DeliverAllAvailable())
		for i, want := range []string{"1h0m0s", "-1h0m0s", "0s"} {
			if m := plain.next(t); string(m.Data) != want || m.Sequence != uint64(i+2) {
				t.Errorf("received %d, %s, want %d, %s", m.Sequence, m.Data, i+2, want)
			}
		}
		for _, bad := range []string{"stepping down", "[ERR]", "trying again"} {
			if s.Log.Contains(bad) {
				t.Errorf("the log contains %q:\n%s", bad, s.Log)
			}
		}

		// A server that takes over has its own clock.
		standby, c := launch()
		standby.WaitLog(t, "Starting in standby mode")
		c.set(-2 * time.Hour)
		if err := sc.Close(); err != nil { // its server never returns
			t.Error(err)
		}
		s.Kill()
		standby.Ready()
		sc = standby.connect("another")
		publish(t, sc, orders, event(t, "A", "T"))
		contiguous(t, driver, source, orders, int(n)+1)
		harness.Verify(t, driver, source)
	})
}

// ownClock sets the clock of one process that runs withClock's binary.
type ownClock struct {
	t    *testing.T
	file string
}

// set makes the clock run ahead of the machine's.
func (c ownClock) set(ahead time.Duration) {
	c.t.Helper()
	// Write in place: the program has mapped the file.
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := f.Write(binary.NativeEndian.AppendUint64(nil, uint64(int64(ahead/time.Second)))); err != nil {
		c.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// withClock builds the server with a patched standard library. Its time of day is the machine's plus the seconds in the
// file beside the binary. Its monotonic clock is unchanged, as when an operator sets the clock.
func withClock(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, library := t.TempDir(), filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const read = "sec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(source), read) != 1 {
		t.Fatalf("the standard library no longer reads the time with %q", read)
	}
	replace := map[string]string{}
	for name, text := range map[string]string{
		"time.go": strings.Replace(string(source), read, read+"\tsec += *clockAhead\n", 1),
		"ahead.go": `package time

import (
	"syscall"
	"unsafe"
)

var clockAhead = func() *int64 {
	name := make([]byte, 4096)
	n, err := syscall.Readlink("/proc/self/exe", name)
	if err != nil {
		panic(err)
	}
	file, err := syscall.Open(string(name[:n])+".clock", syscall.O_RDONLY, 0)
	if err != nil {
		panic(err)
	}
	memory, err := syscall.Mmap(file, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*int64)(unsafe.Pointer(&memory[0]))
}()
`,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(library, name)] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "server")
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "../cmd/nats-streaming-server")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("%s: %w\n%s", cmd, err, out))
	}
	return program
}
