package verify

import "testing"

func TestSameJSON(t *testing.T) {
	t.Parallel()
	for _, it := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[true,null]}`, ` { "b" : [true, null], "a" : 1.0 }`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, `{"a":1,"b":2}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`""`, ``, false},
		{`{} {}`, `{}`, false},
		{`0.1000000000000000055`, `0.1`, true}, // as MySQL keeps it
		{`9007199254740993`, `9007199254740992`, false},
		{`1e-9999999`, `0`, true}, // likewise
		{`1e9999999`, `2e9999999`, false},
		{`1e99999999999999999999`, `1e99999999999999999999`, true},
	} {
		if got := sameJSON([]byte(it.a), []byte(it.b)); got != it.same {
			t.Errorf("%s and %s: %v", it.a, it.b, got)
		}
	}
}
