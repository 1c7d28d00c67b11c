package embedding

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/sashabaranov/go-openai"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

const (
	maxBatch      = 64        // texts per request
	maxBatchBytes = 256 << 10 // of all texts of a request

	maxAttempts = 4
	firstDelay  = 500 * time.Millisecond // before the second attempt; doubles
	longestWait = time.Minute            // a Retry-After above it ends the attempts

	cachedQueries = 8 << 20 // bytes

	storeConnections, queryConnections = 8, 32
	// An answer: 24 bytes per number are more than any float64 needs as text.
	storeAnswer = 64<<10 + maxBatch*maxDim*24
	queryAnswer = 64<<10 + maxDim*24
)

// lengths are the bytes of a text that are sent, the next after the endpoint refused
// the one before. A tokenizer makes at most one token of a byte, and models read 8191
// or 512 tokens, of which English takes three bytes or more.
var lengths = [...]int{8000, 1400}

// ErrDown is the error of a query while the endpoint is known to be down.
var ErrDown = errors.New("the embedding endpoint is down")

// Endpoint says where and how to ask.
type Endpoint struct {
	// BaseURL is http or https. "/embeddings" is put behind it, as is usual for it; a
	// URL without a path gets "/v1" first, and one that has "/embeddings" already
	// keeps it. So "http://host", "http://host/v1/" and "http://host/v1/embeddings"
	// are the same.
	BaseURL string
	Key     secret.String // sent as a Bearer token; blank: none
	Model   string        // as the endpoint calls it

	StoreTimeout time.Duration // for each attempt of Embed; 0 means 30 s
	QueryTimeout time.Duration // for the only attempt of Query; 0 means 3 s
	Pause        time.Duration // after a failure, in which queries fail at once; 0 means 5 s
	TLS          *tls.Config   // nil: the system's roots; never below TLS 1.2
	Now          clock.Now     // nil means the machine's clock
}

// Remote embeds by an endpoint that speaks OpenAI's embeddings API. Its errors and
// what it prints contain neither the key nor anything that the endpoint wrote. A
// Remote is safe for concurrent use.
type Remote struct {
	model        openai.EmbeddingModel
	space        string
	store, query *openai.Client
	doors        [2]*door
	storeTimeout time.Duration
	queryTimeout time.Duration
	wait         func(context.Context, time.Duration) error

	breaker breaker
	queries *otter.Cache[[sha256.Size]byte, []float32]
	dim     atomic.Int64 // of all vectors, once there was one
}

// Before returns what asks the same endpoint for the vectors of a space that was used
// before, nil if the space is not of this endpoint.
func (e Endpoint) Before(space string) *Remote {
	name, found := strings.CutPrefix(space, "openai:")
	at := strings.LastIndexByte(name, '@')
	if !found || at < 0 {
		return nil
	}
	e.Model = name[:at]
	if before := NewEndpoint(e); before.Model() == space {
		return before
	}
	return nil
}

