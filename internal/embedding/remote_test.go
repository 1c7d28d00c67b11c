package embedding

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/secret"
)

const (
	theKey = "sk-hush-hush-hush"
	gossip = "GOSSIP of the endpoint " + theKey // what a body may say back
)

type item struct {
	Object    string `json:"object"`
	Embedding any    `json:"embedding"`
	Index     int    `json:"index"`
}

// embedded is the right answer: (length of the text, 1, 0).
func embedded(texts []string) []item {
	items := make([]item, len(texts))
	for i, text := range texts {
		items[i] = item{"embedding", []float64{float64(len(text)), 1, 0}, i}
	}
	return items
}

func reply(w http.ResponseWriter, items any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "model": "m", "data": items,
		"usage": map[string]any{"prompt_tokens": 1, "total_tokens": 1, "details": nil}})
}

// endpoint is a server that speaks the API, with what it was asked.
type endpoint struct {
	*httptest.Server
	mu     sync.Mutex
	texts  [][]string
	paths  []string
	answer func(w http.ResponseWriter, r *http.Request, n int, texts []string) // n counts from 1
}

func serve(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int, texts []string)) *endpoint {
	t.Helper()
	e := &endpoint{answer: answer}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Input []string
			Model string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Method != http.MethodPost || in.Model != "m" {
			t.Errorf("got %s %s: %v, %+v", r.Method, r.URL, err, in)
		}
		if got := r.Header.Values("Authorization"); !slices.Equal(got, []string{"Bearer " + theKey}) {
			t.Errorf("got Authorization %q", got)
		}
		e.mu.Lock()
		e.texts, e.paths = append(e.texts, in.Input), append(e.paths, r.URL.Path)
		n := len(e.texts)
		e.mu.Unlock()
		e.answer(w, r, n, in.Input)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) asked() [][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.texts)
}

type ticker struct {
	mu  sync.Mutex
	now time.Time
}

func (c *ticker) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ticker) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// dial is a Remote for the endpoint that does not really wait between attempts.
func dial(t *testing.T, url string, change ...func(*Endpoint)) (*Remote, *ticker, *[]time.Duration) {
	t.Helper()
	clock := &ticker{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	e := Endpoint{BaseURL: url, Key: secret.New(theKey), Model: "m", Now: clock.Now}
	for _, f := range change {
		f(&e)
	}
	r := NewEndpoint(e)
	waits := &[]time.Duration{}
	r.wait = func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}
	t.Cleanup(r.Close)
	return r, clock, waits
}

// quiet wants an error that tells nothing of the key or of what the endpoint wrote.
func quiet(t *testing.T, what string, r *Remote, err error) {
	t.Helper()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "err", err, "remote", r)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "err", err, "remote", r)
	_, _ = fmt.Fprintf(&log, "%v %+v %#v %s", err, err, err, err)
	_, _ = fmt.Fprintf(&log, "%v %+v %#v %s", r, r, r, r)
	for wrapped := err; wrapped != nil; wrapped = errors.Unwrap(wrapped) {
		_, _ = fmt.Fprintf(&log, "%+v", wrapped)
	}
	for _, word := range []string{"hush", "GOSSIP", "invalid character"} {
		if strings.Contains(log.String(), word) {
			t.Errorf("%s: %q is in %s", what, word, log.String())
		}
	}
}

func TestEmbedAsksInBatchesAndKeepsTheOrder(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int, texts []string) {
		items := embedded(texts)
		slices.Reverse(items) // out of order, as is allowed: the index says whose it is
		reply(w, items)
	})
	r, _, _ := dial(t, e.URL)
	texts := make([]string, 150)
	for i := range texts {
		texts[i] = strings.Repeat("x", i+1)
	}
	texts[3], texts[70] = "", " \n "
	vectors, err := r.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vectors {
		sound(t, v, 3)
		want := float64(i + 1)
		if i == 3 || i == 70 {
			if length(v) != 0 {
				t.Errorf("blank text %d: got %v", i, v)
			}
		} else if got := float64(v[0]) / float64(v[1]); math.Abs(got-want) > 1e-3 {
			t.Errorf("text %d: got the vector of text %.0f", i, got-1)
		}
	}
	var sizes []int
	for _, batch := range e.asked() {
		sizes = append(sizes, len(batch))
	}
	if !slices.Equal(sizes, []int{64, 64, 20}) {
		t.Errorf("got batches of %v", sizes)
	}
	if got := e.paths[0]; got != "/v1/embeddings" {
		t.Errorf("asked %s", got)
	}
}

