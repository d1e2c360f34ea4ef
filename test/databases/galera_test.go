package databases

import (
	"errors"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// A write to one node soon appears on the others.
func TestGalera(t *testing.T) {
	t.Parallel()
	nodes := Galera(t, 3)
	if err := nodes[0].CreateDatabase("shared"); err != nil {
		t.Fatal(err)
	}
	db := open(t, string(KindMySQL), nodes[2].DSN("shared"))
	const unknownDatabase = 1049
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		_, err := db.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER PRIMARY KEY)")
		var refused *mysqldriver.MySQLError
		switch {
		case err == nil:
			return
		case !errors.As(err, &refused) || refused.Number != unknownDatabase || time.Now().After(deadline):
			t.Fatal(err)
		}
	}
}
