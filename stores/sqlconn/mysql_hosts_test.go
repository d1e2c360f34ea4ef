package sqlconn

import (
	"strings"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
)

func TestMySQLAddresses(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"a":               "a:3306",
		"a:1":             "a:1",
		"a,b":             "a:3306 b:3306",
		"a:1,b:2":         "a:1 b:2",
		"a:1,b":           "a:1 b:3306",
		"a,b:2":           "a:3306 b:2",
		"a:3306,b:3306":   "a:3306 b:3306",
		"a,b:2,c":         "a:3306 b:2 c:3306",
		"[::1]:1,[::2]:2": "[::1]:1 [::2]:2",
	} {
		cfg, err := mysqldriver.ParseDSN("user:password@tcp(" + list + ")/events")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(mysqlAddresses(cfg), " "); got != want {
			t.Errorf("%s: %s, want %s", list, got, want)
		}
	}
}
