package stores

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// aggregate identifies a stream of versions.
type aggregate struct {
	channel int64
	typ, id string
}

// eventKey identifies an event.
type eventKey struct {
	channel int64
	id      string
}

// headCache keeps the last committed version of recently used aggregates, bounded in bytes. It is not synchronized.
type headCache struct {
	lru        *simplelru.LRU[aggregate, uint64]
	bytes, max int64
}

// headOverhead is the approximate size of an entry without its texts, in bytes.
const headOverhead = 200

func (a *aggregate) size() int64 { return headOverhead + int64(len(a.typ)+len(a.id)) }

func newHeadCache(bytes int64) *headCache {
	h := &headCache{max: bytes}
	var err error
	h.lru, err = simplelru.NewLRU(math.MaxInt, func(key aggregate, _ uint64) { h.bytes -= key.size() })
	if err != nil {
		panic(err) // only for a size below one
	}
	return h
}

func (h *headCache) get(key aggregate) (uint64, bool) { return h.lru.Get(key) }
func (h *headCache) drop(key aggregate)               { h.lru.Remove(key) }
func (h *headCache) clear()                           { h.lru.Purge() }

func (h *headCache) put(key aggregate, version uint64) {
	if !h.lru.Contains(key) {
		h.bytes += key.size()
	}
	h.lru.Add(key, version)
	for h.bytes > h.max {
		h.lru.RemoveOldest()
	}
}
