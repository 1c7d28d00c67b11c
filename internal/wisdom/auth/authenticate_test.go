package auth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

var allClasses = []auth.Class{auth.Public, auth.AnyUser, auth.JWT, auth.KeyMgmt, auth.Delegable, auth.Admin}

// TestClasses is the table of contract §2.1: what each class answers to each set of
// credentials. "jwt", "key" and "" (nobody) say how the request acts.
func TestClasses(t *testing.T) {
	n := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	u, boss := n.user(t), n.user(t)
	_, err := n.GrantAdmin(t.Context(), auth.Ref{ID: boss.ID}, true)
	must(t, err)
	jwt, bossJWT := "Bearer "+n.login(t, u, password), "Bearer "+n.login(t, boss, password)
	_, key := n.key(t, jwt[7:])
	_, bossKey := n.key(t, bossJWT[7:])
	const no, need, admin, twice = "not_authenticated", "jwt_required", "forbidden", "duplicate_credentials"
	for _, c := range []struct {
		name    string
		headers []string
		// answers of AnyUser, JWT, KeyMgmt, Delegable, Admin; Public is always nobody
		want [5]string
	}{
		{"nothing", nil, [5]string{no, no, no, no, no}},
		{"a token", []string{"Authorization", jwt}, [5]string{"jwt", "jwt", "jwt", "jwt", admin}},
		{"a token, scheme in another case", []string{"Authorization", "bEARER  " + jwt[7:]}, [5]string{"jwt", "jwt", "jwt", "jwt", admin}},
		{"an administrator's token", []string{"Authorization", bossJWT}, [5]string{"jwt", "jwt", "jwt", "jwt", "jwt"}},
		{"an administrator's key", []string{"X-API-Key", bossKey}, [5]string{"key", no, need, "key", no}},
		{"a key", []string{"X-API-Key", key}, [5]string{"key", no, need, "key", no}},
		{"a wrong key", []string{"X-API-Key", key[:46] + "_"}, [5]string{no, no, no, no, no}},
		{"an empty key", []string{"X-API-Key", ""}, [5]string{no, no, no, no, no}},
		{"a token and a key", []string{"Authorization", jwt, "X-API-Key", bossKey}, [5]string{"jwt", "jwt", "jwt", "jwt", admin}},
		{"a token and a wrong key", []string{"Authorization", jwt, "X-API-Key", "wsk_x"}, [5]string{"jwt", "jwt", "jwt", "jwt", admin}},
		{"a wrong token and a key", []string{"Authorization", jwt + "x", "X-API-Key", key}, [5]string{"key", no, need, "key", no}},
		{"a wrong token", []string{"Authorization", jwt + "x"}, [5]string{no, no, no, no, no}},
		{"another scheme", []string{"Authorization", "Basic " + jwt[7:]}, [5]string{no, no, no, no, no}},
		{"another scheme and a key", []string{"Authorization", "Basic x", "X-API-Key", key}, [5]string{"key", no, need, "key", no}},
		{"no scheme", []string{"Authorization", jwt[7:]}, [5]string{no, no, no, no, no}},
		{"scheme alone", []string{"Authorization", "Bearer"}, [5]string{no, no, no, no, no}},
		{"a key as a token", []string{"Authorization", "Bearer " + key}, [5]string{no, no, no, no, no}},
		{"a token as a key", []string{"X-API-Key", jwt[7:]}, [5]string{no, no, no, no, no}},
		{"the same token twice", []string{"Authorization", jwt, "Authorization", jwt}, [5]string{twice, twice, twice, twice, twice}},
		{"the same key twice", []string{"X-API-Key", key, "X-API-Key", key}, [5]string{twice, twice, twice, twice, twice}},
		{"a token and two keys", []string{"Authorization", jwt, "X-API-Key", key, "X-API-Key", ""}, [5]string{twice, twice, twice, twice, twice}},
		{"a token and two targets", []string{"Authorization", jwt, "X-On-Behalf-Of", "", "X-On-Behalf-Of", ""}, [5]string{twice, twice, twice, twice, twice}},
		{"two right service keys", []string{"X-Service-Key", serviceKey, "X-Service-Key", serviceKey, "X-On-Behalf-Of", string(u.ID)}, [5]string{twice, twice, twice, twice, twice}},
		{"a service key and two tokens", []string{"X-Service-Key", serviceKey, "Authorization", jwt, "Authorization", jwt}, [5]string{twice, twice, twice, twice, twice}},
		{"a target alone is ignored", []string{"X-On-Behalf-Of", string(u.ID)}, [5]string{no, no, no, no, no}},
		{"a target beside a token is ignored", []string{"X-On-Behalf-Of", string(boss.ID), "Authorization", jwt}, [5]string{"jwt", "jwt", "jwt", "jwt", admin}},
		{"a service acts on delegable routes only", []string{"X-Service-Key", serviceKey, "X-On-Behalf-Of", string(u.ID)}, [5]string{no, no, no, "service", no}},
		{"a service for an administrator", []string{"X-Service-Key", serviceKey, "X-On-Behalf-Of", string(boss.ID)}, [5]string{no, no, no, "service", no}},
		{"service headers beside a token", []string{"X-Service-Key", "wrong", "Authorization", jwt}, [5]string{"jwt", "jwt", "jwt", no, admin}},
		{"a service key as a key", []string{"X-API-Key", serviceKey, "X-On-Behalf-Of", string(u.ID)}, [5]string{no, no, no, no, no}},
		{"a service key as a token", []string{"Authorization", "Bearer " + serviceKey, "X-On-Behalf-Of", string(u.ID)}, [5]string{no, no, no, no, no}},
		{"another header with underscores", []string{"X_Service_Key", serviceKey, "X-On-Behalf-Of", string(u.ID), "X-API-Key", key}, [5]string{"key", no, need, "key", no}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, class := range allClasses {
				p, err := n.try(t, class, c.headers...)
				want := ""
				if i > 0 {
					want = c.want[i-1]
				}
				if got := shown(p, err); got != want {
					t.Errorf("class %d: got %q (%v), want %q", class, got, err, want)
				}
				if err != nil && p != (principal.Principal{}) {
					t.Errorf("class %d: got principal %+v beside an error", class, p)
				}
				if admin := p.Via == principal.JWT && p.User == boss.ID; p.Admin != admin {
					t.Errorf("class %d: got admin %v, want %v", class, p.Admin, admin)
				}
			}
		})
	}
	for _, class := range []auth.Class{0, auth.Admin + 1, 255} {
		if _, err := n.try(t, class, "Authorization", jwt); codeOf(err) != "untyped" {
			t.Errorf("class %d: got %v, want an untyped error", class, err)
		}
	}
}

