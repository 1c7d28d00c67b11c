package network

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/sdk/intuno"
)

const vectorSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func keysOf(t testing.TB, secrets ...string) webhookKeys {
	t.Helper()
	var keys webhookKeys
	for _, text := range secrets {
		key, err := webhookKey(secret.New(text))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// signed is what a receiver sees of a delivery, as package sdk/intuno reads it.
func signed(id, timestamp, signature string) http.Header {
	return http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
}

func TestSignatureIsThatOfTheContract(t *testing.T) {
	got := keysOf(t, vectorSecret).sign("33333333-3333-4333-8333-333333333333", "1800000000", []byte(`{"content":"hi"}`))
	if want := "v1,W6gNbhHNEIt2JSy5s9N7DSgGWqmVxfc9TaAtFT3TpIM="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAReceiverAcceptsWhatWasSignedAndNothingElse(t *testing.T) {
	const id, at, body = "33333333-3333-4333-8333-333333333333", "1800000000", `{"content":"hi"}`
	now, other := time.Unix(1800000000, 0), newWebhookSecret().Reveal()
	signature := keysOf(t, vectorSecret).sign(id, at, []byte(body))
	rotated := keysOf(t, other, vectorSecret).sign(id, at, []byte(body))
	for _, test := range []struct {
		name, secret, id, at, signature, body string
		want                                  bool
	}{
		{"as it was signed", vectorSecret, id, at, signature, body, true},
		{"during a rotation, with the old secret", vectorSecret, id, at, rotated, body, true},
		{"during a rotation, with the new secret", other, id, at, rotated, body, true},
		{"another body", vectorSecret, id, at, signature, body + " ", false},
		{"another id", vectorSecret, "33333333-3333-4333-8333-333333333334", at, signature, body, false},
		{"another time", vectorSecret, id, "1800000001", signature, body, false},
		{"another secret", other, id, at, signature, body, false},
		{"another version", vectorSecret, id, at, strings.Replace(signature, "v1,", "v2,", 1), body, false},
		{"no signature", vectorSecret, id, at, "", body, false},
	} {
		err := intuno.VerifyWebhook(test.secret, signed(test.id, test.at, test.signature), []byte(test.body), now)
		if (err == nil) != test.want {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestSecretsAreRandomAndOfTheRightForm(t *testing.T) {
	a, b := newWebhookSecret(), newWebhookSecret()
	if a == b {
		t.Error("two secrets are the same")
	}
	digits, ok := strings.CutPrefix(a.Reveal(), "whsec_")
	key, err := base64.StdEncoding.DecodeString(digits)
	if !ok || err != nil || len(key) != 32 {
		t.Errorf("got %d bytes, %v, prefix %v", len(key), err, ok)
	}
	for _, text := range []string{"", "whsec_", vectorSecret[6:], vectorSecret + "=", vectorSecret[:49], "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", "WHSEC_" + vectorSecret[6:]} {
		if _, err := webhookKey(secret.New(text)); err == nil {
			t.Errorf("%q was taken for a secret", text)
		}
	}
}

func TestSecretsOfAParticipantOpenForItOnlyAndTheOldOneForADay(t *testing.T) {
	s := &Service{config: Config{Keys: keyring(t)}}
	now := time.Unix(1800000000, 0)
	current, old := newWebhookSecret(), newWebhookSecret()
	p := Participant{ID: ada, Secret: Secrets{Sealed: s.sealSecret(ada, current), Old: s.sealSecret(ada, old), OldUntil: now.Add(time.Hour)}}
	for _, test := range []struct {
		name string
		at   time.Time
		want webhookKeys
	}{
		{"during the rotation", now, keysOf(t, current.Reveal(), old.Reveal())},
		{"when it ends", now.Add(time.Hour), keysOf(t, current.Reveal())},
	} {
		got, err := s.openSecrets(p, test.at)
		if err != nil || len(got) != len(test.want) {
			t.Fatalf("%s: got %d keys, %v, want %d", test.name, len(got), err, len(test.want))
		}
		for i := range got {
			if !bytes.Equal(got[i], test.want[i]) {
				t.Errorf("%s: key %d is another", test.name, i)
			}
		}
	}
	p.ID = bob
	if _, err := s.openSecrets(p, now); err == nil {
		t.Error("the secret of ada opens for bob")
	}
	p.ID, p.Secret.Old = ada, []byte("broken")
	if got, err := s.openSecrets(p, now); err != nil || len(got) != 1 {
		t.Errorf("an old secret that does not open: got %d keys, %v, want the new one", len(got), err)
	}
}

// FuzzWebhook signs anything: the receiver accepts it, and not after any bit has changed.
func FuzzWebhook(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"), "33333333-3333-4333-8333-333333333333", int64(1800000000), []byte(`{"content":"hi"}`), uint16(0))
	f.Add([]byte(""), "", int64(0), []byte(nil), uint16(7))
	f.Add([]byte("short"), "a b", int64(-1), []byte("\x00\xff"), uint16(65535))
	f.Add(bytes.Repeat([]byte{0xff}, 40), "1,2", int64(1)<<40, bytes.Repeat([]byte("x"), 1000), uint16(99))
	f.Fuzz(func(t *testing.T, seed []byte, id string, at int64, body []byte, bit uint16) {
		var key [secretBytes]byte
		copy(key[:], seed)
		text := secretPrefix + base64.StdEncoding.EncodeToString(key[:])
		timestamp, now := strconv.FormatInt(at, 10), time.Unix(at, 0)
		header := signed(id, timestamp, keysOf(t, newWebhookSecret().Reveal(), text).sign(id, timestamp, body))
		if id == "" || strings.Contains(id, ".") || now.Unix() != at {
			return // no id of a message, or no time
		}
		if err := intuno.VerifyWebhook(text, header, body, now); err != nil {
			t.Fatalf("signed and refused: %v", err)
		}
		if changed := bytes.Clone(body); len(changed) > 0 {
			changed[int(bit)/8%len(changed)] ^= 1 << (bit % 8)
			if intuno.VerifyWebhook(text, header, changed, now) == nil {
				t.Error("a changed body was accepted")
			}
		}
		key[bit/8%secretBytes] ^= 1 << (bit % 8)
		if intuno.VerifyWebhook(secretPrefix+base64.StdEncoding.EncodeToString(key[:]), header, body, now) == nil {
			t.Error("another secret was accepted")
		}
		for _, late := range []time.Duration{-6 * time.Minute, 6 * time.Minute} {
			if intuno.VerifyWebhook(text, header, body, now.Add(late)) == nil {
				t.Errorf("accepted %v later", late)
			}
		}
	})
}
