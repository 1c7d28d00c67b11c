package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/integration"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

// noon is a whole second, so that the tests can speak of seconds.
var noon = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)

func authStore(t *testing.T, url string) (*store.Store, *sqldb.DB) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: store.Migrations(), Service: "wisdom", Now: clock.System})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store.New(db), db
}

func newAccount(email string) auth.Account {
	name := "Ada"
	return auth.Account{PasswordHash: "hash-1", User: auth.User{
		ID: id.New[id.User](), Email: email, FirstName: &name, Active: true, Plan: auth.Free, Created: noon, Updated: noon,
	}}
}

// addUser creates a user with an address of its own.
func addUser(t *testing.T, s *store.Store) auth.Account {
	t.Helper()
	a := newAccount(id.New[string]() + "@example.org")
	if err := s.CreateUser(t.Context(), a, a.Email); err != nil {
		t.Fatal(err)
	}
	return a
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("got error %v, want a fault of kind %d", err, kind)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAccounts(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, _ := authStore(t, open())
		ctx := t.Context()

		t.Run("a user comes back as stored, by id and by folded address", func(t *testing.T) {
			want := newAccount("Ada.L@example.org")
			must(t, s.CreateUser(ctx, want, "ada.l@example.org"))
			byID, err := s.UserByID(ctx, want.ID)
			must(t, err)
			byEmail, err := s.UserByEmail(ctx, "ada.l@example.org")
			must(t, err)
			for _, got := range []auth.Account{byID, byEmail} {
				if got.FirstName == nil || *got.FirstName != "Ada" || got.LastName != nil {
					t.Errorf("got names %v %v, want Ada and nil", got.FirstName, got.LastName)
				}
				got.FirstName = want.FirstName
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		})
		t.Run("what is unknown is not found", func(t *testing.T) {
			nobody := id.New[id.User]()
			_, err := s.UserByID(ctx, nobody)
			wantKind(t, err, fault.NotFound)
			_, err = s.UserByEmail(ctx, "nobody@example.org")
			wantKind(t, err, fault.NotFound)
			_, err = s.UserStanding(ctx, nobody)
			wantKind(t, err, fault.NotFound)
			_, err = s.TokenStanding(ctx, nobody, "jti")
			wantKind(t, err, fault.NotFound)
			_, err = s.KeyStanding(ctx, "digest")
			wantKind(t, err, fault.NotFound)
			_, err = s.UpdateUser(ctx, nobody, auth.Change{}, noon)
			wantKind(t, err, fault.NotFound)
			_, err = s.IssueToken(ctx, nobody, "hash-1", noon)
			wantKind(t, err, fault.NotFound)
		})
		t.Run("users are listed oldest first in pages", func(t *testing.T) {
			s, _ := authStore(t, open())
			var want []id.User
			for i := range 5 {
				a := newAccount(fmt.Sprintf("u%d@example.org", i))
				a.Created = noon.Add(time.Duration(i/2) * time.Second) // pairs of one age
				must(t, s.CreateUser(ctx, a, a.Email))
				want = append(want, a.ID)
			}
			var got []id.User
			var after auth.Cursor
			for {
				page, err := s.Users(ctx, after, 2)
				must(t, err)
				if len(page) == 0 {
					break
				}
				for _, u := range page {
					got = append(got, u.ID)
				}
				last := page[len(page)-1]
				after = auth.Cursor{Created: last.Created, ID: last.ID}
			}
			for i := 0; i+1 < len(want); i += 2 { // ties are in order of id
				slices.Sort(want[i : i+2])
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	})
}

func TestOfManyThatRegisterOneAddressOneWins(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, _ := authStore(t, open())
		errs := parallel(50, func(int) error {
			return s.CreateUser(t.Context(), newAccount("one@example.org"), "one@example.org")
		})
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			wantKind(t, err, fault.Conflict)
		}
		if won != 1 {
			t.Errorf("got %d users, want 1", won)
		}
	})
}

// parallel runs f n times at once and returns what each returned.
func parallel(n int, f func(int) error) []error {
	errs := make([]error, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			errs[i] = f(i)
		})
	}
	start.Done()
	done.Wait()
	return errs
}

