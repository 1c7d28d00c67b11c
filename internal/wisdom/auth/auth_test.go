package auth_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/identity"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

const (
	jwtSecret  = "0123456789abcdef0123456789abcdef"
	serviceKey = "service-key-one-0123456789abcdef"
	retiredKey = "service-key-two-0123456789abcdef"
	password   = "correct horse"
	peer       = "192.0.2.7"
)

var noon = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)

// cheap hashes cost next to nothing and never wait in vain.
var cheap = auth.Hashing{MemoryKiB: 8, Passes: 1, Wait: time.Minute}

// node is one process of wisdom on a database.
type node struct {
	*auth.Service
	store      *store.Store
	statements atomic.Int64
	retired    atomic.Int64 // uses of the retired service key
}

// faulty is a store of which a test breaks or delays single methods.
type faulty struct {
	auth.Store
	userByEmail   func(ctx context.Context, fold string) (auth.Account, error)
	tokenStanding func(ctx context.Context, user id.User, jti string) (auth.Standing, error)
}

func (f *faulty) UserByEmail(ctx context.Context, fold string) (auth.Account, error) {
	if f.userByEmail != nil {
		return f.userByEmail(ctx, fold)
	}
	return f.Store.UserByEmail(ctx, fold)
}

func (f *faulty) TokenStanding(ctx context.Context, user id.User, jti string) (auth.Standing, error) {
	if f.tokenStanding != nil {
		return f.tokenStanding(ctx, user, jti)
	}
	return f.Store.TokenStanding(ctx, user, jti)
}

func config(now clock.Now) auth.Config {
	return auth.Config{
		Now: now, JWTSecret: secret.New(jwtSecret), TokenLifetime: time.Hour, Hashing: cheap,
		ServiceKeys: secret.NewSet(secret.New(serviceKey), secret.New(retiredKey)),
	}
}

