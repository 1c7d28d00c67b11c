package intuno

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrWebhook is a request that is no delivery of ours: not signed with the secret, changed
// on the way, or of another time. Nothing in it can be trusted.
var ErrWebhook = errors.New("not a webhook of ours")

// Bounds of the Standard Webhooks specification.
const (
	webhookTolerance = 5 * time.Minute // between the clocks of sender and receiver
	minWebhookSecret = 24              // bytes
	maxWebhookSecret = 64
)

// VerifyWebhook tells whether a request is a delivery to the participant who has secret,
// the webhook_secret of JoinNetwork or RotateWebhookSecret: nil, or an error that is
// ErrWebhook, or ErrArgument for a secret that is none. body is the whole body, as it was
// received. now is the time; a delivery that was signed more than 5 minutes before or after
// is refused, so that nobody can send an old one again later. Within them, and because
// deliveries are made at least once, receivers tell repetitions by the message_id.
//
// It follows the Standard Webhooks specification (standardwebhooks.com), version 1 of
// symmetric signatures.
func VerifyWebhook(secret string, header http.Header, body []byte, now time.Time) error {
	key, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < minWebhookSecret || len(key) > maxWebhookSecret {
		return fmt.Errorf("intuno: %w: the webhook secret is not whsec_ and %d to %d bytes in base64", ErrArgument, minWebhookSecret, maxWebhookSecret)
	}
	values := map[string]string{}
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		lines := header[name]
		if len(lines) != 1 || lines[0] == "" {
			return notOurs("it must have the header " + strings.ToLower(name) + " once")
		}
		values[name] = lines[0]
	}
	id, timestamp := values["Webhook-Id"], values["Webhook-Timestamp"]
	// What is signed is id.timestamp.body: with a stop in the id, it could be cut elsewhere.
	if strings.Contains(id, ".") {
		return notOurs("webhook-id has a full stop")
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return notOurs("webhook-timestamp is no number")
	}
	const tolerance = int64(webhookTolerance / time.Second)
	if seconds < now.Unix()-tolerance || seconds > now.Unix()+tolerance {
		return notOurs("webhook-timestamp is more than 5 minutes off")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for _, signature := range strings.Split(values["Webhook-Signature"], " ") {
		text, ok := strings.CutPrefix(signature, "v1,")
		if !ok {
			continue // of a version to come, or asymmetric
		}
		got, err := base64.StdEncoding.Strict().DecodeString(text)
		if err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return notOurs("no signature fits")
}

func notOurs(why string) error { return fmt.Errorf("intuno: %w: %s", ErrWebhook, why) }