func shown(p principal.Principal, err error) string {
	if err != nil {
		return codeOf(err)
	}
	return map[principal.Via]string{principal.JWT: "jwt", principal.APIKey: "key", principal.Delegation: "service"}[p.Via]
}

// TestDelegation is the table of contract §2.3, with and without credentials of a user.
func TestDelegation(t *testing.T) {
	n := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	u, gone, self := n.user(t), n.user(t), n.user(t)
	_, err := n.SetActive(t.Context(), auth.Ref{ID: gone.ID}, false)
	must(t, err)
	jwt := "Bearer " + n.login(t, self, password)
	_, key := n.key(t, jwt[7:])
	upper := strings.ToUpper(string(u.ID))
	const no, required, invalid, missing = "not_authenticated", "on_behalf_of_required", "on_behalf_of_invalid", "not_found"
	own := map[string][]string{
		"no credential": nil, "a token": {"Authorization", jwt}, "a key": {"X-API-Key", key}, "a wrong token": {"Authorization", "Bearer x"},
	}
	for _, c := range []struct {
		name, service string
		target        []string
		want          string
	}{
		{"a right key and a user", serviceKey, []string{string(u.ID)}, "service"},
		{"the retired key", retiredKey, []string{string(u.ID)}, "service"},
		{"the user in upper case", serviceKey, []string{upper}, "service"},
		{"an empty key", "", []string{string(u.ID)}, no},
		{"a blank key", " ", []string{string(u.ID)}, no},
		{"a wrong key", serviceKey + "x", []string{string(u.ID)}, no},
		{"the beginning of the key", serviceKey[:31], []string{string(u.ID)}, no},
		{"both keys", serviceKey + "," + retiredKey, []string{string(u.ID)}, no},
		{"another secret", jwtSecret, []string{string(u.ID)}, no},
		{"a wrong key beats a repeated target", "wrong", []string{string(u.ID), string(u.ID)}, no},
		{"a wrong key beats a missing target", "wrong", nil, no},
		{"a repeated target", serviceKey, []string{string(u.ID), string(u.ID)}, "duplicate_credentials"},
		{"no target", serviceKey, nil, required},
		{"an empty target", serviceKey, []string{""}, required},
		{"a blank target", serviceKey, []string{" \t"}, required},
		{"not a UUID", serviceKey, []string{"ada"}, invalid},
		{"something around", serviceKey, []string{"x" + string(u.ID) + "y"}, invalid},
		{"a space behind", serviceKey, []string{string(u.ID) + " "}, invalid},
		{"urn", serviceKey, []string{"urn:uuid:" + string(u.ID)}, invalid},
		{"braces", serviceKey, []string{"{" + string(u.ID) + "}"}, invalid},
		{"no hyphens", serviceKey, []string{strings.ReplaceAll(string(u.ID), "-", "")}, invalid},
		{"an unknown user", serviceKey, []string{id.New[string]()}, missing},
		{"an inactive user", serviceKey, []string{string(gone.ID)}, missing},
	} {
		for name, credential := range own {
			headers := append([]string{"X-Service-Key", c.service}, credential...)
			for _, target := range c.target {
				headers = append(headers, "X-On-Behalf-Of", target)
			}
			p, err := n.try(t, auth.Delegable, headers...)
			if got := shown(p, err); got != c.want {
				t.Errorf("%s with %s: got %q, want %q", c.name, name, got, c.want)
			}
			if err == nil && (p.User != u.ID || p.Key != "" || p.Token != "" || p.Actor() != (principal.Actor{Type: "service", ID: "wisdom-agents"})) {
				t.Errorf("%s with %s: got %+v", c.name, name, p)
			}
			if got, want := isRefusedKey(err), c.want == no; got != want {
				t.Errorf("%s with %s: recorded as a refused key: %v, want %v", c.name, name, got, want)
			}
			if err != nil && len(c.service) > 8 && strings.Contains(err.Error(), c.service) {
				t.Errorf("%s: the error tells the key: %v", c.name, err)
			}
		}
	}
	t.Run("repeated credentials count only behind a right key", func(t *testing.T) {
		for key, want := range map[string]string{serviceKey: "duplicate_credentials", "wrong": no, "": no} {
			_, err := n.try(t, auth.Delegable, "X-Service-Key", key, "X-On-Behalf-Of", string(u.ID), "X-API-Key", "a", "X-API-Key", "b")
			wantCode(t, err, want)
		}
	})
	t.Run("unknown and inactive targets look alike", func(t *testing.T) {
		_, err1 := n.try(t, auth.Delegable, "X-Service-Key", serviceKey, "X-On-Behalf-Of", id.New[string]())
		_, err2 := n.try(t, auth.Delegable, "X-Service-Key", serviceKey, "X-On-Behalf-Of", string(gone.ID))
		if err1.Error() != err2.Error() {
			t.Errorf("got %q and %q", err1, err2)
		}
	})
	t.Run("the depth is read on the service path only", func(t *testing.T) {
		p, err := n.try(t, auth.Delegable, "X-Service-Key", serviceKey, "X-On-Behalf-Of", string(u.ID), "X-Invocation-Depth", "3")
		must(t, err)
		own, err := n.try(t, auth.Delegable, "Authorization", jwt, "X-Invocation-Depth", "3")
		must(t, err)
		if p.Depth != 3 || own.Depth != 0 {
			t.Errorf("got %d and %d, want 3 and 0", p.Depth, own.Depth)
		}
	})
}

