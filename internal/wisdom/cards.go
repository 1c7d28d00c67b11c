package wisdom

import (
	"context"
	"errors"
	"net/http"

	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/wisdom/a2a"
)

// cardFetcher is how package a2a reaches the servers of cards.
type cardFetcher struct{ client *egress.Client }

var _ a2a.Fetcher = cardFetcher{}

// Fetch implements a2a.Fetcher. The caller's context bounds the time.
func (f cardFetcher) Fetch(ctx context.Context, url string, limit int64) (int, []byte, error) {
	response, err := f.client.Do(ctx, egress.Request{Method: http.MethodGet, URL: url, MaxBody: limit, Header: http.Header{"Accept": {"application/json"}}})
	if errors.Is(err, egress.ErrTooLarge) {
		err = a2a.ErrTooLarge
	}
	if err != nil {
		return 0, nil, err
	}
	return response.Status, response.Body, nil
}