func TestUpdateUserKeepsWhatIsNil(t *testing.T) {
	yes, no, pro := true, false, auth.Pro
	later := noon.Add(time.Hour)
	for _, c := range []struct {
		name   string
		change auth.Change
		want   func(u *auth.User)
	}{
		{"nothing but the time of change", auth.Change{}, func(*auth.User) {}},
		{"the plan alone", auth.Change{Plan: &pro}, func(u *auth.User) { u.Plan = auth.Pro }},
		{"the admin flag alone", auth.Change{Admin: &yes}, func(u *auth.User) { u.Admin = true }},
		{"activity alone", auth.Change{Active: &no}, func(u *auth.User) { u.Active = false }},
		{"all", auth.Change{Active: &no, Plan: &pro, Admin: &yes}, func(u *auth.User) { u.Active, u.Plan, u.Admin = false, auth.Pro, true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.Engines(t, func(t *testing.T, open func() string) {
				s, _ := authStore(t, open())
				a := addUser(t, s)
				got, err := s.UpdateUser(t.Context(), a.ID, c.change, later)
				must(t, err)
				want := a.User
				want.Updated = later
				c.want(&want)
				read, err := s.UserByID(t.Context(), a.ID)
				must(t, err)
				got.FirstName, read.FirstName = want.FirstName, want.FirstName
				if got != want || read.User != want {
					t.Errorf("got %+v, stored %+v, want %+v", got, read.User, want)
				}
			})
		})
	}
}

// TestTokensAfter walks through the seconds in which tokens are issued and ended.
func TestTokensAfter(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, _ := authStore(t, open())
		ctx, no, yes := t.Context(), false, true
		a := addUser(t, s)
		hash := a.PasswordHash
		second := noon.Unix()
		issue := func(now time.Time, want int64) {
			t.Helper()
			got, err := s.IssueToken(ctx, a.ID, hash, now)
			must(t, err)
			if got != want {
				t.Errorf("token issued at %d, want %d", got-second, want-second)
			}
		}
		after := func(want int64) {
			t.Helper()
			st, err := s.TokenStanding(ctx, a.ID, "jti")
			must(t, err)
			if st.TokensAfter != want {
				t.Errorf("tokens end at %d, want %d", st.TokensAfter-second, want-second)
			}
		}
		change := func(now time.Time) {
			t.Helper()
			must(t, s.ChangePassword(ctx, a.ID, hash, hash+"x", now))
			hash += "x"
		}
		after(0)
		issue(noon, second)
		change(noon)
		after(second) // the token of this second is dead
		issue(noon, second+1)
		issue(noon.Add(900*time.Millisecond), second+1)
		change(noon.Add(950 * time.Millisecond))
		after(second + 1) // and the one issued ahead
		issue(noon.Add(950*time.Millisecond), second+2)
		change(noon.Add(-10 * time.Second)) // a node whose clock is behind
		after(second + 2)
		issue(noon.Add(20*time.Second), second+20) // a node whose clock is ahead
		change(noon.Add(5 * time.Second))
		after(second + 20)
		_, err := s.UpdateUser(ctx, a.ID, auth.Change{Active: &yes}, noon.Add(time.Minute))
		must(t, err)
		after(second + 20) // activating ends nothing
		_, err = s.UpdateUser(ctx, a.ID, auth.Change{Active: &no}, noon.Add(20*time.Second))
		must(t, err)
		after(second + 21)
		_, err = s.IssueToken(ctx, a.ID, hash, noon)
		wantKind(t, err, fault.NotFound) // inactive
		wantKind(t, s.ChangePassword(ctx, a.ID, hash, "new", noon), fault.NotFound)
		_, err = s.UpdateUser(ctx, a.ID, auth.Change{Active: &yes}, noon.Add(time.Minute))
		must(t, err)
		_, err = s.IssueToken(ctx, a.ID, "hash-1", noon)
		wantKind(t, err, fault.NotFound) // no longer the password
		wantKind(t, s.ChangePassword(ctx, a.ID, "hash-1", "new", noon), fault.NotFound)
	})
}

func TestOfManyPasswordChangesOneWins(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, _ := authStore(t, open())
		a := addUser(t, s)
		won := 0
		for _, err := range parallel(20, func(i int) error {
			return s.ChangePassword(t.Context(), a.ID, a.PasswordHash, fmt.Sprint("new-", i), noon)
		}) {
			if err == nil {
				won++
				continue
			}
			wantKind(t, err, fault.NotFound)
		}
		if won != 1 {
			t.Errorf("got %d changes, want 1", won)
		}
	})
}

