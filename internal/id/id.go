// Package id makes and reads identifiers. Each kind of id has its own type, so a
// user's id can never be passed where an agent's is wanted.
package id

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// The kinds of id. All are UUIDv4 in canonical lower-case hyphenated form.
type (
	User    string
	APIKey  string
	Agent   string
	Entity  string
	Message string // of an entity's history, or of a conversation

	Conversation string
	Integration  string
	Invocation   string

	Network        string
	Participant    string // of a network
	NetworkMessage string
)

// New returns a fresh random UUIDv4 (RFC 9562 §5.4).
func New[T ~string]() T {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return format[T](b)
}

func format[T ~string](b [16]byte) T {
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return T(s[:])
}

// Parse reads the canonical hyphenated form in any case and returns it in lower
// case. The un-hyphenated, braced and urn:uuid: forms are refused, and so is
// anything around the 36 characters: two spellings of one id must not exist.
func Parse[T ~string](s string) (T, bool) {
	if len(s) != 36 {
		return "", false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return "", false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return "", false
		}
	}
	return T(strings.ToLower(s)), true
}

// Bytes returns the 16 bytes of an id, which must be one that New or Parse returned:
// for memory copies of many.
func Bytes[T ~string](s T) (b [16]byte) {
	digits := make([]byte, 0, 32)
	for i := range len(s) {
		if s[i] != '-' {
			digits = append(digits, s[i])
		}
	}
	_, _ = hex.Decode(b[:], digits[:min(len(digits), 32)])
	return b
}

// OfBytes is the way back from Bytes.
func OfBytes[T ~string](b [16]byte) T { return format[T](b) }