// NewEndpoint opens no connection.
func NewEndpoint(e Endpoint) *Remote {
	if e.Now == nil {
		e.Now = clock.System
	}
	base := baseURL(e.BaseURL)
	digest := sha256.Sum256([]byte(base))
	store, query := newDoor(&e, storeConnections, storeAnswer), newDoor(&e, queryConnections, queryAnswer)
	return &Remote{
		model: openai.EmbeddingModel(e.Model),
		space: "openai:" + e.Model + "@" + hex.EncodeToString(digest[:6]),
		store: newClient(base, store), query: newClient(base, query), doors: [2]*door{store, query},
		storeTimeout: orElse(e.StoreTimeout, 30*time.Second),
		queryTimeout: orElse(e.QueryTimeout, 3*time.Second),
		wait:         sleep,
		breaker:      breaker{now: e.Now, pause: orElse(e.Pause, 5*time.Second)},
		queries: otter.Must(&otter.Options[[sha256.Size]byte, []float32]{
			MaximumWeight: cachedQueries,
			Weigher:       func(_ [sha256.Size]byte, v []float32) uint32 { return uint32(128 + 4*len(v)) },
		}),
	}
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

func newClient(base string, d *door) *openai.Client {
	c := openai.DefaultConfig("") // the key is added by the door
	c.BaseURL, c.HTTPClient = base, d
	return openai.NewClientWithConfig(c)
}

// baseURL is what "/embeddings" is put behind.
func baseURL(raw string) string {
	base := strings.TrimRight(raw, "/")
	base = strings.TrimRight(strings.TrimSuffix(base, "/embeddings"), "/")
	if u, err := url.Parse(base); err == nil && u.Host != "" && u.Path == "" {
		base += "/v1"
	}
	return base
}

// Model implements Embedder. It has the name of the model and a digest of the base
// URL: the same name means something else elsewhere.
func (r *Remote) Model() string { return r.space }

// String is Model, so that printing a Remote shows nothing else.
func (r *Remote) String() string { return r.space }

// Available reports whether the last exchange worked, true before the first.
func (r *Remote) Available() bool { return r.breaker.closed() }

// Close closes idle connections.
func (r *Remote) Close() {
	for _, d := range r.doors {
		d.client.CloseIdleConnections()
	}
}

// Embed implements Embedder: in batches, each tried again after a while if the
// endpoint is overloaded or does not answer. A blank text is not sent; its vector is
// as long as the others, or empty if this Remote has not seen any vector yet.
func (r *Remote) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	var batch []string
	var places []int
	flush := func() error {
		found, err := r.persist(ctx, batch)
		if err != nil {
			return fmt.Errorf("embed texts %d to %d of %d: %w", places[0]+1, places[len(places)-1]+1, len(texts), err)
		}
		for i, v := range found {
			vectors[places[i]] = v
		}
		batch, places = batch[:0], places[:0]
		return nil
	}
	size := 0
	for i, text := range texts {
		if text = prepare(text); text == "" {
			continue
		}
		if len(batch) == maxBatch || len(batch) > 0 && size+len(text) > maxBatchBytes {
			if err := flush(); err != nil {
				return nil, err
			}
			size = 0
		}
		batch, places, size = append(batch, text), append(places, i), size+len(text)
	}
	if len(batch) > 0 {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	for i := range vectors {
		if vectors[i] == nil {
			vectors[i] = make([]float32, r.dim.Load())
		}
	}
	return vectors, nil
}

// Query implements Querier: one attempt, none while the endpoint is known to be down
// (ErrDown). The vectors of recent queries are remembered.
func (r *Remote) Query(ctx context.Context, text string) ([]float32, error) {
	text = prepare(text)
	if text == "" {
		return make([]float32, r.dim.Load()), nil
	}
	v, err := r.queries.Get(ctx, sha256.Sum256([]byte(text)), otter.LoaderFunc[[sha256.Size]byte, []float32](
		func(ctx context.Context, _ [sha256.Size]byte) ([]float32, error) { return r.ask(ctx, text) }))
	if err != nil {
		return nil, fmt.Errorf("embed a query: %w", err)
	}
	return slices.Clone(v), nil
}

func (r *Remote) ask(ctx context.Context, text string) ([]float32, error) {
	ok, trial := r.breaker.enter()
	if !ok {
		return nil, ErrDown
	}
	if trial {
		defer r.breaker.leave()
	}
	vectors, err := r.attempt(ctx, r.query, r.queryTimeout, []string{text})
	if err != nil {
		return nil, err
	}
	return vectors[0], nil
}

// prepare is text as it is sent.
func prepare(text string) string {
	return cut(strings.TrimSpace(strings.ToValidUTF8(text, "")), lengths[0])
}

// persist is attempt until it succeeds, the error will not pass, or there were enough.
func (r *Remote) persist(ctx context.Context, texts []string) ([][]float32, error) {
	delay := firstDelay
	for n := 1; ; n++ {
		vectors, err := r.attempt(ctx, r.store, r.storeTimeout, texts)
		if err == nil || n == maxAttempts || ctx.Err() != nil || !passes(err) {
			return vectors, err
		}
		wait := delay/2 + rand.N(delay/2)
		var refused *refusal
		if errors.As(err, &refused) {
			wait = max(wait, refused.after)
		}
		if wait > longestWait {
			return nil, err
		}
		if waitErr := r.wait(ctx, wait); waitErr != nil {
			return nil, fmt.Errorf("%w, after: %w", waitErr, err)
		}
		delay *= 2
	}
}

// passes reports whether the same request may succeed later.
func passes(err error) bool {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.status == http.StatusTooManyRequests || refused.status >= 500
	}
	return errors.Is(err, errNoAnswer)
}

