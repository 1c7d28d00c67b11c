package network

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// A webhook secret is 32 random bytes, written as in the Standard Webhooks specification
// (contract §6.6).
const (
	secretPrefix = "whsec_"
	secretBytes  = 32
)

var errSecret = errors.New("no webhook secret: whsec_ and 32 bytes in base64")

// newWebhookSecret makes a secret as its owner is shown it, once.
func newWebhookSecret() secret.String {
	var key [secretBytes]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand aborts the process instead
	return secret.New(secretPrefix + base64.StdEncoding.EncodeToString(key[:]))
}

// webhookKey reads what newWebhookSecret wrote: errSecret if it is anything else.
func webhookKey(text secret.String) ([]byte, error) {
	digits, ok := strings.CutPrefix(text.Reveal(), secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(digits)
	if !ok || err != nil || len(key) != secretBytes {
		return nil, errSecret
	}
	return key, nil
}

// sealSecret is how the secret of a participant is kept.
func (s *Service) sealSecret(p id.Participant, text secret.String) []byte {
	return s.config.Keys.Seal(text, string(p))
}

// webhookKeys sign what one participant is sent: the current secret and, for a while
// after a rotation, the one before.
type webhookKeys [][]byte

// openSecrets returns the keys of p at now. An old secret that does not open is left out:
// whoever holds the new one is served all the same.
func (s *Service) openSecrets(p Participant, now time.Time) (webhookKeys, error) {
	current, err := s.openSecret(p.ID, p.Secret.Sealed)
	if err != nil {
		return nil, err
	}
	keys := webhookKeys{current}
	if p.Secret.Old == nil || !now.Before(p.Secret.OldUntil) {
		return keys, nil
	}
	if old, err := s.openSecret(p.ID, p.Secret.Old); err == nil {
		keys = append(keys, old)
	}
	return keys, nil
}

func (s *Service) openSecret(p id.Participant, sealed []byte) ([]byte, error) {
	text, err := s.config.Keys.Open(sealed, string(p))
	if err != nil {
		return nil, fmt.Errorf("open the webhook secret of participant %s: %w", p, err)
	}
	return webhookKey(text)
}

// sign returns the value of webhook-signature: one signature for each key, with a space
// between them.
func (k webhookKeys) sign(messageID, timestamp string, body []byte) string {
	var out []byte
	for i, key := range k {
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, "v1,"...)
		out = base64.StdEncoding.AppendEncode(out, webhookMAC(key, messageID, timestamp, body))
	}
	return string(out)
}

func webhookMAC(key []byte, messageID, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	head := make([]byte, 0, 64)
	head = append(append(append(append(head, messageID...), '.'), timestamp...), '.')
	mac.Write(head)
	mac.Write(body)
	return mac.Sum(nil)
}
