package search

import "strings"

// dictionary numbers terms. Numbers of terms that no document has any more are given
// to others: that is safe, since postings of the dead are ignored.
type dictionary struct {
	ids   map[string]uint32
	infos []termInfo // by id
	free  []uint32
}

type termInfo struct {
	text   string
	public uint32 // living public documents that have it
	all    uint32 // living documents that have it
}

// acquire notes that one more document has term, and returns its id.
func (t *dictionary) acquire(term string, public bool) uint32 {
	id, known := t.ids[term]
	if !known {
		term = strings.Clone(term) // it is part of a larger text
		if last := len(t.free) - 1; last >= 0 {
			id, t.free = t.free[last], t.free[:last]
			t.infos[id] = termInfo{text: term}
		} else {
			id = uint32(len(t.infos))
			t.infos = append(t.infos, termInfo{text: term})
		}
		t.ids[term] = id
	}
	info := &t.infos[id]
	info.all++
	if public {
		info.public++
	}
	return id
}

// release notes that one document less has a term.
func (t *dictionary) release(id uint32, public bool) {
	info := &t.infos[id]
	info.all--
	if public {
		info.public--
	}
	if info.all == 0 {
		delete(t.ids, info.text)
		info.text = ""
		t.free = append(t.free, id)
	}
}