func TestRevokedTokens(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, _ := authStore(t, open())
		ctx := t.Context()
		a, b := addUser(t, s), addUser(t, s)
		revoked := func(u id.User, jti string) bool {
			t.Helper()
			st, err := s.TokenStanding(ctx, u, jti)
			must(t, err)
			return st.Revoked
		}
		must(t, s.RevokeToken(ctx, a.ID, "one", noon.Add(time.Hour)))
		must(t, s.RevokeToken(ctx, a.ID, "one", noon.Add(time.Hour))) // again
		if !revoked(a.ID, "one") || revoked(a.ID, "two") || revoked(b.ID, "one") {
			t.Error("want exactly the user's own token one revoked")
		}
		must(t, s.PurgeLogins(ctx, noon.Add(time.Hour), noon))
		if !revoked(a.ID, "one") {
			t.Error("a revoked token was forgotten before it ended")
		}
		must(t, s.PurgeLogins(ctx, noon.Add(time.Hour+time.Microsecond), noon))
		if revoked(a.ID, "one") {
			t.Error("an ended token is still remembered")
		}
	})
}

func TestAPIKeys(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, _ := authStore(t, open())
		ctx := t.Context()
		a, b := addUser(t, s), addUser(t, s)
		of := id.New[id.Integration]()
		must(t, s.CreateIntegration(ctx, integration.Integration{ID: of, User: a.ID, Name: "i", Created: noon, Updated: noon}))
		ends := noon.Add(time.Hour)
		old := auth.APIKey{ID: id.New[id.APIKey](), Name: "old", Created: noon}
		young := auth.APIKey{ID: id.New[id.APIKey](), Name: "young", Created: noon.Add(time.Second), Integration: &of, Expires: &ends}
		must(t, s.CreateAPIKey(ctx, a.ID, old, "d-old"))
		must(t, s.CreateAPIKey(ctx, a.ID, young, "d-young"))

		t.Run("keys are listed newest first and to their owner only", func(t *testing.T) {
			list, err := s.APIKeys(ctx, a.ID)
			must(t, err)
			if len(list) != 2 || list[0].ID != young.ID || list[1].ID != old.ID {
				t.Fatalf("got %+v, want young and old", list)
			}
			if got := list[0]; *got.Integration != of || !got.Expires.Equal(ends) || got.LastUsed != nil || !got.Created.Equal(young.Created) {
				t.Errorf("got %+v, want %+v", got, young)
			}
			if list[1].Expires != nil || list[1].Integration != nil {
				t.Errorf("got %+v, want %+v", list[1], old)
			}
			list, err = s.APIKeys(ctx, b.ID)
			must(t, err)
			if list == nil || len(list) != 0 {
				t.Errorf("a stranger got %v, want an empty list", list)
			}
		})
		t.Run("a digest cannot be stored twice", func(t *testing.T) {
			wantKind(t, s.CreateAPIKey(ctx, b.ID, auth.APIKey{ID: id.New[id.APIKey](), Name: "x", Created: noon}, "d-old"), fault.Conflict)
		})
		t.Run("a use is noted once per period, by the owner's name only", func(t *testing.T) {
			used := func() *time.Time {
				t.Helper()
				st, err := s.KeyStanding(ctx, "d-young")
				must(t, err)
				if st.User != a.ID || st.Key != young.ID || !st.Active || !st.KeyExpires.Equal(ends) {
					t.Errorf("got standing %+v", st)
				}
				return st.KeyUsed
			}
			if got := used(); got != nil {
				t.Errorf("never used, got %v", got)
			}
			must(t, s.TouchAPIKey(ctx, b.ID, young.ID, noon, time.Minute))
			if got := used(); got != nil {
				t.Errorf("a stranger noted a use: %v", got)
			}
			for _, c := range []struct{ at, want time.Duration }{{0, 0}, {59 * time.Second, 0}, {time.Minute, time.Minute}} {
				must(t, s.TouchAPIKey(ctx, a.ID, young.ID, noon.Add(c.at), time.Minute))
				if got := used(); got == nil || !got.Equal(noon.Add(c.want)) {
					t.Errorf("after a use at %v: got %v, want %v", c.at, got, noon.Add(c.want))
				}
			}
		})
		t.Run("only the owner deletes a key", func(t *testing.T) {
			wantKind(t, s.DeleteAPIKey(ctx, b.ID, old.ID), fault.NotFound)
			must(t, s.DeleteAPIKey(ctx, a.ID, old.ID))
			wantKind(t, s.DeleteAPIKey(ctx, a.ID, old.ID), fault.NotFound)
			_, err := s.KeyStanding(ctx, "d-old")
			wantKind(t, err, fault.NotFound)
		})
	})
}

