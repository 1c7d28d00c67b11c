package store

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

const (
	sealNew = "new-encryption-key-0123456789abcdef"
	sealOld = "old-encryption-key-0123456789abcdef"
)

// trustBench is an agentBench whose catalog can be told of changes.
type trustBench struct {
	agentBench
	catalog *registry.Catalog
}

func newTrustBench(t *testing.T, url string) trustBench {
	t.Helper()
	b := newAgentBench(t, url)
	catalog := runCatalog(t, b.store, b.clock.Now)
	b.Service = registry.New(b.store, anyURL{}, catalog, b.clock.Now)
	return trustBench{b, catalog}
}

// vault keeps credentials in b's store, sealed with the first of secrets.
func (b trustBench) vault(t *testing.T, log *slog.Logger, secrets ...string) *registry.Vault {
	t.Helper()
	var list []secret.String
	for _, s := range secrets {
		list = append(list, secret.New(s))
	}
	keys, err := secret.NewKeyring(registry.CredentialPurpose, list...)
	if err != nil {
		t.Fatal(err)
	}
	return registry.NewVault(registry.VaultConfig{Store: b.store, Keys: keys, Changed: b.catalog.Sync, Now: b.clock.Now, Log: log})
}

func apiKey(value string) registry.Credential {
	return registry.Credential{Type: registry.AuthAPIKey, Value: secret.New(value)}
}

func bearer(value string) registry.Credential {
	return registry.Credential{Type: registry.AuthBearerToken, Value: secret.New(value)}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// needs is an agent that wants to see a credential.
func needs(name, authType string) registry.Change {
	c := named(name)
	c.AuthType = &authType
	return c
}

func (b trustBench) wantCredential(t *testing.T, v *registry.Vault, agent id.Agent, want registry.Credential) {
	t.Helper()
	got, err := v.For(t.Context(), agent, want.Type)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s of %s: got %+v of %d bytes, %v", want.Type, agent, got, got.Value.Len(), err)
	}
}

func TestACredentialIsKeptPerAgentAndType(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		v := b.vault(t, quiet(), sealNew)
		owner := b.user(t)
		a, other := b.add(t, owner, needs("a", registry.AuthAPIKey)), b.add(t, owner, needs("other", registry.AuthAPIKey))
		if _, err := v.For(t.Context(), a.ID, registry.AuthAPIKey); !errors.Is(err, registry.ErrNoCredential) {
			t.Errorf("before: got %v, want ErrNoCredential", err)
		}
		full := apiKey("value-1")
		full.Header, full.Scheme = ptr("X-Weather"), ptr("")
		long := bearer(strings.Repeat("ü", 8192))
		steps := []struct {
			sentence string
			put      registry.Credential
			types    []string
			has      bool
		}{
			{"of another type than the agent's", long, []string{"bearer_token"}, false},
			{"of the agent's type", full, []string{"api_key", "bearer_token"}, true},
			{"in place of another, whose header goes", apiKey("value-2"), []string{"api_key", "bearer_token"}, true},
		}
		for _, step := range steps {
			b.clock.Add(time.Hour)
			if err := v.Put(t.Context(), owner, a.ID, step.put); err != nil {
				t.Fatal(err)
			}
			b.wantCredential(t, v, a.ID, step.put)
			got, err := b.Agent(t.Context(), owner, a.Slug)
			if err != nil || !slices.Equal(got.CredentialTypes, step.types) || got.HasCredentials(owner.User) != step.has || !got.Updated.Equal(a.Updated) {
				t.Errorf("%s: got types %q, has %v, updated %v, %v", step.sentence, got.CredentialTypes, got.HasCredentials(owner.User), got.Updated, err)
			}
		}
		b.wantCredential(t, v, a.ID, long)
		if err := v.Put(t.Context(), owner, other.ID, full); err != nil {
			t.Fatal(err)
		}
		// Discovery shows it at once: the memory copies were told.
		found, err := b.Discover(t.Context(), owner, registry.Discovery{Text: "a", Limit: 10})
		if err != nil || len(found.Agents) != 2 || !found.Agents[0].HasCredentials(owner.User) || !found.Agents[1].HasCredentials(owner.User) {
			t.Errorf("discovered: %+v, %v", found.Agents, err)
		}
		for range 2 { // once more is no fault
			if err := v.Delete(t.Context(), owner, a.ID); err != nil {
				t.Fatal(err)
			}
		}
		for _, typ := range []string{registry.AuthAPIKey, registry.AuthBearerToken} {
			if _, err := v.For(t.Context(), a.ID, typ); !errors.Is(err, registry.ErrNoCredential) {
				t.Errorf("after the delete: got %v, want ErrNoCredential", err)
			}
		}
		if got, err := b.Agent(t.Context(), owner, a.Slug); err != nil || len(got.CredentialTypes) != 0 || got.HasCredentials(owner.User) {
			t.Errorf("after the delete: got %+v, %v", got, err)
		}
		b.wantCredential(t, v, other.ID, full)
		if err := b.Delete(t.Context(), owner, other.ID); err != nil {
			t.Fatal(err)
		}
		b.wantRows(t, "agent_credentials", 0)
	})
}

