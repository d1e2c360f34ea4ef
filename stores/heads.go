package stores

import (
	lru "github.com/hashicorp/golang-lru/v2"
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

// headCache keeps the last committed version of aggregates that were used last. It is not synchronised.
type headCache struct {
	lru *lru.Cache[aggregate, uint64]
}

func newHeadCache(size int) *headCache {
	cache, err := lru.New[aggregate, uint64](size)
	if err != nil {
		panic(err) // the size is not positive: Options.withDefaults sees to that
	}
	return &headCache{lru: cache}
}

func (h *headCache) get(key aggregate) (uint64, bool)  { return h.lru.Get(key) }
func (h *headCache) put(key aggregate, version uint64) { h.lru.Add(key, version) }
func (h *headCache) drop(key aggregate)                { h.lru.Remove(key) }
func (h *headCache) clear()                            { h.lru.Purge() }
