package a2a

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

func TestTheCardIsLookedForInTheOrderOfTheContract(t *testing.T) {
	below := func(base, query string) []string {
		return []string{base + "/.well-known/agent-card.json" + query, base + "/.well-known/agent.json" + query, base + "/agent.json" + query, base + "/a2a/agent-card" + query}
	}
	with := func(first string, rest []string) []string { return append([]string{first}, rest...) }
	for _, tc := range []struct {
		url  string
		want []string
	}{
		{"https://a.example.org", below("https://a.example.org", "")},
		{"https://a.example.org///", below("https://a.example.org", "")},
		{"https://a.example.org/x/", below("https://a.example.org/x", "")},
		{"https://a.example.org/x/card.json", with("https://a.example.org/x/card.json", below("https://a.example.org/x/card.json", ""))},
		{"https://a.example.org/x/agent-card", with("https://a.example.org/x/agent-card", below("https://a.example.org/x/agent-card", ""))},
		{"https://a.example.org/my-agent-card", below("https://a.example.org/my-agent-card", "")},
		{"https://a.example.org/x?k=v.json", below("https://a.example.org/x", "?k=v.json")},
		{"https://a.example.org/x.json?k=/v", with("https://a.example.org/x.json?k=/v", below("https://a.example.org/x.json", "?k=/v"))},
		{"https://a.example.org/" + strings.Repeat("x", 2048-42), []string{"https://a.example.org/" + strings.Repeat("x", 2048-42) + "/agent.json",
			"https://a.example.org/" + strings.Repeat("x", 2048-42) + "/a2a/agent-card"}},
	} {
		if got := places(tc.url); !slices.Equal(got, tc.want) {
			t.Errorf("%.60s:\ngot  %q\nwant %q", tc.url, got, tc.want)
		}
	}
}

func TestARefreshBeginsWhereTheCardWas(t *testing.T) {
	for url, want := range map[string][]string{
		"https://a.example.org/x/agent.json?k=v": {"https://a.example.org/x/agent.json?k=v", "https://a.example.org/x/.well-known/agent-card.json?k=v",
			"https://a.example.org/x/.well-known/agent.json?k=v", "https://a.example.org/x/a2a/agent-card?k=v"},
		"https://a.example.org/.well-known/agent.json": {"https://a.example.org/.well-known/agent.json", "https://a.example.org/.well-known/agent-card.json",
			"https://a.example.org/agent.json", "https://a.example.org/a2a/agent-card"},
		"https://a.example.org/own.json": {"https://a.example.org/own.json"},
	} {
		if got := placesAgain(url); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", url, got, want)
		}
	}
}

func TestOneCardHasOneSpelling(t *testing.T) {
	for _, tc := range [][2]string{
		{"HTTPS://A.Example.ORG./x/Y.json", "https://a.example.org/x/Y.json"}, {"https://a.example.org:443/x", "https://a.example.org/x"},
		{"http://a.example.org:80/x", "http://a.example.org/x"}, {"http://a.example.org:443/x", "http://a.example.org:443/x"},
		{"https://bücher.example/x", "https://xn--bcher-kva.example/x"}, {"https://a.example.org:8443/%2e/x?a=%20", "https://a.example.org:8443/%2E/x?a=%20"},
		{"https://[2001:DB8::1]/x", "https://[2001:db8::1]/x"}, {"https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"},
		{"https://[2001:db8:0:0:0:0:0:1]/x", "https://[2001:db8::1]/x"}, {"https://a.example.org/é.json?k=%c3%a9%2f", "https://a.example.org/%C3%A9.json?k=%C3%A9%2F"},
		{"https://a.example.org/%61gent%2fx", "https://a.example.org/agent%2Fx"}, {"https://a.example.org/x?", "https://a.example.org/x"}, {"https://a.example.org", "https://a.example.org/"},
	} {
		got := identity(tc[0])
		if got != tc[1] || identity(got) != got {
			t.Errorf("%s: got %s, then %s, want %s", tc[0], got, identity(got), tc[1])
		}
	}
}

