// Package a2a decides about agents that speak the A2A protocol: where the card of one
// is looked for, what of a card becomes an agent of the registry, and what a message
// sent to one of our agents by that protocol asks for (contract §8).
//
// Cards and messages are read into the types of the official Go modules, one for each
// generation of the protocol. Nothing else of the modules is used: their clients would
// dial by themselves, and one place only may dial what a user wrote.
//
// What is not here: the wire shape of the cards that we serve (httpapi), storing an
// agent (registry), sending a request (the Fetcher), running an invocation (the Broker),
// and who may say what to whom in a network (Networks).
package a2a

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// Bounds of contract §8.2 and §8.3.
const (
	fetchTime = 10 * time.Second // all places where one card may be
	batchTime = 25 * time.Second
	batchSize = 4 // cards read at a time for one batch
)

// Fetcher gets what is behind a URL that a user or a card named: GET, asking for JSON,
// without following redirects.
type Fetcher interface {
	// Fetch returns the status and the body, of at most limit bytes. A URL that may
	// not be contacted is a fault; a longer body is ErrTooLarge.
	Fetch(ctx context.Context, url string, limit int64) (status int, body []byte, err error)
}

// ErrTooLarge is what a Fetcher returns for a body over the limit.
var ErrTooLarge = errors.New("the answer is larger than allowed")

// Config is what a Service works with.
type Config struct {
	Registry *registry.Service
	URLs     registry.URLs
	Fetcher  Fetcher
	Broker   Broker // nil: messages are answered with an error
	Networks Networks
	Log      *slog.Logger
}

// Service imports cards and answers messages. It is safe for concurrent use.
type Service struct{ c Config }

// New returns the service.
func New(c Config) *Service { return &Service{c} }

// Import registers the agent whose card is at rawURL, or near it, for p's user. If the
// user has imported that card before, the agent of then is updated in place and keeps
// its agent_id. visibility nil means public for a new agent, and no change for another.
//
// Faults: unsafe_url for the URL and for the endpoint that the card names,
// card_not_found, card_invalid. With any of them nothing is stored.
func (s *Service) Import(ctx context.Context, p principal.Principal, rawURL string, visibility *string) (registry.Agent, error) {
	f, i, err := s.read(ctx, rawURL, places(rawURL), rawURL)
	if err != nil {
		return registry.Agent{}, err
	}
	return s.c.Registry.Import(ctx, p, identity(f.url), i, visibility)
}

// imported is the agent that a found card describes. given is its endpoint if the card
// names none.
func (s *Service) imported(ctx context.Context, f found, given string) (registry.Imported, error) {
	i := f.card.imported(given)
	if err := s.c.URLs.Check(ctx, i.Endpoint); err != nil {
		return registry.Imported{}, fmt.Errorf("check the endpoint of a card: %w", err)
	}
	return i, nil
}

// Result is what became of one URL of a batch: an agent, or a fault.
type Result struct {
	URL   string
	Agent registry.Agent
	Fault *fault.Error
}

// ImportAll is Import for several URLs, four at a time. The results are in the order of
// urls. What is not done after 25 seconds is card_not_found.
func (s *Service) ImportAll(ctx context.Context, p principal.Principal, urls []string) []Result {
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	results := make([]Result, len(urls))
	var group errgroup.Group
	group.SetLimit(batchSize)
	for i, rawURL := range urls {
		group.Go(func() error {
			results[i] = s.importOne(ctx, p, rawURL)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	return results
}

func (s *Service) importOne(ctx context.Context, p principal.Principal, rawURL string) Result {
	a, err := s.Import(ctx, p, rawURL, nil)
	f := fault.As(err)
	switch {
	case err == nil || f != nil:
	case ctx.Err() != nil:
		f = notFound(missBatch)
	default:
		f = fault.New(fault.Internal, "internal_error", "Internal error")
		s.c.Log.LogAttrs(ctx, slog.LevelError, "a card of a batch was not imported", slog.String("request_id", p.Request), slog.String("error", err.Error()))
	}
	return Result{URL: rawURL, Agent: a, Fault: f}
}

// Refresh reads the card of p's imported agent again and updates the agent, whatever
// the card now names as its endpoint. The card is looked for where it was found, then
// at the other places of the same base.
//
// Faults: NotFound if the agent is not p's, bad_request if it is no import, and those
// of Import. With any of them nothing changes.
func (s *Service) Refresh(ctx context.Context, p principal.Principal, slug string) (registry.Agent, error) {
	return s.c.Registry.Refresh(ctx, p, slug, func(a registry.Agent) (registry.Imported, error) {
		if a.CardURL == nil || a.Endpoint == nil {
			return registry.Imported{}, fault.New(fault.BadRequest, "bad_request", "this agent was not imported from a card")
		}
		_, i, err := s.read(ctx, *a.CardURL, placesAgain(*a.CardURL), *a.Endpoint)
		return i, err
	})
}

// Preview returns the card that Import would read for rawURL, a JSON object as it was
// served. Faults: those of Import.
func (s *Service) Preview(ctx context.Context, rawURL string) ([]byte, error) {
	f, _, err := s.read(ctx, rawURL, places(rawURL), rawURL)
	if err != nil {
		return nil, err
	}
	return f.text, nil
}

// Agent returns the agent whose card anybody may read: public and active. Everything
// else is NotFound.
func (s *Service) Agent(ctx context.Context, slug string) (registry.Agent, error) {
	a, err := s.c.Registry.Agent(ctx, principal.Principal{}, slug)
	if err == nil && (!a.Active || a.Visibility != registry.Public) {
		err = fault.Missing("Agent")
	}
	if err != nil {
		return registry.Agent{}, fmt.Errorf("read a card: %w", err)
	}
	return a, nil
}

// Agents lists the active agents that p may see, newest first.
func (s *Service) Agents(ctx context.Context, p principal.Principal, limit, offset int) ([]registry.Agent, error) {
	return s.c.Registry.List(ctx, p, registry.Query{Limit: limit, Offset: offset})
}
