package sqlconn

import "testing"

func TestPlainHost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ driver, source, want string }{
		{"postgres", "postgres://me:secret@db.example/events?sslmode=disable", "db.example"},
		{"postgres", "postgres://me:secret@localhost,db.example/events?sslmode=prefer", "db.example"},
		{"postgres", "host=10.0.0.1 sslmode=allow", "10.0.0.1"},
		{"postgres", "postgres://me:secret@db.example/events", ""}, // require
		{"postgres", "postgres://me:secret@db.example/events?sslmode=verify-full", ""},
		{"postgres", "postgres://me:secret@127.0.0.1/events?sslmode=disable", ""},
		{"postgres", "postgres://me:secret@[::1]/events?sslmode=disable", ""},
		{"postgres", "host=/run/postgresql sslmode=disable", ""},
		{"postgres", "no=source", ""},
		{"mysql", "me:secret@tcp(db.example:3306)/events", "db.example"},
		{"mysql", "me:secret@tcp(db.example)/events?tls=false", "db.example"},
		{"mysql", "me:secret@tcp(db.example)/events?tls=preferred", "db.example"},
		{"mysql", "me:secret@tcp(localhost:1,db.example:2)/events", "db.example"},
		{"mysql", "me:secret@tcp(db.example)/events?tls=true", ""},
		{"mysql", "me:secret@tcp(db.example)/events?tls_ca=/ca.pem&tls=true", ""},
		{"mysql", "me:secret@tcp(db.example)/events?tls_ca=%2Fca.pem", ""},
		{"mysql", "me:secret@tcp(127.0.0.1)/events", ""},
		{"mysql", "me:secret@unix(/run/mysqld.sock)/events", ""},
		{"sqlite", "db.example", ""},
	} {
		if got := PlainHost(test.driver, test.source); got != test.want {
			t.Errorf("%s: %q, want %q", test.source, got, test.want)
		}
	}
}
