package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// TestWarmAuthenticationMakesNoStatement counts what reaches the driver.
func TestWarmAuthenticationMakesNoStatement(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		now := testkit.NewClock(noon)
		n := newNode(t, open(), config(now.Now))
		u := n.user(t)
		token := n.login(t, u, password)
		_, key := n.key(t, token)
		for name, headers := range map[string][]string{
			"a token":           {"Authorization", "Bearer " + token},
			"a key":             {"X-API-Key", key},
			"a delegation":      {"X-Service-Key", serviceKey, "X-On-Behalf-Of", string(u.ID)},
			"an unknown key":    {"X-API-Key", "wsk_" + strings.Repeat("x", 43)},
			"an unknown target": {"X-Service-Key", serviceKey, "X-On-Behalf-Of", id.New[string]()},
		} {
			t.Run(name, func(t *testing.T) {
				now.Add(time.Hour / 10)
				call := func() { _, _ = n.try(t, auth.Delegable, headers...) }
				for _, step := range []struct {
					after time.Duration
					calls int
					want  int64
				}{
					{0, 1, 1},
					{auth.EntryLife - time.Microsecond, 100, 0},
					{time.Microsecond, 100, 1},
					{-time.Second, 1, 1}, // the clock was set back: nothing is believed for longer
				} {
					now.Add(step.after)
					before := n.statements.Load()
					for range step.calls {
						call()
					}
					if got := n.statements.Load() - before; got != step.want {
						t.Errorf("after %v: got %d statements for %d calls, want %d", step.after, got, step.calls, step.want)
					}
				}
			})
		}
		t.Run("what cannot be a credential makes none at all", func(t *testing.T) {
			before := n.statements.Load()
			for _, headers := range [][]string{
				{"Authorization", "Bearer " + token + "x"}, {"Authorization", "Basic x"}, {"X-API-Key", "wsk_x"}, {"X-API-Key", key + "x"},
				{"X-Service-Key", "wrong", "X-On-Behalf-Of", string(u.ID)}, {"X-Service-Key", serviceKey, "X-On-Behalf-Of", "x"}, nil,
			} {
				_, _ = n.try(t, auth.Delegable, headers...)
			}
			if got := n.statements.Load() - before; got != 0 {
				t.Errorf("got %d statements, want 0", got)
			}
		})
	})
}

func TestStampedeMakesOneQuery(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		n := newNode(t, open(), config(testkit.NewClock(noon).Now))
		u := n.user(t)
		token := n.login(t, u, password)
		before := n.statements.Load()
		got := parallel(200, func(int) error {
			_, err := n.try(t, auth.JWT, "Authorization", "Bearer "+token)
			return err
		})
		if made := n.statements.Load() - before; got[""] != 200 || made != 1 {
			t.Errorf("got %v and %d statements, want 200 successes and 1", got, made)
		}
	})
}

// held is a store whose next look-up of a token waits, after it was answered.
type held struct {
	faulty
	asked, release chan struct{}
	calls          atomic.Int64
}

func hold(n *node) *held {
	h := &held{faulty: faulty{Store: n.store}, asked: make(chan struct{}), release: make(chan struct{})}
	h.tokenStanding = func(ctx context.Context, user id.User, jti string) (auth.Standing, error) {
		st, err := n.store.TokenStanding(ctx, user, jti)
		if h.calls.Add(1) == 1 {
			close(h.asked)
			<-h.release
			if err == nil {
				err = ctx.Err()
			}
		}
		return st, err
	}
	return h
}

func TestQueryOutlivesTheCallerThatStartedIt(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	token := n.login(t, n.user(t), password)
	h := hold(n)
	slow := auth.New(h, config(now.Now)).Authenticator()
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := slow.Authenticate(ctx, auth.JWT, credentials("Authorization", "Bearer "+token)); codeOf(err) != "untyped" {
			t.Errorf("the caller that left: got %v, want an untyped error", err)
		}
	})
	<-h.asked
	leave()
	wg.Wait()
	wg.Go(func() {
		if _, err := slow.Authenticate(t.Context(), auth.JWT, credentials("Authorization", "Bearer "+token)); err != nil {
			t.Errorf("the caller that stayed: %v", err)
		}
	})
	close(h.release)
	wg.Wait()
	if got := h.calls.Load(); got != 1 {
		t.Errorf("got %d queries, want 1", got)
	}
}

