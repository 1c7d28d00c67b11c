package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/secret"
)

const (
	newSecret = "new-secret-0123456789abcdef0123456789"
	oldSecret = "old-secret-0123456789abcdef0123456789"
)

func ring(t testing.TB, purpose string, secrets ...string) *secret.Keyring {
	t.Helper()
	var list []secret.String
	for _, s := range secrets {
		list = append(list, secret.New(s))
	}
	k, err := secret.NewKeyring(purpose, list...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestASealedValueOpensInItsPlaceOnly(t *testing.T) {
	k := ring(t, "tests", newSecret)
	for _, value := range []string{"", "x", hush, strings.Repeat("é", 8192), "\x00\xff"} {
		sealed := k.Seal(secret.New(value), "agent", "api_key")
		got, err := k.Open(sealed, "agent", "api_key")
		if err != nil || got.Reveal() != value {
			t.Errorf("%d bytes: got %d bytes, %v", len(value), got.Len(), err)
		}
		for _, place := range [][]string{nil, {"agent"}, {"api_key", "agent"}, {"agent", "bearer_token"}, {"agentapi_key"}, {"agenta", "pi_key"}, {"agent", "api_key", ""}, {"Agent", "api_key"}} {
			if got, err := k.Open(sealed, place...); !errors.Is(err, secret.ErrSealed) || got.Reveal() != "" {
				t.Errorf("in place %q: got %d bytes, %v, want ErrSealed", place, got.Len(), err)
			}
		}
	}
}

func TestAChangedSealedValueDoesNotOpen(t *testing.T) {
	k := ring(t, "tests", newSecret, oldSecret)
	sealed := k.Seal(secret.New(hush), "a")
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			got, err := k.Open(changed, "a")
			if !errors.Is(err, secret.ErrSealed) && !errors.Is(err, secret.ErrNoKey) || got.Reveal() != "" {
				t.Fatalf("byte %d, bit %d: got %d bytes, %v", i, bit, got.Len(), err)
			}
		}
		if _, err := k.Open(sealed[:i], "a"); !errors.Is(err, secret.ErrSealed) {
			t.Fatalf("cut to %d bytes: got %v, want ErrSealed", i, err)
		}
	}
	// The key id of the other key is no way around: it belongs to what was sealed.
	other := bytes.Clone(sealed)
	copy(other[1:9], ring(t, "tests", oldSecret).Seal(secret.New(hush), "a")[1:9])
	if _, err := k.Open(other, "a"); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("under the id of another key: got %v, want ErrSealed", err)
	}
}

func TestTheFirstSecretSealsAndAllOpen(t *testing.T) {
	before, during, after := ring(t, "tests", oldSecret), ring(t, "tests", newSecret, oldSecret), ring(t, "tests", newSecret)
	first, second := before.Seal(secret.New(hush), "a"), during.Seal(secret.New(hush), "a")
	for _, tt := range []struct {
		name   string
		ring   *secret.Keyring
		sealed []byte
		want   error
	}{
		{"old by old", before, first, nil}, {"old by both", during, first, nil}, {"old by new", after, first, secret.ErrNoKey},
		{"new by old", before, second, secret.ErrNoKey}, {"new by both", during, second, nil}, {"new by new", after, second, nil},
		{"new by both, the other way round", ring(t, "tests", oldSecret, newSecret), second, nil},
		{"old for another purpose", ring(t, "others", oldSecret, newSecret), first, secret.ErrNoKey},
	} {
		if got, err := tt.ring.Open(tt.sealed, "a"); !errors.Is(err, tt.want) || err == nil && got.Reveal() != hush {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if during.KeyID() != after.KeyID() || during.KeyID() == before.KeyID() || len(during.KeyID()) != 16 {
		t.Errorf("key ids: %s, %s, %s", before.KeyID(), during.KeyID(), after.KeyID())
	}
	if got := ring(t, "others", newSecret).KeyID(); got == after.KeyID() {
		t.Error("two purposes have one key id")
	}
}

func TestSealingTellsNothing(t *testing.T) {
	k := ring(t, "tests", newSecret)
	value := secret.New(hush)
	one, two := k.Seal(value, "a"), k.Seal(value, "a")
	if bytes.Equal(one, two) || bytes.Equal(one[9:21], two[9:21]) {
		t.Error("the same value twice gives the same bytes")
	}
	for name, text := range map[string]string{"value": hush, "secret": newSecret} {
		for _, form := range []string{text, hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text)), text[:8]} {
			for _, out := range []string{string(one), k.KeyID(), fmt.Sprintf("%x", one), base64.StdEncoding.EncodeToString(one)} {
				if strings.Contains(out, form) {
					t.Errorf("the %s shows in %q", name, out)
				}
			}
		}
	}
}

func TestAKeyringHasASecret(t *testing.T) {
	for _, secrets := range [][]secret.String{nil, {secret.New("")}, {secret.New(" \t"), secret.New("")}} {
		if k, err := secret.NewKeyring("tests", secrets...); err == nil {
			t.Errorf("%d blanks: got a keyring %s", len(secrets), k.KeyID())
		}
	}
	k := ring(t, "tests", " ", newSecret, newSecret)
	if got := ring(t, "tests", newSecret).KeyID(); got != k.KeyID() {
		t.Errorf("after a blank: key %s, want %s", k.KeyID(), got)
	}
}

// What was sealed once must open for good: these bytes were made by version 1.
func TestTheFormatStays(t *testing.T) {
	const sealed = "016ccedd7db6bbe45cad0042eb270e03b4bd1d146573eceb4e3a3abe6112ccfbd40177e6dd7decadefa1594076d692eebd4dd0"
	b, err := hex.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	k := ring(t, "agent-credentials", newSecret)
	got, err := k.Open(b, "5b1d0000-0000-4000-8000-000000000001", "api_key")
	if err != nil || got.Reveal() != hush || hex.EncodeToString(b[1:9]) != k.KeyID() {
		t.Errorf("got %q, %v, by the key %s", got.Reveal(), err, k.KeyID())
	}
}

func FuzzOpen(f *testing.F) {
	k := ring(f, "tests", newSecret, oldSecret)
	good := k.Seal(secret.New(hush), "a")
	for _, seed := range [][]byte{nil, {1}, good, good[:9], good[:21], good[:len(good)-1], append(bytes.Clone(good), 0), bytes.Repeat([]byte{1}, 64)} {
		f.Add(seed, "a")
	}
	f.Add(good, "b")
	f.Add(ring(f, "tests", oldSecret).Seal(secret.New(""), ""), "")
	f.Fuzz(func(t *testing.T, sealed []byte, place string) {
		kept := bytes.Clone(sealed)
		value, err := k.Open(sealed, place)
		if !bytes.Equal(kept, sealed) {
			t.Fatal("the sealed bytes were changed")
		}
		if err == nil {
			// Nobody but Seal makes what opens: so it is one of the seeds.
			if value.Reveal() != hush && value.Reveal() != "" {
				t.Fatalf("opened to %q", value.Reveal())
			}
			return
		}
		if value.Reveal() != "" || !errors.Is(err, secret.ErrSealed) && !errors.Is(err, secret.ErrNoKey) {
			t.Fatalf("got %q, %v", value.Reveal(), err)
		}
		again, err := k.Open(k.Seal(secret.New(string(sealed)), place), place)
		if err != nil || again.Reveal() != string(sealed) {
			t.Fatalf("sealed and opened: %v", err)
		}
	})
}