// Refused reports whether the endpoint works but did not like the texts, of which the
// usual reason is their length. One such text fails the whole call of Embed.
func Refused(err error) bool {
	var refused *refusal
	return errors.As(err, &refused) && slices.Contains(
		[]int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}, refused.status)
}

// attempt asks once, and once more with shorter texts if these were refused. The
// breaker learns how it went, unless that says nothing about the endpoint.
func (r *Remote) attempt(ctx context.Context, client *openai.Client, timeout time.Duration, texts []string) ([][]float32, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	vectors, err := r.exchange(limited, client, texts)
	if Refused(err) {
		if shorter, changed := shorten(texts, lengths[1]); changed {
			vectors, err = r.exchange(limited, client, shorter)
		}
	}
	if err == nil || !errors.Is(ctx.Err(), context.Canceled) {
		r.breaker.report(err == nil || Refused(err))
	}
	return vectors, err
}

func shorten(texts []string, n int) (shorter []string, changed bool) {
	shorter = make([]string, len(texts))
	for i, text := range texts {
		shorter[i] = cut(text, n)
		changed = changed || len(shorter[i]) < len(text)
	}
	return shorter, changed
}

func (r *Remote) exchange(ctx context.Context, client *openai.Client, texts []string) ([][]float32, error) {
	answer, err := client.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{Input: texts, Model: r.model})
	var refused *refusal
	switch {
	case err == nil:
		return r.vectors(answer.Data, len(texts))
	case errors.As(err, &refused), errors.Is(err, errNoAnswer):
		return nil, err
	}
	return nil, errAnswer // a text of the decoder, which quotes
}

// vectors puts the embeddings in the order of the n texts and checks them: each text
// has exactly one, all have one dimension, now and since the first answer, and a
// direction.
func (r *Remote) vectors(data []openai.Embedding, n int) ([][]float32, error) {
	if len(data) != n {
		return nil, fmt.Errorf("%w: %d vectors for %d texts", errAnswer, len(data), n)
	}
	dim := len(data[0].Embedding)
	if dim < 1 || dim > maxDim {
		return nil, fmt.Errorf("%w: a vector of %d numbers", errAnswer, dim)
	}
	vectors := make([][]float32, n)
	for _, d := range data {
		switch {
		case d.Index < 0 || d.Index >= n || vectors[d.Index] != nil:
			return nil, fmt.Errorf("%w: the indexes are not those of the texts", errAnswer)
		case len(d.Embedding) != dim:
			return nil, fmt.Errorf("%w: vectors of %d and of %d numbers", errAnswer, dim, len(d.Embedding))
		case !normalise(d.Embedding):
			return nil, fmt.Errorf("%w: a vector without direction", errAnswer)
		}
		vectors[d.Index] = d.Embedding
	}
	if !r.dim.CompareAndSwap(0, int64(dim)) && r.dim.Load() != int64(dim) {
		return nil, fmt.Errorf("%w: vectors of %d numbers, before it were %d", errAnswer, dim, r.dim.Load())
	}
	return vectors, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