func attempt(key string, at time.Time) auth.Attempt {
	return auth.Attempt{Key: key, Mark: strings.Repeat("a", 8), At: at, Most: 3, Window: 15 * time.Minute}
}

func TestLoginAttempts(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		s, _ := authStore(t, open())
		ctx := t.Context()
		count := func(t *testing.T, a auth.Attempt, want bool, wantRetry time.Time) {
			t.Helper()
			got, retry, err := s.CountAttempt(ctx, a)
			must(t, err)
			if got != want || !retry.Equal(wantRetry) {
				t.Errorf("attempt at %v: got %v and %v, want %v and %v", a.At.Sub(noon), got, retry, want, wantRetry)
			}
		}
		never := time.Time{}
		t.Run("the window slides", func(t *testing.T) {
			at := func(d time.Duration) auth.Attempt { return attempt("slide", noon.Add(d)) }
			count(t, at(0), true, never)
			count(t, at(10*time.Minute), true, never)
			count(t, at(14*time.Minute), true, never)
			count(t, at(14*time.Minute+59*time.Second), false, noon.Add(15*time.Minute))
			count(t, at(15*time.Minute), true, never) // the first one has left
			count(t, at(15*time.Minute), false, noon.Add(25*time.Minute))
			count(t, at(24*time.Minute), false, noon.Add(25*time.Minute)) // refused ones do not count
			count(t, at(25*time.Minute), true, never)
			count(t, at(26*time.Minute), false, noon.Add(29*time.Minute))
		})
		t.Run("an attempt can be taken back, another's cannot", func(t *testing.T) {
			mine, other := attempt("back", noon), attempt("back", noon)
			other.Mark = "bbbbbbbb"
			for range 2 {
				count(t, other, true, never)
			}
			count(t, mine, true, never)
			count(t, mine, false, noon.Add(15*time.Minute))
			must(t, s.ReturnAttempt(ctx, mine))
			must(t, s.ReturnAttempt(ctx, mine)) // does nothing
			count(t, mine, true, never)
			count(t, mine, false, noon.Add(15*time.Minute))
		})
		t.Run("clearing forgets one key", func(t *testing.T) {
			for range 3 {
				count(t, attempt("clear", noon), true, never)
				count(t, attempt("stay", noon), true, never)
			}
			must(t, s.ClearAttempts(ctx, "clear"))
			count(t, attempt("clear", noon), true, never)
			count(t, attempt("stay", noon), false, noon.Add(15*time.Minute))
		})
		t.Run("old rows are purged, young ones are not", func(t *testing.T) {
			for range 3 {
				count(t, attempt("purge", noon), true, never)
			}
			must(t, s.PurgeLogins(ctx, noon, noon))
			count(t, attempt("purge", noon), false, noon.Add(15*time.Minute))
			must(t, s.PurgeLogins(ctx, noon, noon.Add(time.Microsecond)))
			count(t, attempt("purge", noon), true, never)
		})
	})
}

func TestParallelLoginAttemptsAreExactlyTheLimit(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		first, _ := authStore(t, url)
		second := first
		if !strings.HasPrefix(url, "sqlite:") { // another node
			second, _ = authStore(t, url)
		}
		var admitted atomic.Int64
		errs := parallel(50, func(i int) error {
			a := attempt("parallel", noon)
			a.Most, a.Mark = 10, fmt.Sprintf("aaaaaa%c%c", 'a'+i/10, 'a'+i%10)
			ok, _, err := []*store.Store{first, second}[i%2].CountAttempt(t.Context(), a)
			if ok {
				admitted.Add(1)
			}
			return err
		})
		must(t, errors.Join(errs...))
		if got := admitted.Load(); got != 10 {
			t.Errorf("got %d attempts admitted, want 10", got)
		}
	})
}

func TestQueriesCompileOnBothEngines(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		_, db := authStore(t, open())
		for name, text := range testkit.Queries(t, "query") {
			statement, err := db.Write().PrepareContext(t.Context(), text)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			must(t, statement.Close())
		}
	})
}
