package store

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// calleeBench is a process that calls agents, and writes their registry.
type calleeBench struct {
	trustBench
	vault   *registry.Vault
	callees *registry.Callees
}

func newCalleeBench(t *testing.T, url string) calleeBench {
	t.Helper()
	var b calleeBench
	clock := testkit.NewClock(time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC))
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: Migrations(), Service: "wisdom", Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := New(db)
	catalog := runCatalog(t, s, clock.Now)
	b.trustBench = trustBench{agentBench{registry.New(s, anyURL{}, catalog, clock.Now), s, clock}, catalog}
	keys, err := secret.NewKeyring(registry.CredentialPurpose, secret.New(sealNew))
	if err != nil {
		t.Fatal(err)
	}
	b.vault = b.trustBench.vault(t, quiet(), sealNew)
	b.callees = registry.NewCallees(s, keys, clock.Now)
	catalog.Changed = b.callees.Drop
	return b
}

// want looks an agent up; endpoint "" means that it is not there, value "" that there is
// no credential.
func (b calleeBench) want(t *testing.T, sentence string, viewer id.User, slug, endpoint, value string, active bool) {
	t.Helper()
	got, err := b.callees.Callee(t.Context(), viewer, slug)
	if endpoint == "" {
		if f := fault.As(err); f == nil || f.Detail != fault.Missing("Agent").Detail || f.Kind != fault.NotFound {
			t.Errorf("%s: got %+v, %v, want missing", sentence, got, err)
		}
		return
	}
	found := ""
	if got.Credential != nil {
		found = got.Credential.Value.Reveal()
	}
	if err != nil || got.Endpoint == nil || *got.Endpoint != endpoint || found != value || got.Active != active || got.Credential != nil && got.Credential.Type != got.AuthType {
		t.Errorf("%s: got %v with %d bytes, active %v, %v", sentence, got.Endpoint, len(found), got.Active, err)
	}
}

func TestACalleeFollowsEveryChangeOfThisProcessAtOnce(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b, other := newCalleeBench(t, url), newCalleeBench(t, url)
		ann, bob := b.user(t), b.user(t)
		const here, there = "https://a.example/x", "https://b.example/x"
		b.want(t, "before", ann.User, "oracle-00000000", "", "", false)
		a := b.add(t, ann, needs("oracle", registry.AuthAPIKey))
		b.want(t, "without credential", bob.User, a.Slug, here, "", true)
		must(t, b.vault.Put(t.Context(), ann, a.ID, bearer("of another type")))
		b.want(t, "with one of another type", bob.User, a.Slug, here, "", true)
		must(t, b.vault.Put(t.Context(), ann, a.ID, apiKey("k-1")))
		b.want(t, "with one", bob.User, a.Slug, here, "k-1", true)
		change := func(c registry.Change) {
			t.Helper()
			if _, err := b.Update(t.Context(), ann, a.ID, c); err != nil {
				t.Fatal(err)
			}
		}
		change(registry.Change{Visibility: ptr(registry.Private)})
		b.want(t, "private", bob.User, a.Slug, "", "", false)
		b.want(t, "private, to its owner", ann.User, a.Slug, here, "k-1", true)
		change(registry.Change{Active: ptr(false)})
		b.want(t, "inactive", ann.User, a.Slug, here, "k-1", false)
		change(registry.Change{Active: ptr(true), Visibility: ptr(registry.Public), Endpoint: ptr(there)})
		b.want(t, "elsewhere the credential is not sent", bob.User, a.Slug, there, "", true)
		must(t, b.vault.Put(t.Context(), ann, a.ID, apiKey("k-2")))
		b.want(t, "with a new one", bob.User, a.Slug, there, "k-2", true)
		other.want(t, "on another process", bob.User, a.Slug, there, "k-2", true)

		must(t, b.vault.Delete(t.Context(), ann, a.ID))
		b.want(t, "without again", bob.User, a.Slug, there, "", true)
		other.want(t, "another process may be late", bob.User, a.Slug, there, "k-2", true)
		other.clock.Add(900 * time.Millisecond)
		other.want(t, "but not by a second", bob.User, a.Slug, there, "", true)

		_, err := b.store.db.Write().ExecContext(t.Context(), "UPDATE agents SET disabled_us = 1 WHERE id = $1", string(a.ID))
		must(t, err)
		b.clock.Add(time.Second)
		b.want(t, "disabled by an administrator", bob.User, a.Slug, there, "", false)
		must(t, b.Delete(t.Context(), ann, a.ID))
		b.want(t, "deleted", ann.User, a.Slug, "", "", false)
		for _, slug := range []string{"", "UPPER", "a b", "a\x00b", string(a.ID) + a.Slug + string(a.ID), "ünïcode"} {
			b.want(t, fmt.Sprintf("the impossible %q", slug), ann.User, slug, "", "", false)
		}
	})
}

