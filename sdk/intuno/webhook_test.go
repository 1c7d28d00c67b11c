package intuno

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The vector of contract §6.6.
const (
	webhookSecret    = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	webhookID        = "33333333-3333-4333-8333-333333333333"
	webhookTime      = "1800000000"
	webhookBody      = `{"content":"hi"}`
	webhookSignature = "v1,W6gNbhHNEIt2JSy5s9N7DSgGWqmVxfc9TaAtFT3TpIM="
)

func TestAWebhookIsOursAsItWasSigned(t *testing.T) {
	const other = "v1,AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	otherSecret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	for _, c := range []struct {
		name   string
		change func(h http.Header)
		secret string
		body   string
		after  time.Duration // the signing
		want   error
	}{
		{name: "as it was signed"},
		{name: "the secret without its prefix", secret: strings.TrimPrefix(webhookSecret, "whsec_")},
		{name: "5 minutes late", after: 5 * time.Minute},
		{name: "5 minutes early", after: -5 * time.Minute},
		{name: "one more signature before it", change: func(h http.Header) { h.Set("webhook-signature", other+" "+webhookSignature) }},
		{name: "one more signature behind it", change: func(h http.Header) { h.Set("webhook-signature", webhookSignature+" "+other) }},
		{name: "signatures of other versions", change: func(h http.Header) { h.Set("webhook-signature", "v1a,xyz v2,= v1,! "+webhookSignature) }},

		{name: "another body", body: `{"content":"ho"}`, want: ErrWebhook},
		{name: "the body with white space", body: webhookBody + "\n", want: ErrWebhook},
		{name: "another secret", secret: otherSecret, want: ErrWebhook},
		{name: "more than 5 minutes late", after: 301 * time.Second, want: ErrWebhook},
		{name: "more than 5 minutes early", after: -301 * time.Second, want: ErrWebhook},
		{name: "another id", change: func(h http.Header) { h.Set("webhook-id", "33333333-3333-4333-8333-333333333334") }, want: ErrWebhook},
		{name: "another time", change: func(h http.Header) { h.Set("webhook-timestamp", "1800000001") }, want: ErrWebhook},
		{name: "the same time in other words", change: func(h http.Header) { h.Set("webhook-timestamp", "01800000000") }, want: ErrWebhook},
		{name: "no number", change: func(h http.Header) { h.Set("webhook-timestamp", "now") }, want: ErrWebhook},
		{name: "a huge number", change: func(h http.Header) { h.Set("webhook-timestamp", "99999999999999999999") }, want: ErrWebhook},
		{name: "the smallest number", change: func(h http.Header) { h.Set("webhook-timestamp", "-9223372036854775808") }, want: ErrWebhook},
		{name: "another signature", change: func(h http.Header) { h.Set("webhook-signature", other) }, want: ErrWebhook},
		{name: "half a signature", change: func(h http.Header) { h.Set("webhook-signature", webhookSignature[:20]) }, want: ErrWebhook},
		{name: "an empty signature", change: func(h http.Header) { h.Set("webhook-signature", "v1,") }, want: ErrWebhook},
		{name: "the signature of another version", change: func(h http.Header) { h.Set("webhook-signature", "v2"+webhookSignature[2:]) }, want: ErrWebhook},
		{name: "the signature without its version", change: func(h http.Header) { h.Set("webhook-signature", webhookSignature[3:]) }, want: ErrWebhook},
		{name: "no id", change: func(h http.Header) { h.Del("webhook-id") }, want: ErrWebhook},
		{name: "no time", change: func(h http.Header) { h.Del("webhook-timestamp") }, want: ErrWebhook},
		{name: "no signature", change: func(h http.Header) { h.Del("webhook-signature") }, want: ErrWebhook},
		{name: "two ids", change: func(h http.Header) { h.Add("webhook-id", "x") }, want: ErrWebhook},
		{name: "two times", change: func(h http.Header) { h.Add("webhook-timestamp", webhookTime) }, want: ErrWebhook},

		{name: "no secret", secret: "-", want: ErrArgument},
		{name: "an empty secret", secret: "whsec_", want: ErrArgument},
		{name: "a short secret", secret: "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)), want: ErrArgument},
		{name: "a long secret", secret: "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)), want: ErrArgument},
	} {
		h := http.Header{}
		h.Set("webhook-id", webhookID)
		h.Set("webhook-timestamp", webhookTime)
		h.Set("webhook-signature", webhookSignature)
		if c.change != nil {
			c.change(h)
		}
		secret, body := webhookSecret, webhookBody
		if c.secret != "" {
			secret = c.secret
		}
		if c.body != "" {
			body = c.body
		}
		err := VerifyWebhook(secret, h, []byte(body), time.Unix(1800000000, 0).Add(c.after))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && (len(secret) > len("whsec_") && strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "W6gNbhHN")) {
			t.Errorf("%s: the error tells a secret: %v", c.name, err)
		}
	}
}

// A body that begins like a time could else be taken for a message of another id.
func TestAWebhookIsNotCutElsewhere(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(webhookSecret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("a.1800000000.1800000000.{}"))
	h := http.Header{"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}, "Webhook-Timestamp": {"1800000000"}, "Webhook-Id": {"a"}}
	now := time.Unix(1800000000, 0)
	if err := VerifyWebhook(webhookSecret, h, []byte("1800000000.{}"), now); err != nil {
		t.Errorf("as it was signed: %v", err)
	}
	h.Set("webhook-id", "a.1800000000")
	if err := VerifyWebhook(webhookSecret, h, []byte("{}"), now); !errors.Is(err, ErrWebhook) {
		t.Errorf("cut elsewhere: %v", err)
	}
}
