package moving_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// BenchmarkCopy copies EVENTS events (100,000 by default) with a tag and 100 bytes of data from SQLite, and compares them: go test -bench Copy -benchtime 1x.
func BenchmarkCopy(b *testing.B) {
	events := 100_000
	if text := os.Getenv("EVENTS"); text != "" {
		var err error
		if events, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	source := databases.SQLite(b)
	file := filepath.Join(b.TempDir(), "events.ndjson")
	out, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewWriter(out)
	for i := range events {
		fmt.Fprintf(lines, `{"channel":"eventstore.c%d","id":"event-%d","type":"OrderPlaced","aggregate_type":"Order","aggregate_id":"o%d","tags":["customer:%d"],"data":{"n":%d,"text":"%080d"}}`+"\n",
			i%4, i, i/5, i%1000, i, i)
	}
	if err := errors.Join(lines.Flush(), out.Close()); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	call(b, "import", file, "--dsn", source)
	b.Logf("imported %d events without a server in %v", events, time.Since(began))
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
