package registry

import (
	"bytes"
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
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

func TestHeadersThatMayCarryACredential(t *testing.T) {
	for _, header := range []string{"X-API-Key", "Authorization", "authorization", "X", "x-user", "X-User-Ids", "Api_Key", "!#$%&'*+-.^_`|~09az", "Hosts", "Connections",
		"Context", "Tea", "Upgrade-Key", "Cookies", "Proxy", "X-Forwarded", "Web-Hook", "Webhook", "Sec", "Security-Token", "User-Agents", "X-Request-Id-2", "Accep", strings.Repeat("x", 255)} {
		c := Credential{Type: AuthAPIKey, Value: secret.New("v"), Header: &header}
		if err := c.check(); err != nil {
			t.Errorf("%q is refused: %v", header, err)
		}
	}
}

func TestHeadersThatMayNot(t *testing.T) {
	// The list of contract §4.3, each * filled in.
	denied := []string{"Host", "Connection", "Content-Type", "Content-Length", "Content-", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Keep-Alive", "Expect", "Accept",
		"Accept-Encoding", "Accepted", "Cookie", "Proxy-Authorization", "Proxy-Connection", "Proxy-", "Forwarded", "X-Forwarded-For", "X-Forwarded-", "X-Request-ID", "X-Service-Key",
		"X-On-Behalf-Of", "X-User-Id", "User-Agent", "webhook-id", "webhook-signature", "webhook-", "Sec-Fetch-Mode", "Sec-"}
	for _, name := range slices.Clone(denied) {
		denied = append(denied, strings.ToUpper(name), strings.ToLower(name))
		for _, mark := range []string{"_", ".", "~", "!", "|"} { // servers that take these for hyphens
			denied = append(denied, strings.ReplaceAll(name, "-", mark), strings.ToUpper(strings.ReplaceAll(name, "-", mark)))
		}
	}
	notNames := []string{"", " ", "X-Key ", " X-Key", "X Key", "X:Key", "X-Key:", "X\r\nHost", "X\tKey", "X\x00", "Schlüssel", "X-Kéy", "X(Key)", "X/Key", "\u212Aey", `X"Key"`, "{x}", strings.Repeat("x", 256)}
	for _, header := range append(denied, notNames...) {
		c := Credential{Type: AuthAPIKey, Value: secret.New("v"), Header: &header}
		f := fault.As(c.check())
		if f == nil || f.Kind != fault.Invalid || len(f.Problems) != 1 || fmt.Sprint(f.Problems[0].Loc) != "[body auth_header]" {
			t.Errorf("%q: got %v, want one problem of auth_header", header, f)
		}
	}
}

func TestWhatACredentialMayBe(t *testing.T) {
	const value = "hush-hush"
	good := Credential{Type: AuthBearerToken, Value: secret.New(value)}
	for _, tt := range []struct {
		sentence string
		change   func(*Credential)
		problem  string
	}{
		{"as it is", func(*Credential) {}, ""},
		{"an API key", func(c *Credential) { c.Type = AuthAPIKey }, ""},
		{"for a public agent", func(c *Credential) { c.Type = AuthPublic }, "credential_type"},
		{"of no type", func(c *Credential) { c.Type = "" }, "credential_type"},
		{"of a type in capitals", func(c *Credential) { c.Type = "API_KEY" }, "credential_type"},
		{"of one character", func(c *Credential) { c.Value = secret.New("ü") }, ""},
		{"the longest", func(c *Credential) { c.Value = secret.New(strings.Repeat("ü", 8192)) }, ""},
		{"longer", func(c *Credential) { c.Value = secret.New(strings.Repeat("h", 8193)) }, "value"},
		{"empty", func(c *Credential) { c.Value = secret.New("") }, "value"},
		{"two lines", func(c *Credential) { c.Value = secret.New("hush\r\nX-User-Id: x") }, "value"},
		{"a tab", func(c *Credential) { c.Value = secret.New("hush\thush") }, "value"},
		{"DEL", func(c *Credential) { c.Value = secret.New("hush\x7f") }, "value"},
		{"NEL, a control character beyond ASCII", func(c *Credential) { c.Value = secret.New("hush\u0085") }, "value"},
		{"spaces", func(c *Credential) { c.Value = secret.New(" hush hush ") }, ""},
		{"a scheme", func(c *Credential) { c.Scheme = new(string); *c.Scheme = "Token" }, ""},
		{"without scheme", func(c *Credential) { c.Scheme = new(string) }, ""},
		{"the longest scheme", func(c *Credential) { s := strings.Repeat("s", 64); c.Scheme = &s }, ""},
		{"a longer scheme", func(c *Credential) { s := strings.Repeat("s", 65); c.Scheme = &s }, "auth_scheme"},
		{"a scheme of two words", func(c *Credential) { s := "Bearer x"; c.Scheme = &s }, "auth_scheme"},
		{"a scheme with an end of line", func(c *Credential) { s := "Bearer\n"; c.Scheme = &s }, "auth_scheme"},
	} {
		c := good
		tt.change(&c)
		f := fault.As(c.check())
		if tt.problem == "" {
			if f != nil {
				t.Errorf("%s: refused: %v", tt.sentence, f)
			}
			continue
		}
		if f == nil || len(f.Problems) != 1 || f.Problems[0].Loc[1] != tt.problem || strings.Contains(fmt.Sprintf("%+v %s", f.Problems, f), "hush") {
			t.Errorf("%s: got %+v, want one problem of %s without the value", tt.sentence, f, tt.problem)
		}
	}
	bad := "X Y"
	if f := fault.As(Credential{Header: &bad, Scheme: &bad}.check()); f == nil || len(f.Problems) != 4 {
		t.Errorf("all faults at once: got %+v, want 4 problems", f)
	}
}

// kept is a CredentialStore without a database.
type kept struct {
	CredentialStore
	mu    sync.Mutex
	rows  []SealedCredential
	fails int // so many listings from now on
}

// log is a buffer for several goroutines.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// taken is what was written since the last call.
func (l *log) taken() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func (k *kept) OtherwiseSealed(_ context.Context, keyID string, after SealedCredential, limit int) ([]SealedCredential, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails > 0 {
		k.fails--
		return nil, errors.New("the database is away")
	}
	var list []SealedCredential
	for _, c := range k.rows { // all of one type and one foreign key: their order is that of agents
		if c.KeyID != keyID && c.Agent > after.Agent && len(list) < limit {
			list = append(list, c)
		}
	}
	return list, nil
}

func (k *kept) Reseal(_ context.Context, before, after SealedCredential) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, c := range k.rows {
		if c.Agent == before.Agent && bytes.Equal(c.Sealed, before.Sealed) {
			k.rows[i] = after
			return true, nil
		}
	}
	return false, nil
}

