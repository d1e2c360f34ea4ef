package stores

import (
	"bytes"
	"encoding/json"
)

// tag is a row of EventTags.
type tag struct {
	text     string
	position uint64
}

func tagsOf(rows []*row) []tag {
	var tags []tag
	for _, r := range rows {
		if r.event == nil {
			continue
		}
		for _, text := range r.event.Tags {
			tags = append(tags, tag{text, r.position})
		}
	}
	return tags
}

// tags returns the column tags: a JSON array, or nil without tags.
func (r *row) tags() []byte {
	if len(r.event.Tags) == 0 {
		return nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r.event.Tags); err != nil {
		panic(err) // texts always encode
	}
	return bytes.TrimSpace(text.Bytes())
}
