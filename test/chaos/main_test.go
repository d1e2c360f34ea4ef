package chaos

import (
	"testing"

	_ "github.com/go-sql-driver/mysql" // drivers of the databases under test
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
