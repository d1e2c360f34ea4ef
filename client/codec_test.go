package eventstore

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

type (
	inner struct {
		Name string
		At   time.Time
		Sum  *big.Int
		From netip.Addr
	}
	embedded struct{ Kept int }
	kept     struct {
		embedded
		_      int
		Inner  inner
		Map    map[netip.Addr][]inner
		Next   *kept
		Bytes  []byte
		Marks  map[int64]bool
		Custom custom
	}
	// custom encodes itself, its unexported field included, by methods of its pointer.
	custom struct{ secret string }
)

func (c *custom) MarshalJSON() ([]byte, error) { return json.Marshal(c.secret) }

func (c *custom) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &c.secret) }

type (
	lostField struct{ List []struct{ name string } }
	lostTag   struct {
		Secret string `json:"-"`
	}
	lostInterface struct{ Map map[string]any }
	lostFunc      struct{ Call func() }
	lostKey       struct{ Map map[float64]int }
	lostEmbedded  struct{ *embedded }
	lostHalf      struct{ Half half }
	half          struct{ secret string }
)

func (h half) MarshalJSON() ([]byte, error) { return json.Marshal(h.secret) }

// A state is refused if JSON loses a part of it. The error names that part.
func TestCheckJSON(t *testing.T) {
	t.Parallel()
	for _, err := range []error{checkJSON[kept](), checkJSON[*kept](), checkJSON[int](), checkJSON[map[string]time.Time](), checkJSON[custom]()} {
		if err != nil {
			t.Error(err)
		}
	}
	for want, err := range map[string]error{
		"lostField.List[].name is unexported":            checkJSON[lostField](),
		`lostTag.Secret is tagged "-"`:                   checkJSON[lostTag](),
		"lostInterface.Map[] is an interface":            checkJSON[lostInterface](),
		"lostFunc.Call is a func":                        checkJSON[lostFunc](),
		"lostKey.Map is a map with keys of type float64": checkJSON[lostKey](),
		"lostEmbedded.embedded is an embedded pointer":   checkJSON[lostEmbedded](),
		"lostHalf.Half.secret is unexported":             checkJSON[lostHalf](),
		"chan int is a chan":                             checkJSON[chan int](),
		"v1.Event.state is unexported":                   checkJSON[*eventstorev1.Event](),
	} {
		if !errors.Is(err, ErrLossy) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

type opaque struct {
	at     time.Time // unexported, and with a method Equal
	any    any
	nested map[string]*opaque
	list   []float64
}

// What went through a codec is compared in all its parts, unexported ones, too. What means the same is the same.
func TestDifference(t *testing.T) {
	t.Parallel()
	now := time.Now()
	make := func(change func(*opaque)) *opaque {
		o := &opaque{at: now, any: []int{1}, nested: map[string]*opaque{"a": {list: []float64{1, math.NaN()}}}}
		o.nested["self"] = o
		change(o)
		return o
	}
	for name, it := range map[string]struct {
		change func(*opaque)
		path   string
		same   bool
	}{
		"nothing":            {func(*opaque) {}, "", true},
		"monotonic clock":    {func(o *opaque) { o.at = now.Round(0).UTC() }, "", true},
		"empty and nil":      {func(o *opaque) { o.list = []float64{}; o.nested["a"].nested = map[string]*opaque{} }, "", true},
		"time":               {func(o *opaque) { o.at = now.Add(1) }, ".at", false},
		"value in interface": {func(o *opaque) { o.any = []int{2} }, ".any[0]", false},
		"type in interface":  {func(o *opaque) { o.any = []int64{1} }, ".any", false},
		"nil interface":      {func(o *opaque) { o.any = nil }, ".any", false},
		"element":            {func(o *opaque) { o.nested["a"].list[0] = 2 }, ".nested[a].list[0]", false},
		"length":             {func(o *opaque) { o.nested["a"].list = nil }, ".nested[a].list", false},
		"missing key":        {func(o *opaque) { delete(o.nested, "a"); o.nested["b"] = nil }, ".nested[a]", false},
		"pointer to nothing": {func(o *opaque) { o.nested["a"] = nil }, ".nested[a]", false},
		"size of map":        {func(o *opaque) { delete(o.nested, "a") }, ".nested", false},
	} {
		if path, same := difference(make(func(*opaque) {}), make(it.change)); strings.ReplaceAll(path, ".nested[self]", "") != it.path || same != it.same {
			t.Errorf("%s: %q, %v, want %q, %v", name, path, same, it.path, it.same)
		}
	}
	a, b := &eventstorev1.Event{EventId: "a"}, &eventstorev1.Event{EventId: "a"}
	_ = a.String() // fills what the message keeps for itself
	if path, same := difference(&a, &b); !same {
		t.Errorf("messages differ at %q", path)
	}
	if b.EventId = "b"; true {
		if _, same := difference(&a, &b); same {
			t.Error("messages are the same")
		}
	}
}