func isRefusedKey(err error) bool { return errors.Is(err, auth.ErrServiceKey) }

func TestBlankServiceKeysAreOff(t *testing.T) {
	for _, keys := range [][]secret.String{nil, {secret.New("")}, {secret.New(" \t ")}} {
		c := config(testkit.NewClock(noon).Now)
		c.ServiceKeys = secret.NewSet(keys...)
		n := newNode(t, testkit.SQLite(t), c)
		u := n.user(t)
		for _, given := range []string{"", " ", " \t ", serviceKey, "[secret]"} {
			_, err := n.try(t, auth.Delegable, "X-Service-Key", given, "X-On-Behalf-Of", string(u.ID))
			wantCode(t, err, "not_authenticated")
			if !isRefusedKey(err) {
				t.Errorf("%q: the refusal leaves no record", given)
			}
		}
	}
}

func TestRetiredServiceKeyIsCountedAndLoggedOnceAMinute(t *testing.T) {
	now, records := testkit.NewClock(noon), &logged{}
	c := config(now.Now)
	c.Log = slog.New(records)
	n := newNode(t, testkit.SQLite(t), c)
	u := n.user(t)
	for i, step := range []struct {
		after     time.Duration
		key       string
		used, log int
	}{
		{0, serviceKey, 0, 0},
		{0, retiredKey, 1, 1},
		{59 * time.Second, retiredKey, 2, 1},
		{time.Second, retiredKey, 3, 2},
		{time.Second, serviceKey, 3, 2},
	} {
		now.Add(step.after)
		_, err := n.try(t, auth.Delegable, "X-Service-Key", step.key, "X-On-Behalf-Of", string(u.ID))
		must(t, err)
		if got := int(n.retired.Load()); got != step.used || len(records.texts) != step.log {
			t.Errorf("step %d: got %d uses and %d logs, want %d and %d", i, got, len(records.texts), step.used, step.log)
		}
	}
	if all := strings.Join(records.texts, "\n"); strings.Contains(all, retiredKey) || !strings.Contains(all, "position=2") {
		t.Errorf("got log %q, want the key's position without the key", all)
	}
}