// TestLogoutDuringQuery proves that an answer from before a logout is not used after
// it, neither from the cache nor by joining the query.
func TestLogoutDuringQuery(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	u := n.user(t)
	token := n.login(t, u, password)
	p := n.as(t, token)
	h := hold(n)
	s := auth.New(h, config(now.Now))
	ask := func() error {
		_, err := s.Authenticator().Authenticate(t.Context(), auth.JWT, credentials("Authorization", "Bearer "+token))
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = ask() })
	<-h.asked // the query has been answered "valid" and is on its way back
	must(t, s.Logout(t.Context(), p))
	wantCode(t, ask(), "not_authenticated")
	close(h.release)
	wg.Wait()
	wantCode(t, ask(), "not_authenticated")
}

func TestEntryIsAsOldAsItsQuestion(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	token := n.login(t, n.user(t), password)
	h := hold(n)
	s := auth.New(h, config(now.Now))
	ask := func() {
		if _, err := s.Authenticator().Authenticate(t.Context(), auth.JWT, credentials("Authorization", "Bearer "+token)); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(ask)
	<-h.asked
	now.Add(800 * time.Millisecond) // a slow database
	close(h.release)
	wg.Wait()
	now.Add(99 * time.Millisecond)
	ask()
	if got := h.calls.Load(); got != 1 {
		t.Errorf("at 899 ms: got %d queries, want 1", got)
	}
	now.Add(time.Millisecond)
	ask()
	if got := h.calls.Load(); got != 2 {
		t.Errorf("at 900 ms: got %d queries, want 2", got)
	}
}

func TestBrokenDatabaseIsNoRefusal(t *testing.T) {
	now := testkit.NewClock(noon)
	n := newNode(t, testkit.SQLite(t), config(now.Now))
	token := n.login(t, n.user(t), password)
	_, key := n.key(t, token)
	broken := &faulty{Store: n.store}
	s := auth.New(broken, config(now.Now))
	for name, look := range map[string]func(context.Context, id.User, string) (auth.Standing, error){
		"an error": func(context.Context, id.User, string) (auth.Standing, error) { return auth.Standing{}, errBroken },
		"a panic":  func(context.Context, id.User, string) (auth.Standing, error) { panic(errBroken) },
	} {
		broken.tokenStanding = look
		_, err := s.Authenticator().Authenticate(t.Context(), auth.AnyUser, credentials("Authorization", "Bearer "+token, "X-API-Key", key))
		if err == nil || fault.As(err) != nil || !strings.Contains(err.Error(), errBroken.Error()) {
			t.Errorf("%s: got %v, want an untyped error that tells the cause", name, err)
		}
	}
	broken.tokenStanding = nil
	_, err := s.Authenticator().Authenticate(t.Context(), auth.AnyUser, credentials("Authorization", "Bearer "+token))
	must(t, err) // errors are not remembered
}

var errBroken = errors.New("the database is on fire")

// BenchmarkWarm is what a request pays for each kind of credential.
func BenchmarkWarm(b *testing.B) {
	s := auth.New(known{}, config(testkit.NewClock(noon).Now))
	token, err := s.Login(b.Context(), "ada@example.org", password, peer)
	if err != nil {
		b.Fatal(err)
	}
	for name, headers := range map[string][]string{
		"token":      {"Authorization", "Bearer " + token.Text},
		"key":        {"X-API-Key", fuzzKey},
		"delegation": {"X-Service-Key", serviceKey, "X-On-Behalf-Of", fuzzUser},
	} {
		c := credentials(headers...)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Authenticator().Authenticate(b.Context(), auth.Delegable, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
