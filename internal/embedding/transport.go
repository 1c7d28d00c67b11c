package embedding

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

var (
	errNoAnswer = errors.New("no answer from the embedding endpoint")
	errAnswer   = errors.New("the answer of the embedding endpoint is not what was asked for")
)

// refusal is an answer other than success. Its text has nothing of the body.
type refusal struct {
	status int
	after  time.Duration // the endpoint wants that much time before the next request
}

func (r *refusal) Error() string { return fmt.Sprintf("the embedding endpoint answered %d", r.status) }

// door is the way out to the endpoint: it adds the key, follows nothing, and lets in
// only what can be a list of embeddings. The key is known here only.
type door struct {
	client *http.Client
	key    secret.String
	now    clock.Now
	most   int64 // bytes of an answer
}

// newDoor opens no connection. It uses no proxy of the environment: the key goes to
// the endpoint and nowhere else.
func newDoor(e *Endpoint, connections int, most int64) *door {
	secure := &tls.Config{}
	if e.TLS != nil {
		secure = e.TLS.Clone()
	}
	secure.MinVersion = max(secure.MinVersion, tls.VersionTLS12)
	return &door{key: e.Key, now: e.Now, most: most, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:        secure,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxConnsPerHost:        connections,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        60 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
	}}
}

// Do implements the client's HTTPDoer. Its errors carry no text of the endpoint.
func (d *door) Do(req *http.Request) (*http.Response, error) {
	if !d.key.Blank() {
		req.Header.Set("Authorization", "Bearer "+d.key.Reveal())
	}
	req.Header.Set("User-Agent", "intuno")
	req.GetBody = nil // whether to ask again is not for the transport to decide
	res, err := d.client.Do(req)
	if err != nil {
		return nil, noAnswer(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, &refusal{res.StatusCode, retryAfter(res.Header.Get("Retry-After"), d.now())}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, d.most+1))
	if err != nil {
		return nil, noAnswer(err)
	}
	if int64(len(body)) > d.most || !plausible(body) {
		return nil, errAnswer
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// noAnswer keeps what an operator needs of a failed exchange, and nothing that the
// other side wrote (net/http quotes malformed answers).
func noAnswer(err error) error {
	var timeout net.Error
	var broken *net.OpError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", errNoAnswer, context.Canceled)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w in time", errNoAnswer)
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w: its certificate is not trusted", errNoAnswer)
	case errors.As(err, &broken):
		return fmt.Errorf("%w: %w", errNoAnswer, broken)
	}
	return fmt.Errorf("%w: the exchange broke", errNoAnswer)
}

// retryAfter reads RFC 9110 §10.2.3: seconds or a date. What cannot be read is 0.
func retryAfter(v string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(seconds, 0), 86400)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// What an answer may consist of: decoding costs a multiple of the bytes that a
// hostile answer has, and a null would silently be read as 0.
const (
	maxNesting    = 6
	maxContainers = 3*maxBatch + 16
)

// plausible reports whether body could be a list of embeddings: objects and arrays
// that are few, shallow and of bounded length, and no null in an array. That it is
// JSON is for the decoder to find out.
func plausible(body []byte) bool {
	var open [maxNesting + 1]byte
	var members [maxNesting + 1]int
	depth, containers := 0, 0
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			containers++
			if depth > maxNesting || containers > maxContainers {
				return false
			}
			open[depth], members[depth] = c, 0
		case '}', ']':
			if depth--; depth < 0 {
				return false
			}
		case ',':
			if members[depth]++; members[depth] >= maxDim {
				return false
			}
		case 'n':
			if open[depth] == '[' {
				return false
			}
		}
	}
	return depth == 0
}