func TestNothingIsAskedForBlankTexts(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int, texts []string) { reply(w, embedded(texts)) })
	r, _, _ := dial(t, e.URL)
	for range 2 {
		vectors, err := r.Embed(t.Context(), []string{"", "\xff", "\t"})
		if err != nil || len(vectors) != 3 {
			t.Fatalf("got %v, %v", vectors, err)
		}
		v, err := r.Query(t.Context(), "  ")
		if err != nil || len(v) != len(vectors[0]) || length(v) != 0 {
			t.Errorf("got %v, %v", v, err)
		}
		if dim := len(v); dim != 3*len(e.asked()) { // known after the first vector
			t.Errorf("got %d numbers after %d requests", dim, len(e.asked()))
		}
		if len(e.asked()) == 0 {
			if _, err := r.Query(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := e.asked(); len(got) != 1 {
		t.Errorf("asked %q", got)
	}
}

func TestRequestsAreBoundedInBytes(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int, texts []string) { reply(w, embedded(texts)) })
	r, _, _ := dial(t, e.URL)
	texts := slices.Repeat([]string{strings.Repeat("é", 1<<20)}, 60)
	if _, err := r.Embed(t.Context(), texts); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, batch := range e.asked() {
		size := 0
		for _, text := range batch {
			size += len(text)
			if len(text) != 8000 || !utf8.ValidString(text) {
				t.Errorf("sent %d bytes", len(text))
			}
		}
		n += len(batch)
		if size > maxBatchBytes {
			t.Errorf("sent a batch of %d bytes", size)
		}
	}
	if n != 60 || len(e.asked()) != 2 {
		t.Errorf("sent %d texts in %d requests", n, len(e.asked()))
	}
}

func TestTextsThatAreTooLongForTheModelAreSentShorter(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int, texts []string) {
		for _, text := range texts {
			if len(text) > 2000 {
				http.Error(w, gossip, http.StatusBadRequest)
				return
			}
		}
		reply(w, embedded(texts))
	})
	r, _, _ := dial(t, e.URL)
	if _, err := r.Embed(t.Context(), []string{"short", strings.Repeat("long ", 1000)}); err != nil {
		t.Error(err)
	}
	if _, err := r.Query(t.Context(), strings.Repeat("東", 4000)); err != nil {
		t.Error(err)
	}
	if got := len(e.asked()); got != 4 || !r.Available() {
		t.Errorf("asked %d times, available: %v", got, r.Available())
	}
}

func TestBaseURLs(t *testing.T) {
	for given, want := range map[string]string{
		"http://h": "http://h/v1", "http://h/": "http://h/v1", "http://h/v1": "http://h/v1", "http://h/v1//": "http://h/v1",
		"http://h/v1/embeddings": "http://h/v1", "http://h/v1/embeddings/": "http://h/v1", "http://h/embeddings": "http://h/v1",
		"https://h:8443/openai/v1": "https://h:8443/openai/v1", "http://h/v1beta/openai/": "http://h/v1beta/openai", "http://[::1]:9": "http://[::1]:9/v1",
	} {
		if got := baseURL(given); got != want {
			t.Errorf("%s: got %s, want %s", given, got, want)
		}
	}
}

func TestModelNamesTheEndpointToo(t *testing.T) {
	model := func(url, model, key string) string {
		r := NewEndpoint(Endpoint{BaseURL: url, Model: model, Key: secret.New(key)})
		defer r.Close()
		return r.Model()
	}
	a := model("http://h/v1", "m", "k")
	if !strings.HasPrefix(a, "openai:m@") || a != model("http://h", "m", "another key") {
		t.Errorf("got %s and %s", a, model("http://h", "m", "another key"))
	}
	if a == model("http://h", "n", "k") || a == model("http://other", "m", "k") {
		t.Error("another model or host has the same name")
	}
}