func (b trustBench) wantRows(t *testing.T, table string, want int) {
	t.Helper()
	var n int
	if err := b.store.db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != want {
		t.Errorf("%s has %d rows (%v), want %d", table, n, err, want)
	}
}

func TestOnlyTheOwnerStoresAndDeletesCredentials(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		v := b.vault(t, quiet(), sealNew)
		owner, stranger := b.user(t), b.user(t)
		a := b.add(t, owner, needs("a", registry.AuthAPIKey))
		if err := v.Put(t.Context(), owner, a.ID, apiKey("mine")); err != nil {
			t.Fatal(err)
		}
		unknown := id.New[id.Agent]()
		for i, err := range []error{
			v.Put(t.Context(), stranger, a.ID, apiKey("theirs")), v.Put(t.Context(), stranger, unknown, apiKey("theirs")),
			v.Delete(t.Context(), stranger, a.ID), v.Delete(t.Context(), stranger, unknown),
			b.store.PutCredential(t.Context(), stranger.User, registry.SealedCredential{Agent: a.ID, Type: "api_key", Sealed: []byte{1}}, b.clock.Now()),
		} {
			if f := fault.As(err); f == nil || f.Kind != fault.NotFound || f.Detail != "Agent not found" {
				t.Errorf("case %d: got %v, want: Agent not found", i, err)
			}
		}
		b.wantCredential(t, v, a.ID, apiKey("mine"))
		if seen, err := b.Agent(t.Context(), stranger, a.Slug); err != nil || seen.HasCredentials(stranger.User) || seen.CredentialTypes != nil {
			t.Errorf("a stranger sees %q, %v", seen.CredentialTypes, err)
		}
		p := owner
		p.Via = principal.Delegation
		hosted, _, err := b.Register(t.Context(), p, registry.Registration{HostedEntity: ptr("aria"), Change: registry.Change{Name: ptr("Aria"), Description: ptr("d")}})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Put(t.Context(), owner, hosted.ID, apiKey("x")); !fault.Is(err, fault.Invalid) {
			t.Errorf("for a hosted entity: got %v, want it refused", err)
		}
		b.wantRows(t, "agent_credentials", 1)
	})
}

func TestCredentialsDoNotFollowTheEndpointToAnotherOrigin(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		v := b.vault(t, quiet(), sealNew)
		owner := b.user(t)
		for _, tt := range []struct {
			sentence, from, to string
			kept               bool
		}{
			{"another path", "https://a.example/x", "https://a.example/y?z", true},
			{"the same origin in other words", "https://a.example/x", "https://A.example:443/x", true},
			{"another host", "https://a.example/x", "https://b.example/x", false},
			{"a host below", "https://a.example/x", "https://x.a.example/x", false},
			{"another port", "https://a.example/x", "https://a.example:8443/x", false},
			{"another scheme", "https://a.example/x", "http://a.example/x", false},
		} {
			c := needs("a", registry.AuthAPIKey)
			c.Endpoint = &tt.from
			a := b.add(t, owner, c)
			for _, credential := range []registry.Credential{apiKey("k"), bearer("b")} {
				if err := v.Put(t.Context(), owner, a.ID, credential); err != nil {
					t.Fatal(err)
				}
			}
			got, err := b.Update(t.Context(), owner, a.ID, registry.Change{Endpoint: &tt.to})
			if err != nil || got.HasCredentials(owner.User) != tt.kept || len(got.CredentialTypes) != map[bool]int{true: 2, false: 0}[tt.kept] {
				t.Errorf("%s: types %q, %v, want kept %v", tt.sentence, got.CredentialTypes, err, tt.kept)
			}
			for _, typ := range []string{registry.AuthAPIKey, registry.AuthBearerToken} {
				if _, err := v.For(t.Context(), a.ID, typ); (err == nil) != tt.kept {
					t.Errorf("%s: %s: %v, want kept %v", tt.sentence, typ, err, tt.kept)
				}
			}
		}
	})
}

