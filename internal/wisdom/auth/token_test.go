package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/secret"
)

const (
	testSecret = "0123456789abcdef0123456789abcdef"
	testUser   = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
)

var (
	noon   = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	noonS  = noon.Unix()
	rawURL = base64.RawURLEncoding
)

func atNoon() time.Time { return noon }

func testTokens() *tokens { return newTokens(secret.New(testSecret), time.Hour, atNoon) }

// sign makes a compact JWS without the library.
func sign(h func() hash.Hash, key, header, payload string) string {
	text := rawURL.EncodeToString([]byte(header)) + "." + rawURL.EncodeToString([]byte(payload))
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(text))
	return text + "." + rawURL.EncodeToString(mac.Sum(nil))
}

const goodHeader = `{"alg":"HS256","typ":"JWT"}`

// payload is the JSON of the five claims after change, in which nil removes one and a
// json.RawMessage stands as it is.
func payload(change map[string]any) string {
	all := map[string]any{"sub": testUser, "iat": noonS, "exp": noonS + 3600, "jti": "id-1", "type": "access"}
	for name, v := range change {
		if v == nil {
			delete(all, name)
		} else {
			all[name] = v
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func minted(change map[string]any) string {
	return sign(sha256.New, testSecret, goodHeader, payload(change))
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestIssuedTokenIsValid(t *testing.T) {
	for _, ahead := range []int64{0, 1, 30} {
		text, err := testTokens().issue(testUser, noonS+ahead)
		if err != nil {
			t.Fatal(err)
		}
		c, ok := testTokens().read(text)
		if !ok || c.Subject != testUser || c.Issued != noonS+ahead || c.Expires != noonS+ahead+3600 || c.Type != "access" || len(c.ID) != 36 {
			t.Errorf("issued %d s ahead: got %+v, %v", ahead, c, ok)
		}
	}
}

func TestTokenClaims(t *testing.T) {
	for _, c := range []struct {
		name   string
		change map[string]any
		want   bool
	}{
		{"exactly the five claims", nil, true},
		{"a sixth one is ignored", map[string]any{"aud": "x"}, true},
		{"sub in upper case", map[string]any{"sub": strings.ToUpper(testUser)}, true},
		{"iat in the past", map[string]any{"iat": 1}, true},
		{"iat 30 s ahead", map[string]any{"iat": noonS + 30}, true},
		{"exp in one second", map[string]any{"iat": noonS - 5, "exp": noonS + 1}, true},
		{"jti of 64 characters of two bytes", map[string]any{"jti": strings.Repeat("é", 64)}, true},

		{"no sub", map[string]any{"sub": nil}, false},
		{"no iat", map[string]any{"iat": nil}, false},
		{"no exp", map[string]any{"exp": nil}, false},
		{"no jti", map[string]any{"jti": nil}, false},
		{"no type", map[string]any{"type": nil}, false},
		{"null sub", map[string]any{"sub": raw("null")}, false},
		{"null iat", map[string]any{"iat": raw("null")}, false},
		{"null exp", map[string]any{"exp": raw("null")}, false},
		{"null jti", map[string]any{"jti": raw("null")}, false},
		{"null type", map[string]any{"type": raw("null")}, false},
		{"iat 31 s ahead", map[string]any{"iat": noonS + 31}, false},
		{"iat zero", map[string]any{"iat": 0}, false},
		{"iat negative", map[string]any{"iat": -1}, false},
		{"iat with a fraction", map[string]any{"iat": raw(fmt.Sprint(noonS, ".5"))}, false},
		{"iat with a zero fraction", map[string]any{"iat": raw(fmt.Sprint(noonS-10) + ".0")}, false},
		{"iat with an exponent", map[string]any{"iat": raw("1e9")}, false},
		{"iat as a string", map[string]any{"iat": fmt.Sprint(noonS)}, false},
		{"exp now", map[string]any{"iat": noonS - 5, "exp": noonS}, false},
		{"exp with a fraction", map[string]any{"exp": raw(fmt.Sprint(noonS+10) + ".5")}, false},
		{"exp with an exponent", map[string]any{"exp": raw("1e10")}, false},
		{"exp equal to iat", map[string]any{"iat": noonS + 10, "exp": noonS + 10}, false},
		{"exp before iat", map[string]any{"iat": noonS + 20, "exp": noonS + 10}, false},
		{"exp beyond the year 9999", map[string]any{"exp": int64(253402300800)}, false},
		{"exp beyond 64 bits", map[string]any{"exp": raw("9223372036854775808")}, false},
		{"jti empty", map[string]any{"jti": ""}, false},
		{"jti of 65 characters", map[string]any{"jti": strings.Repeat("a", 65)}, false},
		{"jti a number", map[string]any{"jti": 7}, false},
		{"jti with NUL", map[string]any{"jti": "a\x00b"}, false},
		{"another type", map[string]any{"type": "refresh"}, false},
		{"type in another case", map[string]any{"type": "Access"}, false},
		{"sub not a UUID", map[string]any{"sub": "ada"}, false},
		{"sub without hyphens", map[string]any{"sub": strings.ReplaceAll(testUser, "-", "")}, false},
		{"sub as urn", map[string]any{"sub": "urn:uuid:" + testUser}, false},
		{"sub in braces", map[string]any{"sub": "{" + testUser + "}"}, false},
		{"sub with something around", map[string]any{"sub": "x" + testUser + "y"}, false},
		{"a name in another case", map[string]any{"jti": nil, "JTI": "id-1"}, false},
	} {
		got, ok := testTokens().read(minted(c.change))
		if ok != c.want {
			t.Errorf("%s: got %v, want %v", c.name, ok, c.want)
		}
		if ok && got.Subject != testUser {
			t.Errorf("%s: got subject %q, want %q", c.name, got.Subject, testUser)
		}
	}
}

func TestTokenShape(t *testing.T) {
	good := minted(nil)
	parts := strings.Split(good, ".")
	long := func(size int) string { // a valid token of that many bytes
		for n := range size {
			if text := minted(map[string]any{"pad": strings.Repeat("x", n)}); len(text) >= size {
				return text
			}
		}
		return ""
	}
	payloadOf := func(s string) string { return sign(sha256.New, testSecret, goodHeader, s) }
	headerOf := func(s string) string { return sign(sha256.New, testSecret, s, payload(nil)) }
	last := parts[2][len(parts[2])-1]
	respelled := good[:len(good)-1] + string(base64Letters[strings.IndexByte(base64Letters, last)^1:][0:1])
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"as minted", good, true},
		{"4096 bytes", long(4096), true},
		{"without typ", headerOf(`{"alg":"HS256"}`), true},

		{"over 4096 bytes", long(4098), false},
		{"empty", "", false},
		{"two segments", parts[0] + "." + parts[1], false},
		{"four segments", good + ".", false},
		{"no signature", parts[0] + "." + parts[1] + ".", false},
		{"padding", good + "=", false},
		{"another spelling of the last character", respelled, false},
		{"a line break", good[:10] + "\n" + good[10:], false},
		{"a line break at the end", good + "\r\n", false},
		{"a space", " " + good, false},
		{"another key", sign(sha256.New, strings.ToUpper(testSecret), goodHeader, payload(nil)), false},
		{"another payload", parts[0] + "." + rawURL.EncodeToString([]byte(payload(map[string]any{"jti": "x"}))) + "." + parts[2], false},
		{"alg none", rawURL.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", false},
		{"alg none with a signature", headerOf(`{"alg":"none"}`), false},
		{"HS384", sign(sha512.New384, testSecret, `{"alg":"HS384"}`, payload(nil)), false},
		{"HS512", sign(sha512.New, testSecret, `{"alg":"HS512"}`, payload(nil)), false},
		{"HS512 said, HS256 made", headerOf(`{"alg":"HS512"}`), false},
		{"alg in lower case", headerOf(`{"alg":"hs256"}`), false},
		{"RS256", headerOf(`{"alg":"RS256"}`), false},
		{"no alg", headerOf(`{"typ":"JWT"}`), false},
		{"alg not a string", headerOf(`{"alg":["HS256"]}`), false},
		{"crit", headerOf(`{"alg":"HS256","crit":["exp"]}`), false},
		{"crit empty", headerOf(`{"alg":"HS256","crit":[]}`), false},
		{"crit null", headerOf(`{"alg":"HS256","crit":null}`), false},
		{"header null", headerOf(`null`), false},
		{"claims null", payloadOf(`null`), false},
		{"claims a list", payloadOf(`[]`), false},
		{"claims twice", payloadOf(payload(nil) + payload(nil)), false},
		{"a claim twice", payloadOf(strings.Replace(payload(nil), "{", `{"jti":"other",`, 1)), false},
		{"claims not JSON", payloadOf(`sub`), false},
		{"claims not UTF-8", payloadOf(strings.Replace(payload(nil), "id-1", "id-\xff", 1)), false},
	} {
		if _, ok := testTokens().read(c.text); ok != c.want {
			t.Errorf("%s: got %v, want %v", c.name, ok, c.want)
		}
	}
}

func TestWithoutSecretThereAreNoTokens(t *testing.T) {
	for _, key := range []string{"", "   "} {
		off := newTokens(secret.New(key), time.Hour, atNoon)
		if _, err := off.issue(testUser, noonS); err == nil {
			t.Errorf("secret %q: a token was issued", key)
		}
		if _, ok := off.read(sign(sha256.New, key, goodHeader, payload(nil))); ok {
			t.Errorf("secret %q: a token was accepted", key)
		}
	}
}

// FuzzToken tries texts as they are, and headers and payloads signed with the right
// key. No text may be accepted whose signature is not right, and no signed one that
// an independent reading of the contract refuses.
func FuzzToken(f *testing.F) {
	good := minted(nil)
	for _, text := range []string{good, good + ".", good[:len(good)-1], "..", "a.b.c", "", strings.Repeat(".", 5000)} {
		f.Add(text, []byte(goodHeader), []byte(payload(nil)))
	}
	for _, header := range []string{`{"alg":"none"}`, `{"alg":"HS512"}`, `{"alg":"HS256","crit":["x"]}`, `null`, `{`, `{"alg":"HS256","alg":"none"}`} {
		f.Add(good, []byte(header), []byte(payload(nil)))
	}
	for _, change := range []map[string]any{{"exp": raw("1e99")}, {"iat": raw("1.5")}, {"sub": "x"}, {"jti": ""}, {"type": 1}, {"exp": nil}, {"exp": noonS}} {
		f.Add(good, []byte(goodHeader), []byte(payload(change)))
	}
	tokens := testTokens()
	f.Fuzz(func(t *testing.T, text string, header, payload []byte) {
		if _, ok := tokens.read(text); ok && !signed(text) {
			t.Errorf("accepted a text that was not signed: %q", text)
		}
		text = sign(sha256.New, testSecret, string(header), string(payload))
		c, ok := tokens.read(text)
		if !ok {
			return
		}
		if why := wrong(header, payload, c); why != "" || len(text) > 4096 {
			t.Errorf("accepted %s with %s (%d bytes): %s", header, payload, len(text), why)
		}
	})
}

var jws = regexp.MustCompile(`^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$`)

// signed reports whether text is a compact JWS signed with the test's key.
func signed(text string) bool {
	m := jws.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(m[1] + "." + m[2]))
	return m[3] == rawURL.EncodeToString(mac.Sum(nil))
}

// wrong says why a token must not be accepted, or "".
func wrong(header, payload []byte, got claims) string {
	var h, p map[string]any
	for _, part := range []struct {
		text []byte
		into *map[string]any
	}{{header, &h}, {payload, &p}} {
		d := json.NewDecoder(bytes.NewReader(part.text))
		d.UseNumber()
		if d.Decode(part.into) != nil {
			return "not JSON"
		}
	}
	if h["alg"] != "HS256" {
		return "not HS256"
	}
	if _, ok := h["crit"]; ok {
		return "crit"
	}
	integer := func(name string) int64 {
		n, ok := p[name].(json.Number)
		if i, err := n.Int64(); ok && err == nil && regexp.MustCompile(`^-?[0-9]+$`).MatchString(n.String()) {
			return i
		}
		return -1
	}
	iat, exp := integer("iat"), integer("exp")
	jti, _ := p["jti"].(string)
	sub, _ := p["sub"].(string)
	switch {
	case iat < 0 || iat > noonS+30:
		return "iat"
	case exp <= iat || exp <= noonS:
		return "exp"
	case utf8.RuneCountInString(jti) < 1 || utf8.RuneCountInString(jti) > 64:
		return "jti"
	case p["type"] != "access":
		return "type"
	case !regexp.MustCompile(`^(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`).MatchString(sub):
		return "sub"
	case got.Subject != strings.ToLower(sub) || got.ID != jti || got.Issued != iat || got.Expires != exp:
		return "read wrongly"
	}
	return ""
}
