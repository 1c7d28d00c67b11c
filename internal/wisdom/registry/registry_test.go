package registry

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

func TestASlugComesFromTheName(t *testing.T) {
	for name, want := range map[string]string{
		"Weather Oracle":                         "weather-oracle",
		"  --Hello,   World!! ":                  "hello-world",
		"ÄÖÜ":                                    "agent",
		"Café 24":                                "caf-24",
		"---":                                    "agent",
		"a":                                      "a",
		"\u212A2":                                "k2", // the Kelvin sign in lower case is k
		strings.Repeat("x", 60):                  strings.Repeat("x", 40),
		strings.Repeat("x", 39) + " " + "tail":   strings.Repeat("x", 39),
		strings.Repeat("x", 38) + " " + "y tail": strings.Repeat("x", 38) + "-y",
	} {
		if got := slugBase(name); got != want {
			t.Errorf("slugBase(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestEverySlugHasTheFormOfTheContract(t *testing.T) {
	form := regexp.MustCompile(`^(a2a-|entity-)?[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{8}$`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9 _.-]{0,80}`)).Draw(t, "name")
		prefix := rapid.SampledFrom([]string{"", "a2a-", "entity-"}).Draw(t, "prefix")
		slug := newSlug(prefix, name)
		base := strings.TrimPrefix(slug, prefix)
		base = base[:max(len(base)-9, 0)]
		if !form.MatchString(slug) || len(slug) > 64 || !strings.HasPrefix(slug, prefix) || len(base) > 40 {
			t.Fatalf("slug of %q is %q", name, slug)
		}
		// The base is what the rule says, computed in another way.
		want := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-")
		want = strings.Trim(want[:min(len(want), 40)], "-")
		if want == "" {
			want = "agent"
		}
		if base != want {
			t.Fatalf("base of %q is %q, want %q", name, base, want)
		}
	})
}

func TestFoldedTextsAreEqualIfOnlyCaseDiffers(t *testing.T) {
	for _, pair := range [][2]string{{"École", "éCOLE"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"\u212Aelvin", "kELVIN"}, {"ſ", "S"}, {"Ünicode", "üNICODE"}} {
		if Fold(pair[0]) != Fold(pair[1]) {
			t.Errorf("Fold(%q) = %q, Fold(%q) = %q, want equal", pair[0], Fold(pair[0]), pair[1], Fold(pair[1]))
		}
	}
	letters := rapid.StringOf(rapid.RuneFrom([]rune("aAbBkK\u212AsSſßẞéÉσςΣİıiIǅǆǄж Ж1%_\\")))
	rapid.Check(t, func(t *rapid.T) {
		a, b := letters.Draw(t, "a"), letters.Draw(t, "b")
		if got, want := Fold(a) == Fold(b), strings.EqualFold(a, b); got != want {
			t.Fatalf("%q and %q: folded equal %v, want %v", a, b, got, want)
		}
		if !strings.Contains(Fold(a+b+a), Fold(b)) {
			t.Fatalf("folded %q does not contain folded %q", a+b+a, b)
		}
	})
}

func TestOrdersFallBackToTheDefault(t *testing.T) {
	for _, tt := range []struct {
		sort, order string
		key         Sort
		ascending   bool
	}{
		{"", "", ByCreated, false}, {"created_at", "asc", ByCreated, true}, {"updated_at", "desc", ByUpdated, false}, {"name", "asc", ByName, true},
		{"name", "", ByName, false}, {"name", "up", ByName, false}, {"rating", "asc", ByCreated, true}, {"NAME", "ASC", ByCreated, false},
		{"id; DROP TABLE agents", "", ByCreated, false},
	} {
		if key, ascending := ParseOrder(tt.sort, tt.order); key != tt.key || ascending != tt.ascending {
			t.Errorf("ParseOrder(%q, %q) = %v, %v, want %v, %v", tt.sort, tt.order, key, ascending, tt.key, tt.ascending)
		}
	}
}

func ptr[T any](v T) *T { return &v }

var (
	then = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	now  = then.Add(time.Hour)
)

func stored() Agent {
	return Agent{
		ID: "5b1d0000-0000-4000-8000-000000000001", Slug: "a-00000000", Owner: "7c9e0000-0000-4000-8000-000000000001", Name: "Oracle", Description: "Forecasts",
		Version: "1.0.0", Endpoint: ptr("https://a.example/x"), AuthType: "api_key", InputSchema: []byte(`{"type":"object","required":["a"]}`),
		Tags: []string{"weather", "data"}, Category: ptr("data"), Visibility: Public, Trust: SelfSigned, Active: true,
		PricingStrategy: ptr("flat"), BasePrice: ptr(1.5), Created: then, Updated: then, ContentChanged: then,
	}
}

func TestAChangeKeepsWhatItDoesNotName(t *testing.T) {
	if got := (Change{}).apply(stored(), now); !reflect.DeepEqual(got, stored()) {
		t.Errorf("got %+v, want the agent unchanged", got)
	}
}

func TestWhatAChangeMoves(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		change   Change
		want     func(*Agent)
		content  bool
		updated  bool
	}{
		{"a new name is content", Change{Name: ptr("B")}, func(a *Agent) { a.Name = "B" }, true, true},
		{"a new description is content", Change{Description: ptr("B")}, func(a *Agent) { a.Description = "B" }, true, true},
		{"a new category is content", Change{Category: ptr("c")}, func(a *Agent) { a.Category = ptr("c") }, true, true},
		{"an empty category clears it", Change{Category: ptr("")}, func(a *Agent) { a.Category = nil }, true, true},
		{"new tags are content, each once", Change{Tags: []string{"b", "a", "b"}}, func(a *Agent) { a.Tags = []string{"b", "a"} }, true, true},
		{"no tags are content", Change{Tags: []string{}}, func(a *Agent) { a.Tags = []string{} }, true, true},
		{"a new schema is content", Change{InputSchema: []byte(`{"a":1}`)}, func(a *Agent) { a.InputSchema = []byte(`{"a":1}`) }, true, true},
		{"an empty schema clears it", Change{InputSchema: []byte(`{}`)}, func(a *Agent) { a.InputSchema = nil }, true, true},
		{"an empty schema with spaces clears it", Change{InputSchema: []byte(` { } `)}, func(a *Agent) { a.InputSchema = nil }, true, true},
		{"a schema of null members is no empty one", Change{InputSchema: []byte(`{"a":null}`)}, func(a *Agent) { a.InputSchema = []byte(`{"a":null}`) }, true, true},

		{"the same name is nothing", Change{Name: ptr("Oracle")}, func(*Agent) {}, false, false},
		{"the same everything is nothing", Change{Name: ptr("Oracle"), Description: ptr("Forecasts"), Category: ptr("data"), Tags: []string{"weather", "data"},
			InputSchema: []byte(`{"type":"object","required":["a"]}`)}, func(*Agent) {}, false, false},
		{"the order of tags is no content", Change{Tags: []string{"data", "weather"}}, func(a *Agent) { a.Tags = []string{"data", "weather"} }, false, true},
		{"the order of members is no content", Change{InputSchema: []byte(`{"required":["a"],"type":"object"}`)},
			func(a *Agent) { a.InputSchema = []byte(`{"required":["a"],"type":"object"}`) }, false, true},
		{"an endpoint is no content", Change{Endpoint: ptr("https://b.example")}, func(a *Agent) { a.Endpoint = ptr("https://b.example") }, false, true},
		{"neither is the way to authenticate", Change{AuthType: ptr("public")}, func(a *Agent) { a.AuthType = "public" }, false, true},
		{"neither is visibility", Change{Visibility: ptr(Private)}, func(a *Agent) { a.Visibility = Private }, false, true},
		{"neither is activity", Change{Active: ptr(false)}, func(a *Agent) { a.Active = false }, false, true},
		{"neither is streaming", Change{Streaming: ptr(true)}, func(a *Agent) { a.Streaming = true }, false, true},
		{"neither is the price", Change{BasePrice: ptr(0.0), PricingEnabled: ptr(true)}, func(a *Agent) { a.BasePrice, a.PricingEnabled = ptr(0.0), true }, false, true},
		{"an empty pricing strategy clears it", Change{PricingStrategy: ptr("")}, func(a *Agent) { a.PricingStrategy = nil }, false, true},
	} {
		want := stored()
		tt.want(&want)
		if tt.content {
			want.ContentChanged = now
		}
		if tt.updated {
			want.Updated = now
		}
		if got := tt.change.apply(stored(), now); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.sentence, got, want)
		}
	}
}

func TestANewAgentHasTheDefaults(t *testing.T) {
	r := Registration{Change: Change{Name: ptr("A"), Description: ptr("d"), Endpoint: ptr("https://a.example")}}
	a := r.agent("u", now)
	want := Agent{ID: a.ID, Owner: "u", Name: "A", Description: "d", Version: "1.0.0", Endpoint: ptr("https://a.example"), AuthType: "public", Tags: []string{},
		Visibility: "public", Trust: "self-signed", Active: true, Created: now, Updated: now, ContentChanged: now}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %+v, want %+v", a, want)
	}
	r = Registration{Change: Change{Name: ptr("A"), Description: ptr("d"), InputSchema: []byte("{}")}, HostedEntity: ptr("aria")}
	a = r.agent("u", now)
	if a.Visibility != Private || a.Trust != Hosted || a.Endpoint != nil || a.AuthType != AuthPublic || *a.HostedEntity != "aria" || string(a.InputSchema) != "{}" {
		t.Errorf("a hosted agent: got %+v", a)
	}
}

// serviceOn is a registry with an empty catalog that does not run.
func serviceOn(t *testing.T, store Store, u URLs) *Service {
	t.Helper()
	clock := func() time.Time { return now }
	catalog := NewCatalog(CatalogConfig{Feed: emptyFeed{}, Embedder: flat{}, Now: clock, Log: slog.New(slog.DiscardHandler), Degraded: func() {}})
	if err := catalog.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return New(store, u, catalog, clock)
}

type emptyFeed struct{ Feed }

func (emptyFeed) VectorModels(context.Context) ([]ModelVectors, error) { return nil, nil }
func (emptyFeed) Horizon(context.Context) (low, high int64, err error) { return 1, 1, nil }
func (emptyFeed) AllEntries(context.Context, string, Hour, func(Entry) error) error {
	return nil
}

// flat is a model in which all texts mean the same.
type flat struct{}

func (flat) Model() string { return "flat" }
func (flat) Query(context.Context, string) ([]float32, error) {
	return []float32{1}, nil
}
func (flat) Embed(_ context.Context, texts []string) ([][]float32, error) {
	return slices.Repeat([][]float32{{1}}, len(texts)), nil
}

// noStore breaks every method: a rule that refuses must not reach it.
type noStore struct{ Store }

type urls struct{ err error }

func (u urls) Check(context.Context, string) error { return u.err }

func TestWhatARegistrationIsRefusedFor(t *testing.T) {
	endpoint := ptr("https://a.example")
	unsafe := fault.New(fault.BadRequest, "unsafe_url", "no")
	user, service := principal.Principal{User: "u", Via: principal.JWT}, principal.Principal{User: "u", Via: principal.Delegation}
	for _, tt := range []struct {
		sentence string
		p        principal.Principal
		r        Registration
		code     string
		locs     []string
	}{
		{"a normal agent needs an endpoint", user, Registration{}, "validation_error", []string{"endpoint"}},
		{"also when a service registers it", service, Registration{}, "validation_error", []string{"endpoint"}},
		{"an unsafe endpoint", user, Registration{Change: Change{Endpoint: endpoint}}, "unsafe_url", nil},
		{"a user cannot register a hosted entity", user, Registration{HostedEntity: ptr("aria")}, "forbidden", nil},
		{"whatever else is wrong", user, Registration{HostedEntity: ptr("aria"), Change: Change{Endpoint: endpoint}}, "forbidden", nil},
		{"an API key cannot either", principal.Principal{User: "u", Via: principal.APIKey}, Registration{HostedEntity: ptr("aria")}, "forbidden", nil},
		{"a hosted entity has no endpoint and no credential", service,
			Registration{HostedEntity: ptr("aria"), Change: Change{Endpoint: endpoint, AuthType: ptr("api_key")}}, "validation_error", []string{"endpoint", "auth_type"}},
		{"there are no brands", user, Registration{Change: Change{Endpoint: endpoint, Branded: true}}, "bad_request", nil},
	} {
		s := serviceOn(t, noStore{}, urls{unsafe})
		_, _, err := s.Register(t.Context(), tt.p, tt.r)
		f := fault.As(err)
		if f == nil || f.Code != tt.code {
			t.Errorf("%s: got %v, want %s", tt.sentence, err, tt.code)
			continue
		}
		var locs []string
		for _, p := range f.Problems {
			locs = append(locs, p.Loc[1].(string))
		}
		if !slices.Equal(locs, tt.locs) {
			t.Errorf("%s: problems at %q, want %q", tt.sentence, locs, tt.locs)
		}
	}
}

// takenSlugs refuses the first slugs.
type takenSlugs struct {
	Store
	refuse int
	slugs  []string
}

func (s *takenSlugs) CreateAgent(_ context.Context, a Agent, _ Content) error {
	s.slugs = append(s.slugs, a.Slug)
	if len(s.slugs) <= s.refuse {
		return fault.New(fault.Conflict, "conflict", "already exists")
	}
	return nil
}

func (s *takenSlugs) CallFigures(context.Context, []id.Agent, Hour) (map[id.Agent]Figures, error) {
	return nil, nil
}

func TestATakenSlugIsReplacedByAnother(t *testing.T) {
	r := Registration{Change: Change{Name: ptr("A"), Description: ptr("d"), Endpoint: ptr("https://a.example")}}
	store := &takenSlugs{refuse: 2}
	a, created, err := serviceOn(t, store, urls{}).Register(t.Context(), principal.Principal{User: "u"}, r)
	if err != nil || !created || len(store.slugs) != 3 || a.Slug != store.slugs[2] || store.slugs[0] == store.slugs[1] {
		t.Errorf("got %q, %v, %v after %q", a.Slug, created, err, store.slugs)
	}
	store = &takenSlugs{refuse: 100}
	if _, _, err := serviceOn(t, store, urls{}).Register(t.Context(), principal.Principal{User: "u"}, r); !fault.Is(err, fault.Conflict) {
		t.Errorf("without end: got %v, want a conflict", err)
	}
}

// oneAgent stores an agent.
type oneAgent struct {
	Store
	a Agent
}

func (s *oneAgent) OwnedAgent(_ context.Context, owner id.User, agent id.Agent) (Agent, error) {
	if owner != s.a.Owner || agent != s.a.ID {
		return Agent{}, fault.Missing("Agent")
	}
	return s.a, nil
}

func (s *oneAgent) UpdateAgent(_ context.Context, _ id.User, _ id.Agent, edit Edit) (Agent, error) {
	s.a, _ = edit(s.a)
	return s.a, nil
}

func (s *oneAgent) CallFigures(context.Context, []id.Agent, Hour) (map[id.Agent]Figures, error) {
	return nil, nil
}

func TestWhatAnUpdateIsRefusedFor(t *testing.T) {
	hosted := stored()
	hosted.HostedEntity, hosted.Endpoint, hosted.AuthType = ptr("aria"), nil, AuthPublic
	unsafe := urls{fault.New(fault.BadRequest, "unsafe_url", "no")}
	for _, tt := range []struct {
		sentence string
		agent    Agent
		user     id.User
		change   Change
		code     string // "" is success
	}{
		{"a foreign agent is missing before anything else is looked at", stored(), "stranger", Change{Endpoint: ptr("x"), Branded: true}, "not_found"},
		{"an unsafe endpoint", stored(), stored().Owner, Change{Endpoint: ptr("https://a.example")}, "unsafe_url"},
		{"a hosted entity gets no endpoint", hosted, hosted.Owner, Change{Endpoint: ptr("https://a.example")}, "validation_error"},
		{"not even an empty one", hosted, hosted.Owner, Change{Endpoint: ptr("")}, "validation_error"},
		{"a hosted entity gets no credential", hosted, hosted.Owner, Change{AuthType: ptr("bearer_token")}, "validation_error"},
		{"public is no change to a hosted entity", hosted, hosted.Owner, Change{AuthType: ptr("public")}, ""},
		{"the rest of a hosted entity may change", hosted, hosted.Owner, Change{Active: ptr(false), Name: ptr("B")}, ""},
		{"there are no brands", stored(), stored().Owner, Change{Branded: true}, "bad_request"},
	} {
		s := serviceOn(t, &oneAgent{a: tt.agent}, unsafe)
		_, err := s.Update(t.Context(), principal.Principal{User: tt.user}, tt.agent.ID, tt.change)
		if f := fault.As(err); tt.code == "" && err != nil || tt.code != "" && (f == nil || f.Code != tt.code) {
			t.Errorf("%s: got %v, want %q", tt.sentence, err, tt.code)
		}
	}
}

func TestOnlyTheOwnerSeesWhereAnAgentLives(t *testing.T) {
	a := stored()
	a.AuthType, a.HostedEntity = AuthPublic, ptr("aria")
	if got := a.SeenBy(a.Owner); !reflect.DeepEqual(got, a) || !a.HasCredentials(a.Owner) {
		t.Errorf("the owner sees %+v", got)
	}
	if got := a.SeenBy("stranger"); got.Endpoint != nil || got.HostedEntity != nil || got.HasCredentials("stranger") {
		t.Errorf("a stranger sees %v, %v, %v", got.Endpoint, got.HostedEntity, got.HasCredentials("stranger"))
	}
	if a.AuthType = "api_key"; a.HasCredentials(a.Owner) {
		t.Error("an agent that wants a key has credentials although none is stored")
	}
	if a.Endpoint == nil || a.HostedEntity == nil {
		t.Error("SeenBy changed the agent itself")
	}
}

func TestAFailingStoreIsAnErrorWithoutAType(t *testing.T) {
	broken := errors.New("disk on fire")
	s := serviceOn(t, brokenStore{err: broken}, urls{})
	p := principal.Principal{User: "u"}
	_, listErr := s.List(t.Context(), p, Query{})
	_, getErr := s.Agent(t.Context(), p, "a")
	_, mineErr := s.Mine(t.Context(), p, 1, 0)
	for _, err := range []error{listErr, getErr, mineErr, s.Delete(t.Context(), p, "a")} {
		if !errors.Is(err, broken) || fault.As(err) != nil {
			t.Errorf("got %v, want the store's error, untyped", err)
		}
	}
}

type brokenStore struct {
	Store
	err error
}

func (s brokenStore) VisibleAgents(context.Context, id.User, Query, time.Time) ([]Agent, error) {
	return nil, s.err
}
func (s brokenStore) VisibleAgent(context.Context, id.User, string) (Agent, error) {
	return Agent{}, s.err
}
func (s brokenStore) OwnedAgents(context.Context, id.User, int, int) ([]Agent, error) {
	return nil, s.err
}
func (s brokenStore) DeleteAgent(context.Context, id.User, id.Agent, time.Time) error { return s.err }
