package auth

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// Bounds of an access token.
const (
	maxToken    = 4096 // bytes
	maxTokenID  = 64   // characters of jti
	issuedAhead = 30 * time.Second
	accessType  = "access"
	lastExpiry  = 253402300799 // Unix seconds: the end of the year 9999

	base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// claims are what an access token says; all are required. They implement jwt.Claims.
type claims struct {
	Subject string `json:"sub"`
	Issued  int64  `json:"iat"` // Unix seconds
	Expires int64  `json:"exp"` // Unix seconds
	ID      string `json:"jti"`
	Type    string `json:"type"`
}

// UnmarshalJSON is stricter than encoding/json: names are compared exactly, none may
// occur twice, and the times are integers (1.5 and 1e9 are not).
func (c *claims) UnmarshalJSON(b []byte) error {
	type plain claims
	if err := jsonv2.Unmarshal(b, (*plain)(c)); err != nil {
		return fmt.Errorf("read claims: %w", err)
	}
	return nil
}

// GetExpirationTime implements jwt.Claims.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) {
	if c.Expires == 0 {
		return nil, nil
	}
	return jwt.NewNumericDate(c.expires()), nil
}

// GetIssuedAt implements jwt.Claims: not used, because the library's leeway would
// hold for the expiry too.
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error) { return nil, nil }

// GetNotBefore implements jwt.Claims: not used.
func (c *claims) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuer implements jwt.Claims: not used.
func (c *claims) GetIssuer() (string, error) { return "", nil }

// GetSubject implements jwt.Claims.
func (c *claims) GetSubject() (string, error) { return c.Subject, nil }

// GetAudience implements jwt.Claims: not used.
func (c *claims) GetAudience() (jwt.ClaimStrings, error) { return nil, nil }

func (c *claims) expires() time.Time { return time.Unix(c.Expires, 0).UTC() }

// right reports whether the claims are those of an access token at that time.
func (c *claims) right(now time.Time) bool {
	user, ok := id.Parse[id.User](c.Subject)
	if !ok {
		return false
	}
	c.Subject = string(user)
	length := utf8.RuneCountInString(c.ID)
	return length >= 1 && length <= maxTokenID && !strings.ContainsRune(c.ID, 0) && c.Type == accessType &&
		c.Issued > 0 && c.Issued <= now.Add(issuedAhead).Unix() && c.Expires > c.Issued && c.Expires <= lastExpiry
}

// tokens signs and verifies access tokens: compact JWS, HS256 and nothing else.
type tokens struct {
	key      []byte // empty: tokens are off
	lifetime time.Duration
	now      clock.Now
	parser   *jwt.Parser
}

func newTokens(key secret.String, lifetime time.Duration, now clock.Now) *tokens {
	t := &tokens{lifetime: lifetime, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}), // else HS512 with the same key is valid too
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(), // else the last character of a segment has several spellings
		jwt.WithTimeFunc(now),
	)}
	if !key.Blank() {
		t.key = []byte(key.Reveal())
	}
	return t
}

// issue signs a token for user. issued is in Unix seconds.
func (t *tokens) issue(user id.User, issued int64) (string, error) {
	if len(t.key) == 0 {
		return "", errNoSecret
	}
	c := &claims{
		Subject: string(user), Issued: issued, Expires: issued + int64(t.lifetime/time.Second),
		ID: id.New[string](), Type: accessType,
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(t.key)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return text, nil
}

// read verifies a token in itself; whether it was revoked is the store's to say.
func (t *tokens) read(text string) (claims, bool) {
	// Without a key nothing may be compared. The letters are checked here because
	// encoding/base64 skips line breaks even when it is strict.
	if len(t.key) == 0 || len(text) > maxToken || strings.Trim(text, base64Letters+".") != "" {
		return claims{}, false
	}
	var c claims
	parsed, err := t.parser.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return t.key, nil })
	if err != nil {
		return claims{}, false
	}
	if _, critical := parsed.Header["crit"]; critical || !c.right(t.now()) {
		return claims{}, false
	}
	return c, true
}