// An owner moves the endpoint to another origin and back, and gives a new credential each
// time: no caller on any process ever sees one with the endpoint of another.
func TestNoCredentialArrivesAtAnEndpointThatItWasNotGivenFor(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b, other := newCalleeBench(t, url), newCalleeBench(t, url)
		ann := b.user(t)
		a := b.add(t, ann, needs("oracle", registry.AuthAPIKey))
		origins := []string{"https://a.example/x", "https://b.example/x"}
		done := make(chan struct{})
		var seen atomic.Int64
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				node := []calleeBench{b, other}[i%2]
				for {
					select {
					case <-done:
						return
					default:
					}
					node.callees.Drop() // as if a second had passed
					c, err := node.callees.Callee(t.Context(), ann.User, a.Slug)
					if err != nil {
						t.Error(err)
						return
					}
					if c.Credential != nil {
						seen.Add(1)
						if c.Credential.Value.Reveal() != *c.Endpoint {
							t.Errorf("the credential for %s was about to be sent to %s", c.Credential.Value.Reveal(), *c.Endpoint)
						}
					}
				}
			})
		}
		for i := range 20 {
			origin := origins[i%2]
			if _, err := b.Update(t.Context(), ann, a.ID, registry.Change{Endpoint: &origin}); err != nil {
				t.Error(err)
			}
			if err := b.vault.Put(t.Context(), ann, a.ID, apiKey(origin)); err != nil {
				t.Error(err)
			}
		}
		close(done)
		group.Wait()
		if seen.Load() == 0 {
			t.Error("nobody saw a credential")
		}
	})
}

func TestACredentialThatNoKeyOpensIsNone(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newCalleeBench(t, open())
		ann := b.user(t)
		a := b.add(t, ann, needs("oracle", registry.AuthAPIKey))
		must(t, b.trustBench.vault(t, quiet(), sealOld).Put(t.Context(), ann, a.ID, apiKey("k")))
		b.want(t, "of a key that is gone", ann.User, a.Slug, "https://a.example/x", "", true)
	})
}

// What a warm invocation asks before it writes: nothing.
func TestAWarmInvocationReadsNothingBeforeItOpens(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newCalleeBench(t, url)
		ann := b.user(t)
		a := b.add(t, ann, needs("oracle", registry.AuthAPIKey))
		must(t, b.vault.Put(t.Context(), ann, a.ID, apiKey("k")))
		var mu sync.Mutex
		var statements []string
		node := newStore(t, url, b.clock.Now, func(text string) { // a catalog would poll
			mu.Lock()
			defer mu.Unlock()
			statements = append(statements, text)
		})
		keys, err := secret.NewKeyring(registry.CredentialPurpose, secret.New(sealNew))
		must(t, err)
		callees := registry.NewCallees(node, keys, b.clock.Now)
		statements = nil
		for range 50 {
			c, err := callees.Callee(t.Context(), ann.User, a.Slug)
			must(t, err)
			if c.Credential == nil || c.Credential.Value.Reveal() != "k" {
				t.Fatal("without its credential")
			}
			_, err = node.Limits(t.Context(), ann.User, "")
			must(t, err)
		}
		if len(statements) != 1 || !strings.Contains(statements[0], "agent_credentials") {
			t.Errorf("fifty times: %q, want one read of agent and credential", statements)
		}
		statements = nil
		parallel(50, func(int) {
			if _, err := callees.Callee(t.Context(), ann.User, "nobody-00000000"); !fault.Is(err, fault.NotFound) {
				t.Error(err)
			}
		})
		if len(statements) != 1 {
			t.Errorf("what does not exist is asked for %d times", len(statements))
		}
	})
}