func keyring(t *testing.T, secrets ...string) *secret.Keyring {
	t.Helper()
	var list []secret.String
	for _, s := range secrets {
		list = append(list, secret.New(s))
	}
	k, err := secret.NewKeyring(CredentialPurpose, list...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealingAgainIsToldWhenThereIsSomethingToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const oldKey, newKey = "old-0123456789abcdef0123456789abcdef", "new-0123456789abcdef0123456789abcdef"
		store := &kept{fails: 3}
		old := NewVault(VaultConfig{Keys: keyring(t, oldKey)})
		add := func(v *Vault, n int) {
			store.mu.Lock()
			defer store.mu.Unlock()
			for range n {
				agent := id.Agent(fmt.Sprintf("agent-%04d", len(store.rows)))
				store.rows = append(store.rows, v.seal(SealedCredential{Agent: agent, Type: AuthAPIKey}, secret.New("hush")))
			}
		}
		add(old, 2*resealBatch+1)
		var log log
		told := log.taken
		v := NewVault(VaultConfig{Store: store, Keys: keyring(t, newKey, oldKey), Log: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()

		synctest.Wait()
		if got := told(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "the database is away") {
			t.Errorf("while the database is away: %s", got)
		}
		time.Sleep(2 * resealRetry)
		synctest.Wait()
		if got := told(); got != "" {
			t.Errorf("and still: %s", got)
		}
		time.Sleep(resealRetry)
		synctest.Wait()
		if got := told(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=INFO") || !strings.Contains(got, fmt.Sprint("resealed=", 2*resealBatch+1)) {
			t.Errorf("when it is back: %s", got)
		}
		time.Sleep(3 * resealEvery)
		synctest.Wait()
		if got := told(); got != "" {
			t.Errorf("with nothing to do: %s", got)
		}
		add(old, 1)
		add(NewVault(VaultConfig{Keys: keyring(t, "lost-0123456789abcdef0123456789abcdef")}), 1)
		time.Sleep(resealEvery)
		synctest.Wait()
		if got := told(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "resealed=1 unreadable=1") || strings.Contains(got, "hush") {
			t.Errorf("with one more, and one lost: %s", got)
		}
		time.Sleep(2 * resealEvery)
		synctest.Wait()
		if got := told(); got != "" {
			t.Errorf("the lost one again: %s", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		alone := NewVault(VaultConfig{Keys: keyring(t, newKey)})
		for _, c := range store.rows[:len(store.rows)-1] {
			if value, err := alone.open(c); err != nil || value.Reveal() != "hush" {
				t.Fatalf("%s: %v", c.Agent, err)
			}
		}
	})
}

// Of what comes in, only what has passed the rules reaches the store.
func TestABadCredentialReachesNoStore(t *testing.T) {
	v := NewVault(VaultConfig{Keys: keyring(t, "new-0123456789abcdef0123456789abcdef")}) // a store would be called in vain: there is none
	host := "Host"
	if err := v.Put(t.Context(), principal.Principal{User: "u"}, "a", Credential{Type: AuthAPIKey, Value: secret.New("hush"), Header: &host}); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want it refused", err)
	}
}

func TestFiguresOfNothingAreNull(t *testing.T) {
	for _, tt := range []struct {
		f                Figures
		share, latency   float64
		rated            Agent
		average          float64
		none, noneToRate bool
	}{
		{none: true, noneToRate: true},
		{f: Figures{Calls: 3, Successes: 2, LatencyMS: 1000}, share: 2.0 / 3, latency: 1000.0 / 3, rated: Agent{RatingSum: 9, RatingCount: 2}, average: 4.5},
		{f: Figures{Calls: 1}, rated: Agent{RatingSum: 5, RatingCount: 1}, average: 5},
	} {
		for name, pair := range map[string]struct {
			got  *float64
			want float64
			none bool
		}{
			"share": {tt.f.SuccessShare(), tt.share, tt.none}, "latency": {tt.f.AverageLatency(), tt.latency, tt.none}, "rating": {tt.rated.RatingAverage(), tt.average, tt.noneToRate},
		} {
			if (pair.got == nil) != pair.none || pair.got != nil && *pair.got != pair.want {
				t.Errorf("%s of %+v: got %v, want %v", name, tt.f, pair.got, pair.want)
			}
		}
	}
	for latency, want := range map[time.Duration]int64{0: 0, -time.Second: 0, 499 * time.Microsecond: 0, 500 * time.Microsecond: 1, 1499 * time.Microsecond: 1, time.Minute: 60000} {
		if got := (Call{Latency: latency, Success: true}).Figures(); got != (Figures{Calls: 1, Successes: 1, LatencyMS: want}) {
			t.Errorf("a call of %v counts as %+v", latency, got)
		}
	}
}
