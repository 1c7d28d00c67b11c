package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// vector is the example of the contract, §6.6.
const (
	vectorSecret    = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	vectorID        = "33333333-3333-4333-8333-333333333333"
	vectorTime      = 1800000000
	vectorBody      = `{"content":"hi"}`
	vectorSignature = "v1,W6gNbhHNEIt2JSy5s9N7DSgGWqmVxfc9TaAtFT3TpIM="
)

// tampered is one way to change a delivery so that it is nobody's.
type tampered struct {
	name   string
	change func(secret *string, header http.Header, body *[]byte)
}

func tamperings() []tampered {
	return []tampered{
		{"the body", func(_ *string, _ http.Header, body *[]byte) { (*body)[len(*body)/2] ^= 1 }},
		{"more body", func(_ *string, _ http.Header, body *[]byte) { *body = append(*body, ' ') }},
		{"no body", func(_ *string, _ http.Header, body *[]byte) { *body = nil }},
		{"the id", func(_ *string, h http.Header, _ *[]byte) { h.Set("webhook-id", vectorID[:35]+"4") }},
		{"no id", func(_ *string, h http.Header, _ *[]byte) { h.Del("webhook-id") }},
		{"the timestamp", func(_ *string, h http.Header, _ *[]byte) {
			at, _ := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
			h.Set("webhook-timestamp", strconv.FormatInt(at+1, 10))
		}},
		{"the signature", func(_ *string, h http.Header, _ *[]byte) {
			h.Set("webhook-signature", vectorSignature[:20]+strings.Repeat("A", 26)+"=")
		}},
		{"the version", func(_ *string, h http.Header, _ *[]byte) {
			h.Set("webhook-signature", strings.ReplaceAll(h.Get("webhook-signature"), "v1,", "v2,"))
		}},
		{"the secret", func(secret *string, _ http.Header, _ *[]byte) {
			*secret = "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
		}},
	}
}

// judged verifies a delivery, and that nothing which differs from it is accepted.
func judged(t *testing.T, secret string, header http.Header, body []byte, now time.Time) {
	t.Helper()
	if err := verifyWebhook(secret, header, body, now); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	for _, x := range tamperings() {
		s, h, b := secret, header.Clone(), slices.Clone(body)
		x.change(&s, h, &b)
		if verifyWebhook(s, h, b, now) == nil {
			t.Errorf("with %s changed it is accepted", x.name)
		}
	}
	if verifyWebhook(secret, header, body, now.Add(6*time.Minute)) == nil {
		t.Error("it is accepted six minutes later")
	}
}

// TestTheVerifierKnowsTheVectorOfTheContract judges the judge.
func TestTheVerifierKnowsTheVectorOfTheContract(t *testing.T) {
	header := http.Header{}
	header.Set("webhook-id", vectorID)
	header.Set("webhook-timestamp", strconv.Itoa(vectorTime))
	header.Set("webhook-signature", "v1a,bm90IHRoaXMgb25l "+vectorSignature)
	judged(t, vectorSecret, header, []byte(vectorBody), time.Unix(vectorTime, 0))
}