func TestALinkTellsWhatHasBecomeOfAnAgent(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b, other := newCalleeBench(t, url), newCalleeBench(t, url)
		ann, bob := b.user(t), b.user(t)
		a := b.add(t, ann, needs("oracle", registry.AuthAPIKey))
		want := func(sentence string, node calleeBench, viewer id.User, known, active, disabled bool, value string) {
			t.Helper()
			got, err := node.callees.Linked(t.Context(), viewer, a.ID)
			found := ""
			if got.Credential != nil {
				found = got.Credential.Value.Reveal()
			}
			if err != nil || got.Known != known || got.Active != active || got.Disabled != disabled || found != value || known != (got.ID == a.ID) {
				t.Errorf("%s: got %+v, %v", sentence, got, err)
			}
			if !known && (got.ID != "" || got.Endpoint != nil || got.Owner != "") {
				t.Errorf("%s: a stranger learns %+v", sentence, got.Callee)
			}
		}
		want("public", b, bob.User, true, true, false, "")
		must(t, b.vault.Put(t.Context(), ann, a.ID, apiKey("k")))
		want("with a credential", b, bob.User, true, true, false, "k")
		change := func(c registry.Change) {
			t.Helper()
			if _, err := b.Update(t.Context(), ann, a.ID, c); err != nil {
				t.Fatal(err)
			}
		}
		change(registry.Change{Active: ptr(false)})
		want("inactive", b, bob.User, true, false, false, "k")
		change(registry.Change{Active: ptr(true), Visibility: ptr(registry.Private)})
		want("private", b, bob.User, false, false, false, "")
		want("private, to its owner", b, ann.User, true, true, false, "k")
		want("on another process", other, ann.User, true, true, false, "k")
		_, err := b.store.db.Write().ExecContext(t.Context(), "UPDATE agents SET disabled_us = 1 WHERE id = $1", string(a.ID))
		must(t, err)
		b.clock.Add(time.Second)
		want("disabled by an administrator", b, ann.User, true, false, true, "k")
		want("disabled, to whom it is private", b, bob.User, false, false, true, "")
		want("another process may be late", other, ann.User, true, true, false, "k")
		other.clock.Add(900 * time.Millisecond)
		want("but not by a second", other, ann.User, true, false, true, "k")
		must(t, b.Delete(t.Context(), ann, a.ID))
		want("gone", b, ann.User, false, false, false, "")
		if got, err := b.callees.Linked(t.Context(), ann.User, ""); err != nil || got.Known || got.Disabled || got.ID != "" {
			t.Errorf("no agent at all: got %+v, %v", got, err)
		}
	})
}

// What looks like an id can be a slug.
func TestAnIDAndASlugAreNotMistakenForEachOther(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newCalleeBench(t, open())
		ann := b.user(t)
		a := b.add(t, ann, needs("oracle", registry.AuthAPIKey))
		if _, err := b.callees.Callee(t.Context(), ann.User, string(a.ID)); !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v, want it not found", err)
		}
		if got, err := b.callees.Linked(t.Context(), ann.User, a.ID); err != nil || !got.Known {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := b.callees.Callee(t.Context(), ann.User, string(a.ID)); !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v, want it not found", err)
		}
		if got, err := b.callees.Linked(t.Context(), ann.User, id.Agent(a.Slug)); err != nil || got.Known {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestAWarmLinkReadsNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newCalleeBench(t, url)
		ann := b.user(t)
		a := b.add(t, ann, needs("oracle", registry.AuthAPIKey))
		var statements atomic.Int64
		node := newStore(t, url, b.clock.Now, func(string) { statements.Add(1) })
		keys, err := secret.NewKeyring(registry.CredentialPurpose, secret.New(sealNew))
		must(t, err)
		callees := registry.NewCallees(node, keys, b.clock.Now)
		for _, agent := range []id.Agent{a.ID, id.New[id.Agent]()} {
			statements.Store(0)
			parallel(50, func(int) {
				if got, err := callees.Linked(t.Context(), ann.User, agent); err != nil || got.Known != (agent == a.ID) {
					t.Errorf("got %+v, %v", got, err)
				}
			})
			if got := statements.Load(); got > 2 { // one of them may be the preparing
				t.Errorf("fifty times: %d statements, want one", got)
			}
		}
	})
}
