package sqlprojection

import (
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Only a statement that inserts a row of values, and touches nothing else, takes the rows of several events.
func TestRows(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"INSERT INTO {t} VALUES ($.a, 'x, (', 1)":                                                             "INSERT INTO t_3 VALUES ($1, 'x, (', 1), ($2, 'x, (', 1) ",
		"insert into {t} (a, b)\nvalues ($.a, COALESCE($.b?, 0)) ON CONFLICT (a) DO NOTHING":                  "insert into t_3 (a, b)\nvalues ($1, COALESCE($2, 0)), ($3, COALESCE($4, 0))  ON CONFLICT (a) DO NOTHING",
		"INSERT INTO {t} (b, a) VALUES ($.b + $.c, $.a) ON CONFLICT (a) DO UPDATE SET b = {t}.b + excluded.b": "INSERT INTO t_3 (b, a) VALUES ($1 + $2, $3), ($4 + $5, $6)  ON CONFLICT (a) DO UPDATE SET b = t_3.b + excluded.b",
		"INSERT INTO {t} (a) VALUES ($.a) ON CONFLICT (lower(a)) DO UPDATE SET a = 'x'":                       "",
		"INSERT INTO {t} (a, b) VALUES (upper($.a), $.b) ON CONFLICT (a) DO UPDATE SET b = excluded.b":        "", // the key is not known
		"INSERT INTO {t} (a) VALUES ($.a) ON CONFLICT (a) DO UPDATE SET a = $.b":                              "",
		"INSERT INTO {t} (a, b) VALUES (LAST_INSERT_ID(), $.b)":                                               "", // of the row before
		"INSERT INTO {t} (a, b) VALUES ($.a, currval ('s'))":                                                  "",
		"INSERT INTO {t} (a) VALUES ($.a) ON CONFLICT (a) DO UPDATE SET b = next_of({t}.b)":                   "",
		"INSERT INTO {t} (a) VALUES (CAST($.a AS NUMERIC(20, 2)))":                                            "INSERT INTO t_3 (a) VALUES (CAST($1 AS NUMERIC(20, 2))), (CAST($2 AS NUMERIC(20, 2))) ",
		"INSERT INTO {t} (a) VALUES ((SELECT MAX(a) FROM {t}) + $.a)":                                         "",
		"INSERT INTO {t} (a) SELECT $.a":                                                                      "",
		"INSERT INTO {t} (a) VALUES ($.a), ($.b)":                                                             "",
		"INSERT INTO {t} (a) VALUES ($.a) RETURNING a":                                                        "",
		"INSERT INTO {t} (a) VALUES (1)":                                                                      "",
		"INSERT INTO other (a) VALUES ($.a)":                                                                  "",
		"UPDATE {t} SET a = $.a":                                                                              "",
	} {
		s, err := parseStatement(text)
		if err != nil {
			t.Fatal(text, err)
		}
		got := ""
		if s.insert.mergeable(eventstore.PostgreSQL) {
			got = s.insert.text(eventstore.PostgreSQL, 3, 2)
		}
		if got != want {
			t.Errorf("%s\ngot  %q\nwant %q", text, got, want)
		}
	}
	s, err := parseStatement("INSERT INTO {t} (b, a, c) VALUES ($.b + $.c, $.a, $.d) ON CONFLICT (c, a) DO UPDATE SET b = 1")
	if err != nil || len(s.insert.key) != 2 || s.insert.key[0] != 3 || s.insert.key[1] != 2 {
		t.Errorf("the key is %v, %v", s.insert.key, err)
	}
	if s.insert.keyOf([]any{1, 2, "x", int64(5)}) == s.insert.keyOf([]any{1, 2, "x", "5"}) {
		t.Error("two keys are the same")
	}
}