func TestKeyOfInactiveUserAndEndedKey(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	u := n.user(t)
	p := n.as(t, n.login(t, u, password))
	ends := noon.Add(300 * time.Millisecond)
	_, short, err := n.CreateKey(t.Context(), p, "short", &ends)
	must(t, err)
	k, long, err := n.CreateKey(t.Context(), p, "long", nil)
	must(t, err)
	for _, step := range []struct{ after, key, want string }{
		{"0s", short, ""}, {"299999us", short, ""}, {"1us", short, "not_authenticated"}, {"10s", short, "not_authenticated"}, {"0s", long, ""},
	} {
		d, err := time.ParseDuration(step.after)
		must(t, err)
		now.Add(d)
		got, err := n.try(t, auth.AnyUser, "X-API-Key", step.key)
		wantCode(t, err, step.want)
		if err == nil && (got.User != u.ID || got.Via != principal.APIKey || got.Actor().Type != "api_key") {
			t.Errorf("got %+v", got)
		}
		if step.key == long && got.Key != k.ID {
			t.Errorf("got key %q, want %q", got.Key, k.ID)
		}
	}
	_, err = n.SetActive(t.Context(), auth.Ref{ID: u.ID}, false)
	must(t, err)
	_, err = n.try(t, auth.AnyUser, "X-API-Key", long)
	wantCode(t, err, "not_authenticated")
	_, err = n.SetActive(t.Context(), auth.Ref{ID: u.ID}, true)
	must(t, err)
	_, err = n.try(t, auth.AnyUser, "X-API-Key", long)
	must(t, err)
}

func TestCachedTokenEndsOnTime(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	token := n.login(t, n.user(t), password)
	now.Add(time.Hour - 100*time.Millisecond)
	n.as(t, token)
	now.Add(100*time.Millisecond - time.Microsecond)
	n.as(t, token)
	before := n.statements.Load()
	now.Add(time.Microsecond)
	_, err := n.try(t, auth.JWT, "Authorization", "Bearer "+token)
	wantCode(t, err, "not_authenticated")
	if got := n.statements.Load() - before; got != 0 {
		t.Errorf("got %d statements, want 0: the entry was warm", got)
	}
}

