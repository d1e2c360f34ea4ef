package api

import "testing"

// Without authentication, only requests from this machine to one of its own names may administer.
func TestLocalCallers(t *testing.T) {
	t.Parallel()
	for _, it := range []struct {
		address, host string
		want          bool
	}{
		{"127.0.0.1:50000", "localhost:4280", true},
		{"127.0.0.1:50000", "LOCALHOST", true},
		{"[::1]:50000", "[::1]:4280", true},
		{"[::ffff:127.0.0.1]:50000", "127.0.0.1", true},
		{"127.8.8.8:1", "127.0.0.1:4280", true},
		{"127.0.0.1:50000", "shop.example:4280", false},
		{"127.0.0.1:50000", "localhost.shop.example", false},
		{"127.0.0.1:50000", "10.0.0.1:4280", false},
		{"127.0.0.1:50000", "", false},
		{"10.0.0.2:50000", "localhost:4280", false},
		{"[fe80::1%eth0]:50000", "localhost", false},
		{"0.0.0.0:1", "localhost", false},
		{"", "localhost", false},
	} {
		if c := (&caller{address: it.address, host: it.host}); c.local() != it.want {
			t.Errorf("from %q to %q: local is %v", it.address, it.host, !it.want)
		}
	}
}
