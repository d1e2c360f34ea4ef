package stores_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/sql"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

func TestIndexPaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"$.a", "$._a1", "$.a.b.c", "$.a[0]", "$[0]", "$.a[65535].b", `$."customer id"`, `$."注文"."Größe"`, `$."a.b"`, `$."it's; --"`,
	} {
		for _, o := range []stores.Options{{IndexEventData: []string{path}}, {IndexMetadata: []string{path}}} {
			if err := o.Validate(); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for path, want := range map[string]string{
		"":                              "must begin with $",
		"customer_id":                   "must begin with $",
		"$":                             "names no member",
		"$a":                            "where it needs a . or [",
		"$.":                            "no name",
		"$..a":                          "no name",
		"$.a.":                          "no name",
		"$.*":                           "no name",
		"$.1a":                          "no name",
		"$.a-b":                         "after a name",
		"$.a b":                         "after a name",
		"$.ä":                           "no name",
		"$.a'":                          "after a name",
		"$.a[":                          "needs the number",
		"$.a[]":                         "needs the number",
		"$.a[*]":                        "needs the number",
		"$.a[-1]":                       "needs the number",
		"$.a[01]":                       "needs the number",
		"$.a[65536]":                    "needs the number",
		"$.a[0]b":                       "where it needs",
		`$."a`:                          "unclosed quote",
		`$.""`:                          "empty name",
		`$."a\"b"`:                      "backslash",
		"$.\"a\nb\"":                    "unprintable",
		"$.\"a\x00b\"":                  "unprintable",
		"$.\"\xff\"":                    "not UTF-8",
		"$." + strings.Repeat("a", 200): "longer than",
		"document":                      "only PostgreSQL",
	} {
		err := stores.Options{Driver: "mysql", IndexMetadata: []string{path}}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "index_metadata: ") || !strings.Contains(err.Error(), fmt.Sprintf("%q", path)) {
			t.Errorf("%q: error %v, want %q", path, err, want)
		}
		if _, err := stores.Open(context.Background(), stores.Options{Driver: "sqlite", Source: ":memory:", IndexMetadata: []string{path}}); err == nil {
			t.Errorf("%q: the store opens", path)
		}
	}
	o := stores.Options{IndexEventData: []string{"$.a.b", "$.A_b"}}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), `path "$.A_b": its column has the same name as that of event_data $.a.b`) {
		t.Errorf("error %v", err)
	}
	o = stores.Options{IndexEventData: []string{"$.a", "$.a", `$."a-b"`, `$."a+b"`, "$.a_b"}, IndexMetadata: []string{"$.a"}}
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
}

// The columns of indexed paths are added to the view of the last migration.
func TestMySQLView(t *testing.T) {
	t.Parallel()
	files, err := sql.Files("mysql")
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, file := range files {
		if _, view, ok := strings.Cut(file.Text, "CREATE OR REPLACE ALGORITHM = MERGE"); ok {
			last, _, _ = strings.Cut("CREATE OR REPLACE ALGORITHM = MERGE"+view, ";")
		}
	}
	if got := stores.MySQLView(); got != last {
		t.Errorf("%s\nmigrations say\n%s", got, last)
	}
}