// TestRevocation proves that what one node ends is dead there at once, and on another
// node within a second, on the real clock and with the other node's cache warm.
func TestRevocation(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		here, there := newNode(t, url, config(clock.System)), newNode(t, url, config(clock.System))
		var wg sync.WaitGroup
		for name, revoke := range map[string]func(u auth.User, p principal.Principal, key id.APIKey) error{
			"logout": func(_ auth.User, p principal.Principal, _ id.APIKey) error { return here.Logout(t.Context(), p) },
			"password": func(_ auth.User, p principal.Principal, _ id.APIKey) error {
				return here.ChangePassword(t.Context(), p, password, "another one", peer)
			},
			"key deletion": func(_ auth.User, p principal.Principal, key id.APIKey) error {
				return here.DeleteKey(t.Context(), p, key)
			},
			"deactivation": func(u auth.User, _ principal.Principal, _ id.APIKey) error {
				_, err := here.SetActive(t.Context(), auth.Ref{ID: u.ID}, false)
				return err
			},
		} {
			u := here.user(t)
			token := here.login(t, u, password)
			keyID, key := here.key(t, token)
			p := here.as(t, token)
			ended := map[string][]string{}
			if name != "key deletion" {
				ended["token"] = []string{"Authorization", "Bearer " + token}
			}
			if name == "key deletion" || name == "deactivation" {
				ended["key"] = []string{"X-API-Key", key}
			}
			if name == "deactivation" {
				ended["delegation"] = []string{"X-Service-Key", serviceKey, "X-On-Behalf-Of", string(u.ID)}
			}
			wg.Go(func() {
				for what, headers := range ended {
					for _, n := range []*node{here, there} {
						if _, err := n.try(t, auth.Delegable, headers...); err != nil {
							t.Errorf("%s: %s does not work before it: %v", name, what, err)
						}
					}
				}
				if err := revoke(u, p, keyID); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				done := clock.System()
				for what, headers := range ended {
					if _, err := here.try(t, auth.Delegable, headers...); err == nil {
						t.Errorf("%s: %s still works on this node", name, what)
					}
				}
				for what, headers := range ended {
					for {
						asked := clock.System()
						_, err := there.try(t, auth.Delegable, headers...)
						if err != nil {
							break
						}
						if asked.Sub(done) >= time.Second {
							t.Errorf("%s: %s still works on the other node after %v", name, what, asked.Sub(done))
							break
						}
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestLastUseIsNotedInTheBackgroundOnceAMinute(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		now := testkit.NewClock(noon)
		n := newNode(t, open(), config(now.Now))
		p := n.as(t, n.login(t, n.user(t), password))
		_, key, err := n.CreateKey(t.Context(), p, "laptop", nil)
		must(t, err)
		use := func() {
			t.Helper()
			_, err := n.try(t, auth.AnyUser, "X-API-Key", key)
			must(t, err)
		}
		noted := func(writes int64) string {
			t.Helper()
			ctx, stop := context.WithCancel(t.Context())
			stop() // Run notes what is queued and returns
			before := n.statements.Load()
			must(t, n.Run(ctx))
			if got := n.statements.Load() - before; got != writes {
				t.Errorf("got %d statements, want %d", got, writes)
			}
			list, err := n.Keys(t.Context(), p)
			must(t, err)
			if list[0].LastUsed == nil {
				return "never"
			}
			return list[0].LastUsed.Sub(noon).String()
		}
		if got := noted(0); got != "never" {
			t.Errorf("unused: got %s, want never", got)
		}
		for _, step := range []struct {
			after  time.Duration
			writes int64
			want   string
		}{{0, 1, "0s"}, {30 * time.Second, 0, "0s"}, {29 * time.Second, 0, "0s"}, {time.Second, 1, "1m0s"}, {time.Hour, 1, "1h1m0s"}} {
			now.Add(step.after)
			for range 3 {
				use()
			}
			if got := noted(step.writes); got != step.want {
				t.Errorf("after another %v: got %s, want %s", step.after, got, step.want)
			}
		}
	})
}

// TestNobodyWaitsForTheNotes uses a key far more often than there is room for notes,
// while nobody takes them.
func TestNobodyWaitsForTheNotes(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	_, key := n.key(t, n.login(t, n.user(t), password))
	for range 1100 {
		now.Add(time.Second)
		_, err := n.try(t, auth.AnyUser, "X-API-Key", key)
		must(t, err)
	}
}

func TestRunForgetsWhatEndedAndStops(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	u := n.user(t)
	p := n.as(t, n.login(t, u, password))
	must(t, n.Logout(t.Context(), p))
	for i := range 5 {
		_, err := n.Login(t.Context(), fmt.Sprintf("nobody%d@example.org", i), "wrong", peer)
		wantCode(t, err, "invalid_credentials")
	}
	revoked := func() bool {
		st, err := n.store.TokenStanding(t.Context(), u.ID, p.Token)
		must(t, err)
		return st.Revoked
	}
	run := func() {
		ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer stop()
		must(t, n.Run(ctx))
	}
	now.Add(2 * time.Hour) // the token ended an hour ago
	run()
	if !revoked() {
		t.Error("forgotten although another node's clock may be an hour behind")
	}
	now.Add(time.Microsecond)
	run()
	if revoked() {
		t.Error("still remembered")
	}
}

// logged collects log records.
type logged struct {
	slog.Handler
	mu    sync.Mutex
	texts []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.texts = append(l.texts, text)
	return nil
}
