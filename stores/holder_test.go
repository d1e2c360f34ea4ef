package stores_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// holderSource makes the test binary a server that takes the lease of a database and then stalls.
const holderSource = "STORES_TEST_HOLDER_SOURCE"

func init() {
	driver, source, ok := strings.Cut(os.Getenv(holderSource), " ")
	if !ok {
		return
	}
	ctx := context.Background()
	s, err := stores.Open(ctx, stores.Options{Driver: driver, Source: source})
	if err == nil {
		var held bool
		if held, _, err = s.TryLease(ctx, stores.NewLeaseID(), stores.Lease{}); err == nil && !held {
			err = errors.New("another holds the lease")
		}
	}
	if err == nil {
		_, err = s.Recover(ctx)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("holding")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	os.Exit(0)
}

// hold starts a process that holds the lease of a database.
func hold(t *testing.T, driver, source string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holderSource+"="+driver+" "+source)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "holding\n" {
		t.Fatalf("the holder says %q (%v)", line, err)
	}
	return cmd
}

// A server takes the lease of a dead process at once, even if the parent has not noticed the death. It does not take
// the lease of a live one, whether or not that one is stalled.
func TestDeadHolder(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("cannot prove that a process is dead on this system")
	}
	for driver, source := range map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL, "sqlite": databases.SQLite} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			o := stores.Options{Driver: driver, Source: source(t), Logger: logger(t)}
			holder := hold(t, o.Driver, o.Source)
			s, err := stores.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			seen := func() stores.Lease {
				t.Helper()
				inspection, err := stores.Inspect(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				lease, err := inspection.Lease(t.Context())
				if err := errors.Join(err, inspection.Close()); err != nil {
					t.Fatal(err)
				}
				return lease
			}
			id := stores.NewLeaseID()
			held, now, err := s.TryLease(t.Context(), id, stores.Lease{})
			if err != nil || held || now.Holder == "" {
				t.Fatalf("beside a living holder: held %v, lease %+v, error %v", held, now, err)
			}
			if got := seen(); got != now {
				t.Errorf("inspection says %+v, want %+v", got, now)
			}
			if driver == "sqlite" { // the lock proves that it is alive
				if held, _, err := s.TryLease(t.Context(), id, now); err != nil || held {
					t.Fatalf("took the lease from a stalled holder: %v", err)
				}
			}
			if err := holder.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			for dead := false; !dead; { // all of its threads: it is a zombie, because nothing waits for it
				process, err := procfs.NewProc(holder.Process.Pid)
				if err != nil {
					t.Fatal(err)
				}
				stat, err := process.Stat()
				if err != nil {
					t.Fatal(err)
				}
				dead = stat.State == "Z" && stat.NumThreads <= 1
			}
			if got := seen(); got != (stores.Lease{}) {
				t.Errorf("inspection says %+v of a dead holder", got)
			}
			if held, now, err := s.TryLease(t.Context(), id, stores.Lease{}); err != nil || !held || now.Holder != id {
				t.Fatalf("after its death: held %v, lease %+v, error %v", held, now, err)
			}
			if _, err := s.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// An ID proves nothing about another host, another time, or a live process.
func TestHolders(t *testing.T) {
	t.Parallel()
	id := stores.NewLeaseID()
	if other := stores.NewLeaseID(); other == id || len(id) > 30 {
		t.Errorf("IDs %q and %q", id, other)
	}
	gone := exec.CommandContext(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	pid := uint32(gone.Process.Pid)
	for _, test := range []struct {
		name string
		id   string
		dead bool
	}{
		{"this process", id, false},
		{"a process that has ended", stores.LeaseIDOf(0, pid, 0), true},
		{"its ID on another host", stores.LeaseIDOf(1, pid, 0), false},
		{"an earlier process of our ID", stores.LeaseIDOf(0, uint32(os.Getpid()), -1), true},
		{"our ID on another host", stores.LeaseIDOf(1, uint32(os.Getpid()), -1), false},
		{"nothing", "", false},
		{"another form", "0123456789012345678901", false},
		{"no base64", "p" + strings.Repeat("!", len(id)-1), false},
	} {
		if got := stores.IsDead(test.id); got != (test.dead && runtime.GOOS == "linux") {
			t.Errorf("%s: dead %v", test.name, got)
		}
	}
}