// sent answers with a body as it is.
func sent(body string) func(http.ResponseWriter, *http.Request, int, []string) {
	return func(w http.ResponseWriter, _ *http.Request, _ int, _ []string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	one := func(vector string) string { return `{"data":[{"index":0,"embedding":` + vector + `}]}` }
	for name, body := range map[string]string{
		"no JSON":                 gossip,
		"nothing":                 "",
		"no vector":               `{"data":[]}`,
		"no list":                 `{"error":{"message":"` + gossip + `"}}`,
		"too many vectors":        `{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1]}]}`,
		"another index":           `{"data":[{"index":1,"embedding":[1]}]}`,
		"a negative index":        `{"data":[{"index":-1,"embedding":[1]}]}`,
		"a null in it":            one(`[1, null ,0]`),
		"no numbers":              one(`[]`),
		"null":                    one(`null`),
		"a text":                  one(`"` + gossip + `"`),
		"a text in it":            one(`[1,"` + gossip + `"]`),
		"NaN":                     one(`[NaN,1]`),
		"more than float32 holds": one(`[1e39,1]`),
		"more than float64 holds": one(`[1e400,1]`),
		"all zeros":               one(`[0,0,-0.0]`),
		"too many numbers":        one(`[` + strings.Repeat("1,", maxDim) + `1]`),
		"deep":                    strings.Repeat("[", 10000),
		"many members":            `{"data":[` + strings.Repeat("1,", 100000) + `1]}`,
		"many objects":            `{"data":[` + strings.Repeat("{},", 500) + `{}]}`,
		"more than is read":       `{"x":"` + strings.Repeat("x", queryAnswer) + `"}`,
		"cut short":               `{"data":[{"index":0,"embedding":[1,0`,
		"a bracket too many":      `]`,
		"an unfinished text":      `{"data`,
		"an unfinished escape":    `{"data\`,
		"no text":                 "\x1f\x8b\x08",
	} {
		e := serve(t, sent(body))
		r, _, waits := dial(t, e.URL)
		_, err := r.Query(t.Context(), "x")
		if !errors.Is(err, errAnswer) || r.Available() {
			t.Errorf("%s: got %v, available: %v", name, err, r.Available())
		}
		quiet(t, name, r, err)
		if _, err := r.Embed(t.Context(), []string{"x"}); !errors.Is(err, errAnswer) || len(*waits) > 0 {
			t.Errorf("%s: got %v after %d attempts more", name, err, len(*waits))
		}
	}
}

func TestVectorsOfOneAnswerBelongTogether(t *testing.T) {
	for name, data := range map[string][]item{
		"different lengths": {{"", []int{1, 0}, 0}, {"", []int{1, 0, 0}, 1}},
		"one index twice":   {{"", []int{1, 0}, 0}, {"", []int{1, 0}, 0}},
		"one is missing":    {{"", []int{1, 0}, 0}},
		"one is zero":       {{"", []int{1, 0}, 0}, {"", []int{0, 0}, 1}},
	} {
		e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int, _ []string) { reply(w, data) })
		r, _, _ := dial(t, e.URL)
		if v, err := r.Embed(t.Context(), []string{"a", "b"}); !errors.Is(err, errAnswer) {
			t.Errorf("%s: got %v, %v", name, v, err)
		}
	}
}

func TestTheDimensionNeverChanges(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, n int, texts []string) {
		reply(w, []item{{"", make([]int, n), 0}, {"", slices.Repeat([]int{1}, n), 0}}[1:])
	})
	r, _, _ := dial(t, e.URL)
	if v, err := r.Query(t.Context(), "a"); err != nil || len(v) != 1 {
		t.Errorf("got %v, %v", v, err)
	}
	if v, err := r.Query(t.Context(), "b"); !errors.Is(err, errAnswer) {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestEndlessAndHugeAnswersAreCut(t *testing.T) {
	var written atomic.Int64
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, n int, _ []string) {
		chunk := []byte(strings.Repeat("[1,1,1,1,1,1,1,1", 4096))
		if n == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(100<<20))
		}
		for written.Store(0); written.Load() < 100<<20; written.Add(int64(len(chunk))) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	r, _, _ := dial(t, e.URL)
	for range 2 {
		if _, err := r.Embed(t.Context(), []string{"x"}); !errors.Is(err, errAnswer) {
			t.Errorf("got %v", err)
		}
		if got := written.Load(); got > 60<<20 {
			t.Errorf("took %d bytes", got)
		}
	}
}

func TestAnAnswerIsMeasuredAfterItIsUncompressed(t *testing.T) {
	spaces := bytes.Repeat([]byte{' '}, 1<<20)
	for megabytes, want := range map[int]error{0: nil, 200: errAnswer} {
		var packed bytes.Buffer // made before it is asked for: the answer has little time
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
		_, _ = io.WriteString(z, `{"data":[{"index":0,"embedding":[1]}]}`)
		for range megabytes {
			_, _ = z.Write(spaces)
		}
		_ = z.Close()
		e := serve(t, func(w http.ResponseWriter, r *http.Request, _ int, _ []string) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Errorf("got Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		})
		r, _, _ := dial(t, e.URL)
		if _, err := r.Query(t.Context(), "x"); !errors.Is(err, want) {
			t.Errorf("%d MiB: got %v, want %v", megabytes, err, want)
		}
	}
}

func TestABusyEndpointIsAskedAgainLater(t *testing.T) {
	for name, c := range map[string]struct {
		failures []int
		after    string
		waits    []time.Duration // the least of each; twice that is the most
		ok       bool
	}{
		"once too much":       {[]int{429}, "", []time.Duration{250e6}, true},
		"asked to wait":       {[]int{429}, "7", []time.Duration{7e9}, true},
		"until a date":        {[]int{503}, "Fri, 01 May 2026 12:00:09 GMT", []time.Duration{9e9}, true},
		"a date long ago":     {[]int{503}, "Fri, 01 May 2020 12:00:09 GMT", []time.Duration{250e6}, true},
		"an unreadable wait":  {[]int{503}, "soon", []time.Duration{250e6}, true},
		"a negative wait":     {[]int{503}, "-5", []time.Duration{250e6}, true},
		"too long a wait":     {[]int{429}, "61", nil, false},
		"an absurd wait":      {[]int{429}, "99999999999", nil, false},
		"broken three times":  {[]int{500, 502, 504}, "", []time.Duration{250e6, 500e6, 1000e6}, true},
		"broken four times":   {[]int{500, 500, 500, 500}, "", []time.Duration{250e6, 500e6, 1000e6}, false},
		"a wrong key":         {[]int{401}, "", nil, false},
		"an unknown model":    {[]int{404}, "1", nil, false},
		"a text it dislikes":  {[]int{400}, "", nil, false},
		"a success of a kind": {[]int{204}, "", nil, false},
	} {
		e := serve(t, func(w http.ResponseWriter, _ *http.Request, n int, texts []string) {
			if n > len(c.failures) {
				reply(w, embedded(texts))
				return
			}
			w.Header().Set("Retry-After", c.after)
			w.WriteHeader(c.failures[n-1])
			_, _ = io.WriteString(w, `{"error":{"message":"`+gossip+`"}}`)
		})
		r, _, waits := dial(t, e.URL)
		_, err := r.Embed(t.Context(), []string{"x"})
		if (err == nil) != c.ok || len(*waits) != len(c.waits) {
			t.Errorf("%s: got %v after waits %v", name, err, *waits)
			continue
		}
		quiet(t, name, r, err)
		for i, least := range c.waits {
			if got := (*waits)[i]; got < least || got > 2*least {
				t.Errorf("%s: wait %d was %v, want about %v", name, i, got, least)
			}
		}
	}
}

func TestEmbedEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int, _ []string) { w.WriteHeader(500) })
	r, _, _ := dial(t, e.URL)
	r.wait = func(ctx context.Context, _ time.Duration) error { cancel(); return sleep(ctx, time.Hour) }
	if _, err := r.Embed(ctx, []string{"x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := sleep(t.Context(), time.Microsecond); err != nil {
		t.Error(err)
	}
}

func TestASilentEndpoint(t *testing.T) {
	release := make(chan struct{})
	e := serve(t, func(w http.ResponseWriter, r *http.Request, n int, _ []string) {
		if n > 1 { // a header, a piece, and then nothing
			w.WriteHeader(200)
			_, _ = io.WriteString(w, `{"data":`)
			w.(http.Flusher).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	r, clock, waits := dial(t, e.URL, func(e *Endpoint) { e.QueryTimeout, e.StoreTimeout = 50*time.Millisecond, 50*time.Millisecond })
	for range 2 {
		_, err := r.Query(t.Context(), "x")
		if !errors.Is(err, errNoAnswer) || r.Available() {
			t.Errorf("got %v, available: %v", err, r.Available())
		}
		clock.add(time.Minute)
	}
	if _, err := r.Embed(t.Context(), []string{"x"}); !errors.Is(err, errNoAnswer) || len(*waits) != maxAttempts-1 {
		t.Errorf("got %v after waits %v", err, *waits)
	}
}

func TestAnEndpointThatIsNotThere(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	defer secure.Close()
	rude := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(c, gossip+"\r\n\r\n")
		_ = c.Close()
	}))
	defer rude.Close()
	for name, url := range map[string]string{
		"nobody listens": closed.URL, "a certificate nobody knows": secure.URL, "no HTTP": rude.URL, "no URL": "::", "no scheme": "h/v1",
		"another scheme": "ftp://127.0.0.1/",
	} {
		r, _, _ := dial(t, url)
		_, err := r.Query(t.Context(), "x")
		if err == nil || r.Available() {
			t.Errorf("%s: got %v", name, err)
		}
		quiet(t, name, r, err)
	}
}

func TestTLSIsNotOlderThan12(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.StartTLS()
	defer s.Close()
	trust := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.MinVersion = tls.VersionTLS10
	r, _, _ := dial(t, s.URL, func(e *Endpoint) { e.TLS = trust })
	if _, err := r.Query(t.Context(), "x"); !errors.Is(err, errNoAnswer) {
		t.Errorf("got %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		e := serve(t, func(w http.ResponseWriter, r *http.Request, _ int, _ []string) {
			http.Redirect(w, r, elsewhere.URL+"/v1/embeddings", status)
		})
		r, _, waits := dial(t, e.URL)
		_, err := r.Query(t.Context(), "x")
		var refused *refusal
		if !errors.As(err, &refused) || refused.status != status {
			t.Errorf("%d: got %v", status, err)
		}
		if _, err := r.Embed(t.Context(), []string{"x"}); err == nil || len(*waits) > 0 {
			t.Errorf("%d: got %v", status, err)
		}
	}
	if got := reached.Load(); got != 0 {
		t.Errorf("%d requests went elsewhere", got)
	}
}

func TestTheProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	r, _, _ := dial(t, "http://192.0.2.1")
	for _, d := range r.doors {
		if d.client.Transport.(*http.Transport).Proxy != nil || d.client.Jar != nil {
			t.Error("has a proxy or cookies")
		}
	}
}

func TestWithoutAKeyNoneIsSent(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got, ok := r.Header["Authorization"]; ok {
			t.Errorf("got Authorization %q", got)
		}
		reply(w, embedded([]string{"x"}))
	}))
	defer s.Close()
	r, _, _ := dial(t, s.URL, func(e *Endpoint) { e.Key = secret.New(" ") })
	if _, err := r.Query(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

func TestAQueryIsPaidOnce(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, n int, texts []string) {
		if n > 2 {
			w.WriteHeader(500)
			return
		}
		time.Sleep(20 * time.Millisecond) // so that the others come meanwhile
		reply(w, embedded(texts))
	})
	r, _, _ := dial(t, e.URL)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			v, err := r.Query(t.Context(), " weather ")
			if err != nil {
				t.Error(err)
				return
			}
			sound(t, v, 3)
			v[0] = 7 // is the caller's own
		})
	}
	all.Wait()
	if got := e.asked(); len(got) != 1 || got[0][0] != "weather" {
		t.Errorf("asked %q", got)
	}
	if _, err := r.Query(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	if _, err := r.Query(t.Context(), "third"); err == nil || r.Available() {
		t.Error("want it down")
	}
	if v, err := r.Query(t.Context(), "weather"); err != nil || length(v) < 0.999 || v[0] > 1 {
		t.Errorf("what is known is not served while the endpoint is down: %v, %v", v, err)
	}
}

func TestQueriesFailAtOnceWhileTheEndpointIsDownAndRecover(t *testing.T) {
	status := atomic.Int64{}
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int, texts []string) {
		if s := status.Load(); s != 0 {
			w.WriteHeader(int(s))
			return
		}
		reply(w, embedded(texts))
	})
	r, clock, _ := dial(t, e.URL)
	n := 0
	query := func() error { n++; _, err := r.Query(t.Context(), fmt.Sprint("query ", n)); return err }
	step := func(what string, err error, want error, asked int, available bool) {
		t.Helper()
		if !errors.Is(err, want) || (err == nil) != (want == nil) || len(e.asked()) != asked || r.Available() != available {
			t.Errorf("%s: got %v, asked %d times, available: %v; want %v, %d, %v", what, err, len(e.asked()), r.Available(), want, asked, available)
		}
	}
	var refused *refusal
	step("at first", query(), nil, 1, true)
	status.Store(503)
	if err := query(); !errors.As(err, &refused) || refused.status != 503 {
		t.Errorf("got %v", err)
	}
	step("right after", query(), ErrDown, 2, false)
	clock.add(4999 * time.Millisecond)
	step("before the pause is over", query(), ErrDown, 2, false)
	clock.add(time.Millisecond)
	if err := query(); !errors.As(err, &refused) {
		t.Errorf("the trial: got %v", err)
	}
	step("after a trial in vain", query(), ErrDown, 3, false)
	clock.add(-time.Hour)
	status.Store(0)
	step("after the clock was set back", query(), nil, 4, true)
	status.Store(401)
	if err := query(); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	step("a key that is refused", query(), ErrDown, 5, false)
	status.Store(0)
	if _, err := r.Embed(t.Context(), []string{"x"}); err != nil {
		t.Error(err)
	}
	step("work in the background ends it", query(), nil, 7, true)
	status.Store(400)
	if err := query(); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	if err := query(); !errors.As(err, &refused) || !r.Available() {
		t.Errorf("one query that the endpoint dislikes shuts out the others: %v", err)
	}
}

func TestOneQueryTriesForAll(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	e := serve(t, func(w http.ResponseWriter, _ *http.Request, n int, texts []string) {
		if n == 1 {
			w.WriteHeader(500)
			return
		}
		arrived <- struct{}{}
		<-release
		reply(w, embedded(texts))
	})
	r, clock, _ := dial(t, e.URL)
	if _, err := r.Query(t.Context(), "x"); err == nil {
		t.Error("want it down")
	}
	clock.add(time.Minute)
	done := make(chan error)
	go func() { _, err := r.Query(t.Context(), "y"); done <- err }()
	<-arrived
	for i := range 10 {
		if _, err := r.Query(t.Context(), fmt.Sprint(i)); !errors.Is(err, ErrDown) {
			t.Errorf("got %v", err)
		}
	}
	close(release)
	if err := <-done; err != nil || !r.Available() {
		t.Errorf("got %v", err)
	}
}

func TestACallerWhoLeavesSaysNothingAboutTheEndpoint(t *testing.T) {
	arrived := make(chan struct{})
	e := serve(t, func(w http.ResponseWriter, r *http.Request, n int, texts []string) {
		if n == 1 || n == 3 {
			arrived <- struct{}{}
			<-r.Context().Done()
			return
		}
		if n == 2 {
			w.WriteHeader(500)
			return
		}
		reply(w, embedded(texts))
	})
	r, clock, _ := dial(t, e.URL)
	leave := func() {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		if _, err := r.Query(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	leave()
	if !r.Available() {
		t.Error("shut by a caller who left")
	}
	_, _ = r.Query(t.Context(), "x")
	clock.add(time.Minute)
	leave() // as the one who tried
	if _, err := r.Query(t.Context(), "x"); err != nil || !r.Available() {
		t.Errorf("got %v, available: %v", err, r.Available())
	}
}

func FuzzPlausible(f *testing.F) {
	for _, body := range []string{`{"data":[{"index":0,"embedding":[1,-2e3]}],"usage":{"x":null}}`, `[null]`, `{"a\"[":"\\"}`, `[[[[[[[`, `"`, `]`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if plausible(body) && json.Valid(body) {
			var v any
			if err := json.Unmarshal(body, &v); err != nil {
				return // a number too large
			}
			bounded(t, v, 0)
		}
	})
}

// bounded wants of a value what plausible promises.
func bounded(t *testing.T, v any, depth int) {
	t.Helper()
	if depth > maxNesting {
		t.Errorf("nested %d deep", depth)
	}
	switch v := v.(type) {
	case []any:
		if len(v) > maxDim || slices.Contains(v, nil) {
			t.Errorf("an array of %d, or with a null: %v", len(v), v)
		}
		for _, x := range v {
			bounded(t, x, depth+1)
		}
	case map[string]any:
		for _, x := range v {
			bounded(t, x, depth+1)
		}
	}
}