// Whoever can write to the database cannot make one agent's credential another's.
func TestASealedCredentialOpensInItsRowOnly(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		v := b.vault(t, quiet(), sealNew)
		owner := b.user(t)
		a, other := b.add(t, owner, named("a")), b.add(t, owner, named("other"))
		for _, agent := range []registry.Agent{a, other} {
			for _, c := range []registry.Credential{apiKey("hush-1"), bearer("hush-2")} {
				if err := v.Put(t.Context(), owner, agent.ID, c); err != nil {
					t.Fatal(err)
				}
			}
		}
		row := func(agent id.Agent, typ string) (sealed []byte) {
			c, err := b.store.Credential(t.Context(), agent, typ)
			if err != nil {
				t.Fatal(err)
			}
			return c.Sealed
		}
		mine := row(a.ID, registry.AuthAPIKey)
		cut := mine[:len(mine)-1]
		for name, foreign := range map[string][]byte{
			"of another agent": row(other.ID, registry.AuthAPIKey), "of another type": row(a.ID, registry.AuthBearerToken), "cut": cut, "emptied": {},
		} {
			exec(t, b, "UPDATE agent_credentials SET sealed = $1 WHERE agent_id = $2 AND type = 'api_key'", foreign, string(a.ID))
			got, err := v.For(t.Context(), a.ID, registry.AuthAPIKey)
			if !errors.Is(err, registry.ErrNoCredential) || !errors.Is(err, secret.ErrSealed) || got.Value.Reveal() != "" {
				t.Errorf("%s: got %d bytes, %v, want ErrSealed", name, got.Value.Len(), err)
			}
			if text := fmt.Sprint(err); !strings.Contains(text, string(a.ID)) || !strings.Contains(text, "api_key") || strings.Contains(text, "hush") {
				t.Errorf("%s: the error is %q", name, text)
			}
		}
	})
}

func exec(t *testing.T, b trustBench, statement string, args ...any) {
	t.Helper()
	if _, err := b.store.db.Write().ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func TestADumpOfTheDatabaseShowsNoCredential(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newTrustBench(t, url)
		v := b.vault(t, quiet(), sealNew)
		owner := b.user(t)
		a := b.add(t, owner, named("a"))
		const value, marker = "hush-9f3a01bc-the-value", "X-Marker-77"
		c := apiKey(value)
		c.Header = ptr(marker)
		for _, c := range []registry.Credential{c, bearer(value + "-bearer"), c} {
			if err := v.Put(t.Context(), owner, a.ID, c); err != nil {
				t.Fatal(err)
			}
		}
		dump := dumpOf(t, b, url)
		if !strings.Contains(dump, marker) {
			t.Fatal("the dump does not show what is stored in clear: it proves nothing")
		}
		for _, text := range []string{value, value + "-bearer", sealNew} {
			for i := range 3 { // base64 depends on where in its input the text is
				padded := base64.RawStdEncoding.EncodeToString([]byte("xx"[:i%3] + text))
				for _, form := range []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))), padded[4 : len(padded)-4], text[:12]} {
					if strings.Contains(dump, form) {
						t.Errorf("the dump shows %q", form)
					}
				}
			}
		}
	})
}

// dumpOf is everything in the database: the files of SQLite, every row of every table of
// PostgreSQL as text.
func dumpOf(t *testing.T, b trustBench, url string) string {
	t.Helper()
	var dump strings.Builder
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) < 2 {
			t.Fatalf("files %q, %v: the log is missing", files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dump.Write(text)
		}
		return dump.String()
	}
	for _, table := range column(t, b, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'") {
		for _, row := range column(t, b, "SELECT CAST(x AS TEXT) FROM "+table+" AS x") {
			dump.WriteString(row + "\n")
		}
	}
	return dump.String()
}

func column(t *testing.T, b trustBench, query string) (values []string) {
	t.Helper()
	rows, err := b.store.db.Read().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// lines is a log that a test reads line by line.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

func (l lines) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l:
		return line
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was logged")
		return ""
	}
}

// run lets a vault work until it tells that it is done, and returns what it told.
func (b trustBench) run(t *testing.T, secrets ...string) string {
	t.Helper()
	log := make(lines, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	v := b.vault(t, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), secrets...)
	go func() { done <- v.Run(ctx) }()
	line := log.next(t)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	return line
}