func newNode(t *testing.T, url string, c auth.Config) *node {
	t.Helper()
	n := &node{}
	db, err := sqldb.Open(t.Context(), sqldb.Options{
		URL: url, Migrations: store.Migrations(), Service: "wisdom", Now: c.Now,
		Count: func(string) { n.statements.Add(1) },
	})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	n.store = store.New(db)
	c.OldServiceKey = func() { n.retired.Add(1) }
	n.Service = auth.New(n.store, c)
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode insists on a fault with that code; "" means no error.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if got := codeOf(err); got != code {
		t.Errorf("got %q (%v), want %q", got, err, code)
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if f := fault.As(err); f != nil {
		return f.Code
	}
	return "untyped"
}

func (n *node) user(t *testing.T) auth.User {
	t.Helper()
	u, err := n.Register(t.Context(), auth.NewUser{Email: id.New[string]() + "@example.org", Password: password})
	must(t, err)
	return u
}

func (n *node) login(t *testing.T, u auth.User, password string) string {
	t.Helper()
	token, err := n.Login(t.Context(), u.Email, password, peer)
	must(t, err)
	return token.Text
}

// as returns the principal of a token.
func (n *node) as(t *testing.T, token string) principal.Principal {
	t.Helper()
	p, err := n.try(t, auth.JWT, "Authorization", "Bearer "+token)
	must(t, err)
	return p
}

// key makes an API key and returns its id and text.
func (n *node) key(t *testing.T, token string) (id.APIKey, string) {
	t.Helper()
	k, text, err := n.CreateKey(t.Context(), n.as(t, token), "laptop", nil)
	must(t, err)
	return k.ID, text
}

// try authenticates a request with those headers: name, value, name, value.
func (n *node) try(t testing.TB, class auth.Class, headers ...string) (principal.Principal, error) {
	return n.Authenticator().Authenticate(t.Context(), class, credentials(headers...))
}

func credentials(headers ...string) identity.Credentials {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	return identity.Read(h)
}

// parallel runs f n times at once and returns how often each code came out.
func parallel(n int, f func(i int) error) map[string]int {
	codes := make([]string, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			codes[i] = codeOf(f(i))
		})
	}
	start.Done()
	done.Wait()
	count := map[string]int{}
	for _, code := range codes {
		count[code]++
	}
	return count
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRegister(t *testing.T) {
	first, long := "Ada", strings.Repeat("x", 65)
	open := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	shut := config(testkit.NewClock(noon).Now)
	shut.RegistrationClosed = true
	closed := newNode(t, testkit.SQLite(t), shut)

	t.Run("a new user is active, free and no administrator", func(t *testing.T) {
		got, err := open.Register(t.Context(), auth.NewUser{Email: "Ada.L@Example.ORG", Password: password, FirstName: &first})
		must(t, err)
		want := auth.User{ID: got.ID, Email: "Ada.L@example.org", FirstName: &first, Active: true, Plan: auth.Free, Created: noon, Updated: noon}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if _, ok := id.Parse[id.User](string(got.ID)); !ok {
			t.Errorf("got id %q, want a UUID", got.ID)
		}
	})
	for _, c := range []struct {
		name string
		node *node
		user auth.NewUser
		code string
		locs int
	}{
		{"an address is taken in any case", open, auth.NewUser{Email: "ADA.l@example.Org", Password: password}, "email_taken", 0},
		{"every problem is told at once", open, auth.NewUser{Email: "Ada <ada@example.org>", Password: "1234567", FirstName: &long, LastName: &long}, "validation_error", 4},
		{"a password has 8 characters", open, auth.NewUser{Email: "a@example.org", Password: "ééééééé"}, "validation_error", 1},
		{"and at most 128", open, auth.NewUser{Email: "a@example.org", Password: strings.Repeat("é", 129)}, "validation_error", 1},
		{"closed means closed", closed, auth.NewUser{Email: "a@example.org", Password: password}, "registration_closed", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.node.Register(t.Context(), c.user)
			wantCode(t, err, c.code)
			if f := fault.As(err); f == nil || len(f.Problems) != c.locs {
				t.Errorf("got %v, want %d problems", err, c.locs)
			}
			if strings.Contains(err.Error(), c.user.Password) {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
	t.Run("the operator creates users while registration is closed", func(t *testing.T) {
		_, err := closed.CreateUser(t.Context(), auth.NewUser{Email: "a@example.org", Password: password})
		must(t, err)
	})
}

func TestOf50RegistrationsOfOneAddressOneWins(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		nodes := []*node{newNode(t, url, config(clock.System)), newNode(t, url, config(clock.System))}
		got := parallel(50, func(i int) error {
			email := []string{"one@example.org", "ONE@Example.org"}[i/2%2]
			_, err := nodes[i%2].Register(t.Context(), auth.NewUser{Email: email, Password: password})
			return err
		})
		if got[""] != 1 || got["email_taken"] != 49 {
			t.Errorf("got %v, want 1 and 49 times email_taken", got)
		}
	})
}

func TestLogin(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		n := newNode(t, open(), config(testkit.NewClock(noon).Now))
		u, gone := n.user(t), n.user(t)
		_, err := n.SetActive(t.Context(), auth.Ref{ID: gone.ID}, false)
		must(t, err)
		for _, c := range []struct {
			name, email, password, code string
		}{
			{"the right password", u.Email, password, ""},
			{"the address in another case", strings.ToUpper(u.Email), password, ""},
			{"a wrong password", u.Email, "correct horsE", "invalid_credentials"},
			{"no password", u.Email, "", "invalid_credentials"},
			{"a password longer than any", u.Email, strings.Repeat(password, 1000), "invalid_credentials"},
			{"an unknown address", "nobody@example.org", password, "invalid_credentials"},
			{"no address", "", password, "invalid_credentials"},
			{"an address longer than any", strings.Repeat("x", 10000), password, "invalid_credentials"},
			{"an inactive user", gone.Email, password, "invalid_credentials"},
			{"an inactive user with a wrong password", gone.Email, "wrong", "invalid_credentials"},
		} {
			t.Run(c.name, func(t *testing.T) {
				before := n.Hashed()
				token, err := n.Login(t.Context(), c.email, c.password, peer)
				wantCode(t, err, c.code)
				if got := n.Hashed() - before; got != 1 {
					t.Errorf("got %d hashes, want 1: the time tells accounts from others", got)
				}
				if err != nil {
					if got, want := err.Error(), "invalid_credentials: Incorrect e-mail or password"; got != want || token.Text != "" {
						t.Errorf("got %q and token %q, want %q", got, token.Text, want)
					}
					return
				}
				if token.Lifetime != time.Hour {
					t.Errorf("got lifetime %v, want 1h", token.Lifetime)
				}
				p := n.as(t, token.Text)
				if p.User != u.ID || p.Via != principal.JWT || p.Token == "" || p.Admin || !p.Expires.Equal(noon.Add(time.Hour)) {
					t.Errorf("got %+v", p)
				}
			})
		}
	})
}

