package test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// Overload delays acknowledgements. What the database cannot take yet waits in files, not in memory, and is stored in
// order.
func TestOverloadIsNoCrash(t *testing.T) {
	t.Parallel()
	const (
		messages = 120
		size     = 500 << 10
		memory   = 4 << 20
	)
	source := databases.SQLite(t)
	profiles, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "sqlite", source, "-store_timeout", "1m", "-publish_memory", "4MB", "-publish_dir", t.TempDir(), "-m", "-1", "-profile", strconv.Itoa(profiles))
	heap := func() float64 {
		// Garbage does not count towards the bound.
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/heap?gc=1", profiles))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		return s.metrics()["go_memstats_heap_inuse_bytes"]
	}
	sc := s.connect("client", stan.MaxPubAcksInflight(messages), stan.PubAckWait(10*harness.Patience))

	publish(t, sc, "plain", []byte("first"))
	// Another client locks the file, so the database takes nothing.
	db, err := sql.Open("sqlite", source+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(context.Background(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	idle := heap()
	acked := make(chan error, messages)
	for i := range messages {
		payload := bytes.Repeat([]byte{byte(i)}, size)
		if _, err := sc.PublishAsync("plain", payload, func(_ string, err error) { acked <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(harness.Patience); ; {
		n := s.metrics()["nats_streaming_queued_publishes"]
		if n == messages {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %v messages arrived", n)
		}
	}
	m := s.metrics()
	if held := m["nats_streaming_publish_memory_bytes"]; held < memory-2*size || held > memory {
		t.Errorf("%v bytes of unanswered messages in memory, want almost %d", held, memory)
	}
	m.check(t, map[string]float64{"publish_memory_limit_bytes": memory})
	if grown := heap() - idle; grown > heapFactor*memory {
		t.Errorf("%d messages of %d bytes use %.0f MiB of memory", messages, size, grown/(1<<20))
	}
	if _, err := lock.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	for range messages {
		if err := <-acked; err != nil {
			t.Fatal(err)
		}
	}
	_, in := subscribe(t, sc, "plain", stan.StartAtSequence(2))
	for i := range messages {
		if m := <-in; m.Sequence != uint64(i+2) || m.Data[0] != byte(i) || len(m.Data) != size {
			t.Fatalf("message %d has sequence %d and %d bytes", i+2, m.Sequence, len(m.Data))
		}
	}
}

// heapFactor is how far the heap may exceed -publish_memory. Each message exists as NATS delivered it and as it is
// stored, and connections have buffers.
const heapFactor = 6
