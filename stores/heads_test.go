package stores

import (
	"strings"
	"testing"
)

func TestHeadCacheIsBounded(t *testing.T) {
	t.Parallel()
	h := newHeadCache(10_000)
	for round := range uint64(2) {
		for i := range 500 {
			key := aggregate{channel: int64(i), typ: "Order", id: strings.Repeat("x", i%250)}
			h.put(key, round)
			h.put(key, round+1)
			if version, ok := h.get(key); !ok || version != round+1 {
				t.Fatalf("version %d, %v of what was put last", version, ok)
			}
		}
	}
	sum := int64(0)
	for _, key := range h.lru.Keys() {
		sum += key.size()
	}
	if h.bytes != sum || sum > h.max || sum < h.max*9/10 {
		t.Errorf("%d bytes of %d aggregates are counted as %d of at most %d", sum, h.lru.Len(), h.bytes, h.max)
	}
	h.drop(h.lru.Keys()[0])
	if h.clear(); h.bytes != 0 {
		t.Errorf("%d bytes when it is empty", h.bytes)
	}
}
