package stores

import (
	"fmt"
	"slices"
	"strconv"
)

// checkMetadata returns an ErrNotIndexed for a key that Options.IndexMetadata does not name.
func (s *Store) checkMetadata(q Query) error {
	for i := range q.Items {
		for key := range q.Items[i].Metadata {
			if _, ok := s.metadataIndex(key); !ok {
				return fmt.Errorf("query: item %d: metadata: %q has %w: name it in the server's option index_metadata, as %s",
					i+1, key, ErrNotIndexed, strconv.Quote(metadataPath(key).String()))
			}
		}
	}
	return nil
}

func metadataPath(key string) jsonPath { return jsonPath{{name: key}} }

// metadataIndex returns the configured index of a key of metadata, or that of all metadata.
func (s *Store) metadataIndex(key string) (jsonIndex, bool) {
	want, _ := s.options.indexes() // they are checked at the start
	path := metadataPath(key).String()
	for _, whole := range []bool{false, true} {
		for _, x := range want {
			if x.column == "metadata" && (x.path == nil) == whole && (whole || x.path.String() == path) {
				return x, true
			}
		}
	}
	return jsonIndex{}, false
}

// plan finds the indexes that can answer the query. New channels may change it.
func (r *QueryReader) plan() {
	last := r.s.lastChannel()
	ofChannels := slices.ContainsFunc(r.query.Items, func(it QueryItem) bool { return len(it.Channels) > 0 })
	if r.planned && (last == r.planChannel || !ofChannels) {
		return
	}
	r.planned, r.planChannel = true, last
	r.finders = nil
	var all []*finder
	for i := range r.query.Items {
		f := &finder{all: r.alternatives(&r.query.Items[i])}
		if len(f.all) == 0 {
			return
		}
		all = append(all, f)
	}
	r.finders = all
}

// alternatives returns the ways to find the events of an item without a scan.
func (r *QueryReader) alternatives(it *QueryItem) (all []*alternative) {
	text := &r.s.text.queryStatements
	if len(it.Types) > 0 && !slices.ContainsFunc(it.Types, isTypePattern) {
		a := &alternative{name: "event_type"}
		for _, v := range it.Types {
			a.sources = append(a.sources, &source{text: text.typePositions[r.d], args: func(low, high uint64) []any { return []any{v, low, v, high} }})
		}
		all = append(all, a)
	}
	for _, v := range it.Tags {
		s := &source{text: text.tagPositions[r.d], args: keyed(v)}
		all = append(all, &alternative{name: "tag " + strconv.Quote(v), sources: []*source{s}})
	}
	if len(it.AggregateIDs) > 0 {
		a := &alternative{name: "aggregate_id"}
		for _, v := range it.AggregateIDs {
			a.sources = append(a.sources, &source{text: text.aggregatePositions[r.d], args: keyed(v), sorted: true})
		}
		all = append(all, a)
	}
	if r.s.indexed.Load() {
		for key, v := range it.Metadata {
			if x, ok := r.s.metadataIndex(key); ok {
				statement, arg := r.s.dialect.metadataPositions(x, key, v, r.d)
				s := &source{text: statement, args: keyed(arg), sorted: true}
				all = append(all, &alternative{name: "metadata " + strconv.Quote(key), sources: []*source{s}})
			}
		}
	}
	if a := r.ofChannels(it.Channels); a != nil { // costly ones come last
		all = append(all, a)
	}
	return all
}

func keyed(key any) func(low, high uint64) []any {
	return func(low, high uint64) []any { return []any{key, low, high} }
}

// maxChannelSources bounds the channels that are read one by one.
const maxChannelSources = 100

// ofChannels returns the keys of the channels that match, or nil unless they are few and hold few messages: each part read
// costs all messages of a channel.
func (r *QueryReader) ofChannels(patterns []string) *alternative {
	if len(patterns) == 0 {
		return nil
	}
	a := &alternative{name: "channels", costly: true}
	cost, most := uint64(0), r.s.Position()/denseGap
	for _, c := range r.s.channelsMatching(patterns) {
		msgs := c.Info().Msgs
		cost += msgs * (1 + msgs/sortedPart)
		if cost > most || len(a.sources) == maxChannelSources {
			return nil
		}
		a.sources = append(a.sources, &source{text: r.s.text.channelPositions[r.d], args: keyed(c.id), sorted: true})
	}
	return a
}

func (s *Store) channelsMatching(patterns []string) (all []*Channel) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, c := range s.byName {
		if slices.ContainsFunc(patterns, func(p string) bool { return MatchesChannel(p, name) }) {
			all = append(all, c)
		}
	}
	return all
}

// lastChannel returns the highest ID of a channel.
func (s *Store) lastChannel() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.channelID
}