// internet is a Fetcher and URLs. What it does not have does not answer.
type internet struct {
	mu      sync.Mutex
	pages   map[string]page
	asked   []string
	checked []string
	most    int // largest number of requests at a time
	now     int
}

type page struct {
	status int
	body   string
	err    error
	takes  time.Duration
}

var errRefused = fault.New(fault.BadRequest, "unsafe_url", "no")

func (n *internet) Check(_ context.Context, url string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.checked = append(n.checked, url)
	if strings.Contains(url, "forbidden") {
		return errRefused
	}
	return nil
}

func (n *internet) Fetch(ctx context.Context, url string, limit int64) (int, []byte, error) {
	n.mu.Lock()
	n.asked = append(n.asked, url)
	n.now++
	n.most = max(n.most, n.now)
	p, ok := n.pages[url]
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.now--
		n.mu.Unlock()
	}()
	if !ok {
		p.err = errors.New("connection refused by 192.0.2.1")
	}
	select {
	case <-time.After(p.takes):
	case <-ctx.Done():
		return 0, nil, errors.New("too slow")
	}
	if p.err == nil && int64(len(p.body)) > limit {
		return 0, nil, fmt.Errorf("read: %w", ErrTooLarge)
	}
	return p.status, []byte(p.body), p.err
}

func newService(n *internet) *Service {
	return New(Config{URLs: n, Fetcher: n, Log: slog.New(slog.DiscardHandler)})
}

const base = "https://a.example.org"

func TestTheFirstCardIsTaken(t *testing.T) {
	whole := `{"name": "` + strings.Repeat("x", maxCard-len(`{"name": ""}`)) + `"}`
	for _, tc := range []struct {
		name  string
		pages map[string]page
		place string // empty: card_not_found
		why   string
	}{
		{"the first place", map[string]page{base + "/.well-known/agent-card.json": {200, `{"name": "a"}`, nil, 0}}, base + "/.well-known/agent-card.json", ""},
		{"the last place", map[string]page{base + "/a2a/agent-card": {200, `{"skills": []}`, nil, 0}}, base + "/a2a/agent-card", ""},
		{"after a page", map[string]page{base + "/.well-known/agent-card.json": {200, `<html>`, nil, 0}, base + "/agent.json": {200, `{"name": "a"}`, nil, 0}}, base + "/agent.json", ""},
		{"after another object", map[string]page{base + "/.well-known/agent.json": {200, `{"error": "x"}`, nil, 0}, base + "/agent.json": {200, `{"name": "a"}`, nil, 0}}, base + "/agent.json", ""},
		{"after a redirect", map[string]page{base + "/.well-known/agent.json": {302, `{"name": "b"}`, nil, 0}, base + "/agent.json": {200, `{"name": "a"}`, nil, 0}}, base + "/agent.json", ""},
		{"of 256 KiB", map[string]page{base + "/agent.json": {200, whole, nil, 0}}, base + "/agent.json", ""},
		{"of one byte more", map[string]page{base + "/agent.json": {200, whole + " ", nil, 0}}, "", "larger than 262144 bytes"},
		{"nowhere", nil, "", "nothing answered"},
		{"with another status", map[string]page{base + "/agent.json": {201, `{"name": "a"}`, nil, 0}}, "", "redirects are not followed"},
		{"a page only", map[string]page{base + "/agent.json": {200, `<html>`, nil, 0}, base + "/a2a/agent-card": {404, "", nil, 0}}, "", "not a JSON object"},
	} {
		f, err := newService(&internet{pages: tc.pages}).find(t.Context(), base, places(base))
		if tc.place != "" {
			if err != nil || f.url != tc.place {
				t.Errorf("%s: %q, %v, want %q", tc.name, f.url, err, tc.place)
			}
			continue
		}
		if refused := fault.As(err); refused == nil || refused.Code != "card_not_found" || !strings.Contains(refused.Detail, tc.why) || strings.Contains(refused.Detail, "192.0.2.1") {
			t.Errorf("%s: %v, want card_not_found, %s", tc.name, err, tc.why)
		}
	}
}