// TestPasswordChangedDuringLogin proves that the old password's token is not made
// after the change that was to end it.
func TestPasswordChangedDuringLogin(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	u := n.user(t)
	token := n.login(t, u, password)
	slow := &faulty{Store: n.store}
	slow.userByEmail = func(ctx context.Context, fold string) (auth.Account, error) {
		a, err := n.store.UserByEmail(ctx, fold)
		must(t, n.ChangePassword(ctx, n.as(t, token), password, "another one", peer))
		now.Add(5 * time.Second) // the login ends later than the change
		return a, err
	}
	_, err := auth.New(slow, config(now.Now)).Login(t.Context(), u.Email, password, peer)
	wantCode(t, err, "invalid_credentials")
}

func TestTokensEndWithinTheSecond(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		now := testkit.NewClock(noon.Add(300 * time.Millisecond))
		n := newNode(t, open(), config(now.Now))
		u := n.user(t)
		secretWord, next := password, "x"
		var dead []string
		for round := range 3 { // all within one second
			a, b := n.login(t, u, secretWord), n.login(t, u, secretWord)
			p := n.as(t, a)
			n.as(t, b)
			if round == 2 {
				_, err := n.SetActive(t.Context(), auth.Ref{ID: u.ID}, false)
				must(t, err)
				_, err = n.SetActive(t.Context(), auth.Ref{ID: u.ID}, true)
				must(t, err)
			} else {
				must(t, n.ChangePassword(t.Context(), p, secretWord, secretWord+next, peer))
				secretWord += next
			}
			dead = append(dead, a, b)
			for i, token := range dead {
				_, err := n.try(t, auth.JWT, "Authorization", "Bearer "+token)
				if codeOf(err) != "not_authenticated" {
					t.Errorf("round %d: token %d still works", round, i)
				}
			}
			_, err := n.Login(t.Context(), u.Email, password, peer)
			if round == 0 {
				wantCode(t, err, "invalid_credentials")
			}
		}
		n.as(t, n.login(t, u, secretWord)) // a login right afterwards works
	})
}

func TestLogoutEndsOneToken(t *testing.T) {
	n := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	u := n.user(t)
	a, b := n.login(t, u, password), n.login(t, u, password)
	_, key := n.key(t, a)
	p := n.as(t, a)
	must(t, n.Logout(t.Context(), p))
	must(t, n.Logout(t.Context(), p)) // twice is once
	_, err := n.try(t, auth.JWT, "Authorization", "Bearer "+a)
	wantCode(t, err, "not_authenticated")
	n.as(t, b)
	_, err = n.try(t, auth.AnyUser, "X-API-Key", key)
	must(t, err)
	wantCode(t, n.Logout(t.Context(), principal.Principal{User: u.ID, Via: principal.APIKey}), "jwt_required")
}

func TestPasswordChange(t *testing.T) {
	n := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	u := n.user(t)
	token := n.login(t, u, password)
	_, key := n.key(t, token)
	p := n.as(t, token)
	wantCode(t, n.ChangePassword(t.Context(), p, password, "1234567", peer), "validation_error")
	wantCode(t, n.ChangePassword(t.Context(), p, strings.Repeat(password, 100), "another one", peer), "wrong_password")
	wantCode(t, n.ChangePassword(t.Context(), principal.Principal{User: u.ID, Via: principal.APIKey}, password, "another one", peer), "jwt_required")
	n.as(t, token)
	must(t, n.ChangePassword(t.Context(), p, password, "another one", peer))
	_, err := n.try(t, auth.AnyUser, "X-API-Key", key) // keys stay
	must(t, err)
	_, err = n.Login(t.Context(), u.Email, password, peer)
	wantCode(t, err, "invalid_credentials")
	n.login(t, u, "another one")
}

func TestKeys(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		now := testkit.NewClock(noon)
		n := newNode(t, open(), config(now.Now))
		u, other := n.user(t), n.user(t)
		p, stranger := n.as(t, n.login(t, u, password)), n.as(t, n.login(t, other, password))
		past, ends := noon, noon.Add(time.Hour)
		for _, c := range []struct {
			name    string
			p       principal.Principal
			key     string
			expires *time.Time
			code    string
		}{
			{"a key", p, "laptop", nil, ""},
			{"a key that ends", p, strings.Repeat("é", 255), &ends, ""},
			{"no name", p, "", nil, "validation_error"},
			{"a long name", p, strings.Repeat("é", 256), nil, "validation_error"},
			{"an end that is not in the future", p, "x", &past, "validation_error"},
			{"by a key", principal.Principal{User: u.ID, Via: principal.APIKey}, "x", nil, "jwt_required"},
		} {
			now.Add(time.Second)
			k, text, err := n.CreateKey(t.Context(), c.p, c.key, c.expires)
			if codeOf(err) != c.code {
				t.Errorf("%s: got %v, want %q", c.name, err, c.code)
			}
			if err == nil && (len(text) != 47 || !strings.HasPrefix(text, "wsk_") || k.Name != c.key || k.Expires != c.expires) {
				t.Errorf("%s: got %+v and %q", c.name, k, text)
			}
		}
		list, err := n.Keys(t.Context(), p)
		must(t, err)
		if len(list) != 2 || list[1].Name != "laptop" || list[0].Expires == nil {
			t.Fatalf("got %+v, want the two keys, newest first", list)
		}
		for _, key := range []id.APIKey{list[0].ID, id.New[id.APIKey]()} {
			wantCode(t, n.DeleteKey(t.Context(), stranger, key), "not_found")
		}
		wantCode(t, n.DeleteKey(t.Context(), principal.Principal{User: u.ID, Via: principal.APIKey}, list[0].ID), "jwt_required")
		must(t, n.DeleteKey(t.Context(), p, list[0].ID))
		wantCode(t, n.DeleteKey(t.Context(), p, list[0].ID), "not_found")
		if list, err = n.Keys(t.Context(), stranger); err != nil || list == nil || len(list) != 0 {
			t.Errorf("got %v, %v, want an empty list", list, err)
		}
	})
}

