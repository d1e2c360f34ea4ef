package databases

import "testing"

func TestGalera(t *testing.T) {
	t.Parallel()
	nodes := Galera(t, 3)
	if err := nodes[0].CreateDatabase("shared"); err != nil {
		t.Fatal(err)
	}
	db := open(t, string(KindMySQL), nodes[2].DSN("shared"))
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
}