func TestNothingIsAskedBehindAForbiddenURL(t *testing.T) {
	n := &internet{}
	_, err := newService(n).find(t.Context(), "https://forbidden.example.org", places("https://forbidden.example.org"))
	if !fault.HasCode(err, "unsafe_url") || len(n.asked) != 0 {
		t.Errorf("%v after %q", err, n.asked)
	}
	// One that only the dial recognises ends the search: the others have the same host.
	n = &internet{pages: map[string]page{base + "/.well-known/agent-card.json": {err: fmt.Errorf("dial: %w", errRefused)}, base + "/agent.json": {200, `{"name": "a"}`, nil, 0}}}
	_, err = newService(n).find(t.Context(), base, places(base))
	if !fault.HasCode(err, "unsafe_url") || len(n.asked) != 1 {
		t.Errorf("%v after %q", err, n.asked)
	}
}

func TestACardThatNamesAForbiddenEndpointIsRefused(t *testing.T) {
	n := &internet{pages: map[string]page{base + "/agent.json": {200, `{"name": "a", "url": "https://forbidden.example.org/rpc"}`, nil, 0}}}
	s := newService(n)
	if _, err := s.Preview(t.Context(), base); !fault.HasCode(err, "unsafe_url") {
		t.Errorf("preview: %v", err)
	}
	if _, err := s.Import(t.Context(), principal.Principal{}, base, nil); !fault.HasCode(err, "unsafe_url") {
		t.Errorf("import: %v", err)
	}
}

func TestAllPlacesTogetherHaveTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &internet{pages: map[string]page{base + "/.well-known/agent-card.json": {status: 404, takes: 6 * time.Second}, base + "/.well-known/agent.json": {status: 404, takes: 6 * time.Second},
			base + "/agent.json": {200, `{"name": "a"}`, nil, 0}}}
		began := time.Now()
		_, _, err := newService(n).read(t.Context(), base, places(base), base)
		if f := fault.As(err); f == nil || f.Code != "card_not_found" || !strings.Contains(f.Detail, "within 10 seconds") || time.Since(began) != 10*time.Second || len(n.asked) != 2 {
			t.Errorf("%v after %v and %q", err, time.Since(began), n.asked)
		}
	})
}

func TestAClientThatLeavesEndsTheSearch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := &internet{pages: map[string]page{base + "/agent.json": {takes: time.Hour}}}
	if _, err := newService(n).find(ctx, base, places(base)); !errors.Is(err, context.Canceled) || len(n.asked) > 1 {
		t.Errorf("%v after %q", err, n.asked)
	}
}

// All of these fail before anything is stored: the registry of the service is missing.
func TestABatchIsFourAtATimeAndTwentyFiveSecondsInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &internet{pages: map[string]page{}}
		var urls []string
		for i := range 20 {
			url := fmt.Sprintf("https://a%d.example.org/card.json", i)
			urls = append(urls, url)
			n.pages[url] = page{takes: 9 * time.Second, status: 200, body: `{"name": 1}`}
		}
		urls[1] = "https://forbidden.example.org"
		began := time.Now()
		results := newService(n).ImportAll(t.Context(), principal.Principal{}, urls)
		if took := time.Since(began); took != 25*time.Second || n.most != 4 {
			t.Errorf("took %v, %d at a time", took, n.most)
		}
		codes := map[string]int{}
		for i, r := range results {
			if r.URL != urls[i] || r.Fault == nil {
				t.Fatalf("result %d: %+v", i, r)
			}
			codes[r.Fault.Code]++
			if r.Fault.Code == "card_not_found" && !strings.Contains(r.Fault.Detail, "25 seconds") {
				t.Errorf("result %d: %s", i, r.Fault.Detail)
			}
		}
		if results[1].Fault.Code != "unsafe_url" || codes["card_invalid"] != 8 || codes["card_not_found"] != 11 {
			t.Errorf("codes %v, the second %s", codes, results[1].Fault.Code)
		}
	})
}