func TestAdministration(t *testing.T) {
	n := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	operator := auth.New(n.store, auth.Config{Hashing: cheap}) // what a command line has
	ctx, u, boss := t.Context(), n.user(t), n.user(t)
	no, yes, pro, gold := false, true, auth.Pro, auth.Plan("gold")
	_, err := operator.GrantAdmin(ctx, auth.Ref{Email: strings.ToUpper(boss.Email)}, true)
	must(t, err)
	token := n.login(t, boss, password)
	p, err := n.try(t, auth.Admin, "Authorization", "Bearer "+token)
	must(t, err)
	for _, c := range []struct {
		name   string
		p      principal.Principal
		user   id.User
		active *bool
		plan   *auth.Plan
		code   string
		want   func(auth.User) bool
	}{
		{"nothing", p, u.ID, nil, nil, "", func(u auth.User) bool { return u.Active && u.Plan == auth.Free }},
		{"the plan", p, u.ID, nil, &pro, "", func(u auth.User) bool { return u.Active && u.Plan == auth.Pro }},
		{"deactivation", p, u.ID, &no, nil, "", func(u auth.User) bool { return !u.Active && u.Plan == auth.Pro }},
		{"activation", p, u.ID, &yes, nil, "", func(u auth.User) bool { return u.Active }},
		{"another plan", p, u.ID, nil, &gold, "validation_error", nil},
		{"an unknown user", p, id.New[id.User](), &no, nil, "not_found", nil},
		{"by somebody else", principal.Principal{User: u.ID, Via: principal.JWT}, boss.ID, &no, nil, "forbidden", nil},
	} {
		got, err := n.AdminUpdate(ctx, c.p, c.user, c.active, c.plan)
		if codeOf(err) != c.code {
			t.Errorf("%s: got %v, want %q", c.name, err, c.code)
		}
		if c.want != nil && !c.want(got) {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
	for name, change := range map[string]func(auth.Ref) (auth.User, error){
		"deactivate": func(r auth.Ref) (auth.User, error) { return operator.SetActive(ctx, r, false) },
		"set plan":   func(r auth.Ref) (auth.User, error) { return operator.SetPlan(ctx, r, auth.Free) },
		"no admin":   func(r auth.Ref) (auth.User, error) { return operator.GrantAdmin(ctx, r, false) },
	} {
		for _, r := range []auth.Ref{{ID: u.ID}, {Email: u.Email}} {
			if got, err := change(r); err != nil || got.ID != u.ID {
				t.Errorf("%s %+v: got %+v, %v", name, r, got, err)
			}
		}
		for _, r := range []auth.Ref{{ID: id.New[id.User]()}, {Email: "nobody@example.org"}, {}} {
			if _, err := change(r); codeOf(err) != "not_found" {
				t.Errorf("%s %+v: got %v, want not_found", name, r, err)
			}
		}
	}
	list, err := operator.ListUsers(ctx, auth.Cursor{}, 10)
	must(t, err)
	if len(list) != 2 || list[0].Active == list[1].Active {
		t.Errorf("got %+v, want both users, one inactive", list)
	}
	if _, err := operator.Login(ctx, boss.Email, password, peer); codeOf(err) != "untyped" {
		t.Errorf("without a secret: got %v, want an untyped error", err)
	}
}

func TestMe(t *testing.T) {
	n := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	u := n.user(t)
	got, err := n.Me(t.Context(), principal.Principal{User: u.ID})
	must(t, err)
	if got != u {
		t.Errorf("got %+v, want %+v", got, u)
	}
}
