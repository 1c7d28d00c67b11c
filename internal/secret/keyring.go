package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// Why a sealed value does not open. Neither says anything about the value.
var (
	ErrNoKey  = errors.New("no key that is configured opens it")
	ErrSealed = errors.New("it was damaged, or sealed for something else")
)

// A sealed value is version, key id, nonce, ciphertext and tag, one after the other.
const (
	sealVersion = 1
	keyIDBytes  = 8
	headerBytes = 1 + keyIDBytes
)

// Keyring encrypts values that are kept: AES-256-GCM (NIST SP 800-38D) under keys that
// HKDF-SHA256 (RFC 5869) derives from secrets. The first secret seals, all open: the
// way to rotate one without a moment in which a value cannot be read. Nonces are
// random, so one secret is good for 2^32 values.
type Keyring struct{ keys []sealingKey }

type sealingKey struct {
	id   [keyIDBytes]byte
	aead cipher.AEAD
}

// NewKeyring derives keys for one purpose; other purposes get unrelated keys from the
// same secrets. Blank secrets are left out; without any the error says so.
func NewKeyring(purpose string, secrets ...String) (*Keyring, error) {
	k := &Keyring{}
	for _, s := range secrets {
		if s.Blank() {
			continue
		}
		key, err := deriveKey(purpose, s)
		if err != nil {
			return nil, fmt.Errorf("derive a key for %s: %w", purpose, err)
		}
		if !slices.ContainsFunc(k.keys, func(other sealingKey) bool { return other.id == key.id }) {
			k.keys = append(k.keys, key)
		}
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("no secret for %s", purpose)
	}
	return k, nil
}

// deriveKey makes two independent outputs of one secret: the key, and the id that
// stands beside every value. The id tells nothing about the key, and no more about the
// secret than a sealed value does: a guess at the secret can be checked, nothing else.
func deriveKey(purpose string, s String) (sealingKey, error) {
	pseudo, err := hkdf.Extract(sha256.New, []byte(s.value), nil)
	if err != nil {
		return sealingKey{}, err
	}
	key, err := hkdf.Expand(sha256.New, pseudo, "intuno/"+purpose+"/aes-256-gcm", 32)
	if err != nil {
		return sealingKey{}, err
	}
	name, err := hkdf.Expand(sha256.New, pseudo, "intuno/"+purpose+"/key-id", keyIDBytes)
	if err != nil {
		return sealingKey{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealingKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealingKey{id: [keyIDBytes]byte(name), aead: aead}, err
}

// KeyID names the key that seals, in 16 hexadecimal digits.
func (k *Keyring) KeyID() string { return hex.EncodeToString(k.keys[0].id[:]) }

// Seal encrypts value for its place: Open wants the same words, in the same order. A
// row copied to another place does not open there. The same value never gives the same
// bytes twice; its length shows.
func (k *Keyring) Seal(value String, place ...string) []byte {
	key := k.keys[0]
	header := append([]byte{sealVersion}, key.id[:]...)
	return key.aead.Seal(header, nil, []byte(value.value), bound(header, place))
}

// Open decrypts what Seal made, with whichever key it was sealed: ErrNoKey if that is
// not here, ErrSealed if the bytes or the place are not those of Seal.
func (k *Keyring) Open(sealed []byte, place ...string) (String, error) {
	if len(sealed) < headerBytes || sealed[0] != sealVersion {
		return String{}, ErrSealed
	}
	header, box := sealed[:headerBytes], sealed[headerBytes:]
	for _, key := range k.keys {
		if !bytes.Equal(header[1:], key.id[:]) {
			continue
		}
		value, err := key.aead.Open(nil, nil, box, bound(header, place))
		if err != nil {
			return String{}, ErrSealed
		}
		return New(string(value)), nil
	}
	return String{}, ErrNoKey
}

// bound is what a value is sealed together with: its header and place, each word with
// its length before it, so that ("ab", "c") is not ("a", "bc").
func bound(header []byte, place []string) []byte {
	all := slices.Clone(header)
	for _, word := range place {
		all = append(binary.AppendUvarint(all, uint64(len(word))), word...)
	}
	return all
}
