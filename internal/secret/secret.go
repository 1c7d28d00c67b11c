// Package secret holds values that must not be printed.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
)

const mask = "[secret]"

// String is a secret. Whatever prints it (fmt with any verb, slog, JSON, text)
// gets a mask; only Reveal gives the value.
type String struct{ value string }

// New wraps s.
func New(s string) String { return String{s} }

// Reveal returns the value, for the one place that sends or compares it.
func (s String) Reveal() string { return s.value }

// Len is the length in bytes, for checks of strength.
func (s String) Len() int { return len(s.value) }

// Blank reports whether nothing but white space is in it. A blank secret turns
// its credential path off: it must never be compared.
func (s String) Blank() bool { return strings.TrimSpace(s.value) == "" }

// String implements fmt.Stringer with the mask.
func (s String) String() string { return mask }

// Format implements fmt.Formatter, so that %#v and %x cannot get around the mask.
func (s String) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// LogValue implements slog.LogValuer with the mask.
func (s String) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText implements encoding.TextMarshaler with the mask.
func (s String) MarshalText() ([]byte, error) { return []byte(mask), nil }

// UnmarshalText implements encoding.TextUnmarshaler, for configuration readers.
func (s *String) UnmarshalText(b []byte) error { s.value = string(b); return nil }

// Set is a list of secrets any one of which is accepted: the way to rotate a
// shared key without a moment in which neither side works.
type Set struct{ digests [][sha256.Size]byte }

// NewSet keeps the non-blank secrets. A set without any accepts nothing.
func NewSet(secrets ...String) Set {
	var set Set
	for _, s := range secrets {
		if !s.Blank() {
			set.digests = append(set.digests, sha256.Sum256([]byte(s.value)))
		}
	}
	return set
}

// Empty reports whether the set accepts nothing.
func (set Set) Empty() bool { return len(set.digests) == 0 }

// Index returns which secret equals given, or -1. The time it takes depends
// neither on the content nor on the length of given: digests are compared, all
// of them, each in constant time.
func (set Set) Index(given string) int {
	digest := sha256.Sum256([]byte(given))
	found := -1
	for i := range set.digests {
		if subtle.ConstantTimeCompare(digest[:], set.digests[i][:]) == 1 && found < 0 {
			found = i
		}
	}
	return found
}
