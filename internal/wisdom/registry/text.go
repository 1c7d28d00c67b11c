package registry

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"unicode"
)

// maxSlugBase is the length of the part of a slug that comes from the name.
const maxSlugBase = 40

// newSlug returns a fresh agent_id (contract §4.2): prefix, what is left of the name,
// and 8 random hexadecimal digits.
func newSlug(prefix, name string) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	return prefix + slugBase(name) + "-" + hex.EncodeToString(b[:])
}

// slugBase lower-cases a name and turns every run of other characters than a-z and
// 0-9 into one hyphen. It is 1 to 40 characters long, without a hyphen at the ends.
func slugBase(name string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(name) {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('-')
		}
		gap = false
		b.WriteRune(r)
	}
	base := b.String()
	base = strings.TrimRight(base[:min(len(base), maxSlugBase)], "-")
	if base == "" {
		return "agent"
	}
	return base
}

// Fold returns s with every letter replaced by the same one of its forms, so that
// texts that differ in case only become equal (Unicode simple folding, as
// strings.EqualFold compares). It works letter by letter: a substring of a text,
// folded, is a substring of the folded text. Stores keep folded copies because
// databases disagree on letters beyond ASCII.
func Fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII {
			return unicode.ToLower(r)
		}
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return unicode.ToLower(least)
	}, s)
}
