package moving_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// BenchmarkCopy copies EVENTS events (200,000 by default) of 150 bytes from SQLite, and compares them: go test -bench Copy -benchtime 1x.
func BenchmarkCopy(b *testing.B) {
	events := 200_000
	if text := os.Getenv("EVENTS"); text != "" {
		var err error
		if events, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	source := databases.SQLite(b)
	port, err := databases.FreePort()
	if err != nil {
		b.Fatal(err)
	}
	s := harness.Start(b, "sqlite", source, "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port))
	call(b, "bench", "append", orders, "--events", strconv.Itoa(events), "--concurrency", "8", "--batch", "500", "--yes", "--url", fmt.Sprintf("http://127.0.0.1:%d", port))
	s.Stop()
	for _, target := range []struct {
		driver string
		fresh  func(testing.TB) string
	}{{"sqlite", databases.SQLite}, {"postgres", databases.Postgres}, {"mysql", databases.MySQL}} {
		b.Run(target.driver, func(b *testing.B) {
			for b.Loop() {
				began := time.Now()
				b.Log(call(b, "copy", "--from-dsn", source, "--to-driver", target.driver, "--to-dsn", target.fresh(b), "--progress"))
				b.ReportMetric(float64(events)/time.Since(began).Seconds(), "events/s")
			}
		})
	}
}