func TestAVerifierOfTheSpecificationAcceptsEveryAttempt(t *testing.T) {
	var mu sync.Mutex
	refused := map[string]int{}
	h := newHook(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if refused[r.Header.Get("webhook-id")]++; refused[r.Header.Get("webhook-id")] < 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s := embedded(t, allowLoopback, "NETWORK_DELIVERY_BACKOFF_SECONDS=0.6")
	r := newRoom(t, s, signUp(t, s), "lobby")
	ada, weather := r.join(t, "ada", nil), r.join(t, "weather", callback(h.URL+"/cb?key=value"))
	contents := []string{"Hello", "", "Grüße, 世界 🌦", strings.Repeat("long ", 10_000), "\" \\ \n </script> \u2028"}
	for _, content := range contents {
		r.send(t, ada, weather, content)
	}
	eventually(t, "every message arrives in three attempts", func() bool { return len(h.got()) == 3*len(contents) })
	attempts := map[string][]string{}
	for i, got := range h.got() {
		judged(t, weather.secret, got.header, got.body, got.at)
		if got.Content != contents[i/3] || got.MessageID != got.header.Get("webhook-id") || got.Sender.ID != ada.id || got.Sender.Name != "ada" {
			t.Errorf("attempt %d is %s", i, got.body)
		}
		if agent, kind := got.header.Get("User-Agent"), got.header.Get("Content-Type"); agent != "Intuno-Network/1.0" || kind != "application/json" || got.header.Get("X-Request-ID") == "" {
			t.Errorf("headers %v", got.header)
		}
		if last := got.Context[len(got.Context)-1]; last.MessageID != got.MessageID || last.Sender != "ada" || last.Recipient != "weather" {
			t.Errorf("the context ends with %+v", last)
		}
		attempts[got.MessageID] = append(attempts[got.MessageID], got.header.Get("webhook-timestamp")+got.ReplyURL)
	}
	for message, each := range attempts {
		if slices.Sort(each); len(slices.Compact(each)) < 2 { // 0.6 s and 1.2 s apart: in two seconds at least
			t.Errorf("message %s had the same timestamp and reply URL in every attempt", message)
		}
	}
	eventually(t, "everything is delivered", func() bool {
		return len(r.inbox(t, weather)) == len(contents) && statuses(r.messages(t))["delivered"] == len(contents)
	})
}

func statuses(messages []networkMessage) map[string]int {
	n := map[string]int{}
	for _, m := range messages {
		n[m.Status]++
	}
	return n
}

// TestNoDeliveryIsLostWhileSecretsRotate rotates a secret twice, while messages are sent.
func TestNoDeliveryIsLostWhileSecretsRotate(t *testing.T) {
	const messages = 300
	h := newHook(t, nil)
	s := embedded(t, allowLoopback, "NETWORK_DELIVERY_BACKOFF_SECONDS=0.1")
	r := newRoom(t, s, signUp(t, s), "lobby")
	ada, weather := r.join(t, "ada", nil), r.join(t, "weather", callback(h.URL))
	type key struct {
		secret      string
		from, until time.Time // between which it must sign
	}
	keys := []key{{weather.secret, time.Now(), time.Now().Add(time.Hour)}}
	var load sync.WaitGroup
	load.Go(func() {
		for n := range messages {
			r.send(t, ada, weather, fmt.Sprint(n))
		}
	})
	for turn := range 2 {
		eventually(t, "some more are delivered", func() bool { return len(h.got()) > (turn+1)*messages/3 })
		asked := time.Now()
		a := expect(t, 200, "POST", r.at("/participants/"+weather.id+"/webhook-secret"), "", r.owner.bearer()...)
		valid, err := time.Parse(time.RFC3339, a.text("previous_valid_until"))
		if left := time.Until(valid); err != nil || left < 24*time.Hour-time.Minute || left > 24*time.Hour+time.Minute {
			t.Errorf("the old secret is said to be valid until %s", a.text("previous_valid_until"))
		}
		if turn > 0 {
			keys[turn-1].until = asked // the one before the old one
		}
		keys = append(keys, key{a.text("webhook_secret"), time.Now(), time.Now().Add(time.Hour)})
	}
	load.Wait()
	eventually(t, "everything is delivered", func() bool { return len(h.got()) >= messages })
	two := 0
	for n, got := range h.got() {
		if got.Content != fmt.Sprint(n) {
			t.Fatalf("message %d is %q: lost, doubled, or out of order", n, got.Content)
		}
		for i, k := range keys {
			err := verifyWebhook(k.secret, got.header, got.body, got.at)
			// An attempt that is under way when the answer comes may still be of before.
			if err != nil && got.at.After(k.from.Add(time.Second)) && got.at.Before(k.until) {
				t.Errorf("message %d is not signed with secret %d: %v", n, i, err)
			}
		}
		signatures := len(strings.Fields(got.header.Get("webhook-signature")))
		if signatures < 1 || signatures > 2 {
			t.Errorf("message %d has %d signatures", n, signatures)
		}
		two += signatures - 1
	}
	if two == 0 {
		t.Error("no message was signed twice")
	}
	// Now the last two sign, and the first does not any more.
	r.send(t, ada, weather, "last")
	eventually(t, "the last one is delivered", func() bool { return len(h.got()) == messages+1 })
	last := h.got()[messages]
	for i, k := range keys {
		if err := verifyWebhook(k.secret, last.header, last.body, last.at); (err == nil) != (i > 0) {
			t.Errorf("after two rotations secret %d: %v", i, err)
		}
	}
}
