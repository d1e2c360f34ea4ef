package api_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestCompatibleServices: clients of the two compatible services work with unmodified stubs from gRPC's own generator.
func TestCompatibleServices(t *testing.T) {
	t.Parallel()
	example := filepath.Join(t.TempDir(), "compat")
	if out, err := exec.Command("go", "build", "-o", example, "../../examples/compat").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const want = `eventstore created: true 
pb created: true 
pb refused: AlreadyExists event_id "2" already stored with different content
event: 2 OrderPaid order-1 cash eventstore.events
event: 1 OrderCreated order-1 {"amount":1} eventstore.orders
found: 2 OrderPaid eventstore.events
of another order: 0
`
	t.Run("databases", func(t *testing.T) {
		databases.Each(t, func(t *testing.T, driver, source string) {
			_, address := start(t, driver, source)
			if out, err := exec.CommandContext(patient(t), example, address).CombinedOutput(); err != nil || string(out) != want {
				t.Errorf("%v\n%s\nwant:\n%s", err, out, want)
			}
		})
	})
}
