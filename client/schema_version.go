package eventstore

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// MetadataSchemaVersion is the key of metadata that holds the schema version of an event's data: a positive integer. An
// event without it has schema version 1.
const MetadataSchemaVersion = "schema_version"

// schema is an event type in one of its schema versions.
type schema struct {
	eventType string
	version   int
}

// SchemaVersion registers a Go type as a later form of its event type. Events that the Registry encodes carry the version
// in their metadata, and their type stays the same, so that routes, filters and SQL on the type find events of all
// versions. It panics unless the version is positive.
func SchemaVersion(version int) RegisterOption {
	if version < 1 {
		panic(fmt.Sprintf("eventstore: schema version %d: must be 1 or more", version))
	}
	return func(s *schema) { s.version = version }
}

func (s schema) String() string {
	if s.version == 1 {
		return strconv.Quote(s.eventType)
	}
	return fmt.Sprintf("%q of schema version %d", s.eventType, s.version)
}

// mark sets the version in the event's metadata.
func (s schema) mark(event *NewEvent) {
	if _, marked := event.Metadata[MetadataSchemaVersion]; s.version == 1 && !marked {
		return
	}
	metadata := maps.Clone(event.Metadata) // the map may be the caller's
	if metadata == nil {
		metadata = make(map[string]string, 1)
	}
	if delete(metadata, MetadataSchemaVersion); s.version > 1 {
		metadata[MetadataSchemaVersion] = strconv.Itoa(s.version)
	}
	event.Metadata = metadata
}

// schemaOf returns the type and the schema version of an event.
func schemaOf(e *Event) (schema, error) {
	text, given := e.Metadata[MetadataSchemaVersion]
	if !given {
		return schema{e.Type, 1}, nil
	}
	version, err := strconv.Atoi(text)
	if err != nil || version < 1 {
		return schema{}, fmt.Errorf("its metadata has %s %q: must be a positive integer", MetadataSchemaVersion, text)
	}
	return schema{e.Type, version}, nil
}

// known tells which schema versions of an event type are registered, to complete an error about another one.
func (r *Registry) known(other schema) string {
	var versions []int
	for as := range r.decode {
		if as.eventType == other.eventType {
			versions = append(versions, as.version)
		}
	}
	if len(versions) == 0 {
		return ""
	}
	slices.Sort(versions)
	if newest := versions[len(versions)-1]; other.version > newest {
		return fmt.Sprintf(": a newer program stored it; this one knows the versions up to %d", newest)
	}
	return fmt.Sprintf(": this program knows the versions %v", versions)
}
