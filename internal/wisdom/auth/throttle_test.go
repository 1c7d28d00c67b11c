package auth_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

func TestThrottle(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		now := testkit.NewClock(noon)
		n := newNode(t, open(), config(now.Now))
		fail := func(t *testing.T, times int, email, peer, want string) {
			t.Helper()
			for i := range times {
				if _, err := n.Login(t.Context(), email, "wrong", peer); codeOf(err) != want {
					t.Fatalf("login %d: got %v, want %s", i, err, want)
				}
			}
		}
		throttled := func(t *testing.T, err error, after time.Duration) {
			t.Helper()
			f := fault.As(err)
			if f == nil || f.Kind != fault.RateLimited || f.Code != "login_throttled" || f.RetryAfter != after {
				t.Errorf("got %v (%+v), want login_throttled for %v", err, f, after)
			}
		}
		t.Run("an account takes 10 failures, known or not", func(t *testing.T) {
			for _, email := range []string{n.user(t).Email, "nobody@example.org"} {
				fail(t, 10, email, peer, "invalid_credentials")
				now.Add(time.Minute)
				_, err := n.Login(t.Context(), strings.ToUpper(email), password, "192.0.2.99")
				throttled(t, err, 14*time.Minute)
				before := n.Hashed()
				fail(t, 5, email, peer, "login_throttled")
				if n.Hashed() != before {
					t.Error("a throttled login was hashed")
				}
			}
		})
		t.Run("and is free again after 15 minutes", func(t *testing.T) {
			u := n.user(t)
			fail(t, 10, u.Email, "192.0.2.20", "invalid_credentials")
			now.Add(15*time.Minute - time.Microsecond)
			fail(t, 1, u.Email, "192.0.2.20", "login_throttled")
			now.Add(time.Microsecond)
			n.login(t, u, password)
		})
		t.Run("a success clears the account", func(t *testing.T) {
			u := n.user(t)
			for range 3 {
				fail(t, 9, u.Email, "192.0.2.21", "invalid_credentials")
				n.login(t, u, password)
			}
		})
		t.Run("a throttled account costs its peer nothing", func(t *testing.T) {
			u := n.user(t)
			fail(t, 10, u.Email, "192.0.2.22", "invalid_credentials")
			fail(t, 100, u.Email, "192.0.2.22", "login_throttled")
			fail(t, 1, id.New[string](), "192.0.2.22", "invalid_credentials")
		})
		t.Run("a peer takes 100 failures, an IPv6 one by its network", func(t *testing.T) {
			u := n.user(t)
			for i := range 100 {
				fail(t, 1, id.New[string](), "2001:db8::"+string("0123456789abcdef"[i%16]), "invalid_credentials")
				if i%10 == 0 || i == 98 { // successes neither count nor clear the peer
					_, err := n.Login(t.Context(), u.Email, password, "2001:db8::1")
					must(t, err)
				}
			}
			_, err := n.Login(t.Context(), u.Email, password, "2001:db8::1")
			throttled(t, err, 15*time.Minute)
			_, err = n.Login(t.Context(), u.Email, password, "2001:db8:0:1::1")
			must(t, err)
			fail(t, 20, u.Email, "2001:db8::2", "login_throttled")
			_, err = n.Login(t.Context(), u.Email, password, "2001:db8:0:1::1")
			must(t, err) // the throttled peer used up nothing of the account
		})
		t.Run("a wrong old password counts the same", func(t *testing.T) {
			u := n.user(t)
			p := n.as(t, n.login(t, u, password))
			for range 10 {
				wantCode(t, n.ChangePassword(t.Context(), p, "wrong", "another one", peer), "wrong_password")
			}
			throttled(t, n.ChangePassword(t.Context(), p, password, "another one", peer), 15*time.Minute)
			fail(t, 1, u.Email, peer, "login_throttled")
		})
	})
}

func TestOf50WrongLoginsExactly10AreHashed(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		nodes := []*node{newNode(t, url, config(clock.System)), newNode(t, url, config(clock.System))}
		u := nodes[0].user(t)
		before := nodes[0].Hashed() + nodes[1].Hashed()
		got := parallel(50, func(i int) error {
			_, err := nodes[i%2].Login(t.Context(), u.Email, "wrong", peer)
			return err
		})
		if got["invalid_credentials"] != 10 || got["login_throttled"] != 40 {
			t.Errorf("got %v, want 10 and 40", got)
		}
		if hashed := nodes[0].Hashed() + nodes[1].Hashed() - before; hashed != 10 {
			t.Errorf("got %d hashes, want 10", hashed)
		}
	})
}

// TestOverload holds the only hash worker: logins are refused, and do not count as
// failures.
func TestOverload(t *testing.T) {
	n := newNode(t, testkit.SQLite(t), config(testkit.NewClock(noon).Now))
	u := n.user(t)
	token := n.login(t, u, password)
	busy := config(testkit.NewClock(noon).Now)
	busy.Hashing = auth.Hashing{MemoryKiB: 8, Passes: 1, Workers: 1, Wait: time.Millisecond}
	store := &faulty{Store: n.store}
	s := auth.New(store, busy)
	holding, release := make(chan struct{}), make(chan struct{})
	store.userByEmail = func(ctx context.Context, fold string) (auth.Account, error) {
		if strings.HasPrefix(fold, "slow") {
			close(holding)
			<-release
		}
		return n.store.UserByEmail(ctx, fold)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := s.Register(t.Context(), auth.NewUser{Email: "slow@example.org", Password: password})
		if err != nil {
			t.Error(err)
		}
	})
	<-holding
	for range 12 {
		_, err := s.Login(t.Context(), u.Email, password, peer)
		if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.Code != "overloaded" || f.RetryAfter != time.Second {
			t.Fatalf("login: got %v, want overloaded", err)
		}
		wantCode(t, s.ChangePassword(t.Context(), n.as(t, token), password, "another one", peer), "overloaded")
	}
	close(release)
	wg.Wait()
	_, err := s.Login(t.Context(), u.Email, password, peer)
	must(t, err)
}
