package stores

import "testing"

func TestMatchesType(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, eventType string
		want               bool
	}{
		{"OrderPaid", "OrderPaid", true},
		{"OrderPaid", "OrderPaidLate", false},
		{"Order*", "OrderPaid", true},
		{"Order*", "Order", true},
		{"Order*", "Order.Paid", false},
		{"*", "Paid", true},
		{"*", "a.b", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{">", "", true},
		{"orders.Pa*.>", "orders.Paid.x", true},
		{"orders.Pa*.>", "orders.Open.x", false},
	} {
		if got := MatchesType(test.pattern, test.eventType); got != test.want {
			t.Errorf("MatchesType(%q, %q) = %v", test.pattern, test.eventType, got)
		}
	}
}