func TestCredentialsAreSealedAgainWithTheNewKey(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newTrustBench(t, open())
		owner := b.user(t)
		old, both, other := b.vault(t, quiet(), sealOld), b.vault(t, quiet(), sealNew, sealOld), b.vault(t, quiet(), "another-key-0123456789abcdef0123456789")
		var agents []registry.Agent
		for i := range 30 {
			a := b.add(t, owner, named(fmt.Sprint("agent ", i)))
			agents = append(agents, a)
			c := bearer(fmt.Sprint("hush-", i))
			c.Scheme = ptr("Token")
			if err := []*registry.Vault{old, both, other}[min(i%10, 1)+i/29].Put(t.Context(), owner, a.ID, c); err != nil {
				t.Fatal(err)
			}
		}
		check := func(v *registry.Vault, from, to int) {
			t.Helper()
			for i, a := range agents[from:to] {
				c := bearer(fmt.Sprint("hush-", from+i))
				c.Scheme = ptr("Token")
				b.wantCredential(t, v, a.ID, c)
			}
		}
		check(both, 0, 29)
		stamp := column(t, b, "SELECT CAST(MAX(stamp) AS TEXT) FROM agent_changes")
		// The last one was sealed with a key that nobody has any more.
		line := b.run(t, sealNew, sealOld)
		if !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "resealed=3 unreadable=1") || !strings.Contains(line, string(agents[29].ID)) || strings.Contains(line, "hush") {
			t.Errorf("told %s", line)
		}
		check(b.vault(t, quiet(), sealNew), 0, 29)
		if _, err := both.For(t.Context(), agents[29].ID, registry.AuthBearerToken); !errors.Is(err, registry.ErrNoCredential) || !errors.Is(err, secret.ErrNoKey) {
			t.Errorf("the unreadable one: %v", err)
		}
		if err := both.Put(t.Context(), owner, agents[29].ID, bearer("hush-29")); err != nil {
			t.Fatal(err)
		}
		if line := b.run(t, sealNew); !strings.Contains(line, "level=INFO") || !strings.Contains(line, "every credential is sealed with the current key") || !strings.Contains(line, "resealed=0") {
			t.Errorf("afterwards it told %s", line)
		}
		if line := b.run(t, sealOld); !strings.Contains(line, "unreadable=30") {
			t.Errorf("with the old key alone it told %s", line)
		}
		check(b.vault(t, quiet(), sealNew), 0, 29)
		if now := column(t, b, "SELECT CAST(COUNT(*) AS TEXT) FROM agent_changes WHERE stamp > "+stamp[0]); now[0] != "1" {
			t.Errorf("%s agents show as changed, want the one whose credential was stored", now[0])
		}
	})
}

// Two nodes seal again while owners store through nodes with the keys of before and
// after: what was stored last is what opens.
func TestSealingAgainNeverBringsBackAnOldValue(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		nodes := []trustBench{newTrustBench(t, url), newTrustBench(t, url)}
		b := nodes[0]
		owner := b.user(t)
		const n, rounds = 20, 3
		var agents []registry.Agent
		old := b.vault(t, quiet(), sealOld, sealNew)
		for range n {
			a := b.add(t, owner, named("a"))
			agents = append(agents, a)
			if err := old.Put(t.Context(), owner, a.ID, apiKey("first")); err != nil {
				t.Fatal(err)
			}
		}
		vaults := []*registry.Vault{nodes[0].vault(t, quiet(), sealOld, sealNew), nodes[1].vault(t, quiet(), sealNew, sealOld)}
		errs := make([]error, n)
		parallel(n+2*rounds, func(i int) {
			if i >= n {
				nodes[i%2].run(t, sealNew, sealOld)
				return
			}
			for round := range rounds {
				if err := vaults[(i+round)%2].Put(t.Context(), owner, agents[i].ID, apiKey(fmt.Sprint(i, " ", round))); err != nil {
					errs[i] = err
				}
			}
		})
		for i, err := range errs {
			if err != nil {
				t.Errorf("agent %d: %v", i, err)
			}
		}
		nodes[0].run(t, sealNew, sealOld)
		for i, a := range agents {
			b.wantCredential(t, b.vault(t, quiet(), sealNew), a.ID, apiKey(fmt.Sprint(i, " ", rounds-1)))
		}
	})
}
