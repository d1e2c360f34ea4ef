package eventstore

import "maps"

// addMetadata adds the entries whose keys the event does not have. The schema version is the event's own affair: metadata
// that is copied from another event must not change it.
func (e *NewEvent) addMetadata(metadata map[string]string) {
	merged := maps.Clone(metadata) // the map may be the caller's
	delete(merged, MetadataSchemaVersion)
	if len(merged) == 0 {
		return
	}
	maps.Copy(merged, e.Metadata)
	e.Metadata = merged
}
