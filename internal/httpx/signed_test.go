package httpx

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// signGuard admits the signature "good", once, for whatever participant the path names.
type signGuard struct{ seen []Request }

func (g *signGuard) Authenticate(_ context.Context, r Request) (principal.Principal, error) {
	g.seen = append(g.seen, r)
	if r.Access != Signed {
		return principal.Principal{User: "u", Via: principal.JWT}, nil
	}
	if sig := r.Query["sig"]; len(sig) != 1 || sig[0] != "good" || len(r.Query["exp"]) != 1 {
		return principal.Principal{}, fault.New(fault.Forbidden, "signature_invalid", "no")
	}
	return principal.Principal{Via: principal.Callback, Network: "n", Participant: id.Participant(r.Path["who"])}, nil
}
func (*signGuard) Refused(context.Context, Request, error, int) {}
func (*signGuard) Begin(context.Context, Request, principal.Principal) (func(context.Context, int), error) {
	return nil, nil
}

type signedInput struct {
	Who  string `path:"who" format:"uuid"`
	Sig  string `query:"sig" required:"true"`
	Exp  string `query:"exp" required:"true"`
	Kind string `query:"kind"`
	Body thing
}

const who = "00000000-0000-4000-8000-00000000000a"

func signedServer(t *testing.T, log *strings.Builder, now clock.Now, all *Limiter) (*Server, *signGuard) {
	t.Helper()
	guard := &signGuard{}
	s, err := New(Options{Service: "test", Guard: guard, Now: now, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limiter: all, SignedLimiter: NewLimiter(3), Routes: []Route{
			Post("/rooms/{who}/say", Signed, func(_ context.Context, p principal.Principal, in *signedInput) (string, error) {
				return string(p.Participant) + in.Sig + in.Kind, nil
			}),
			Get("/rooms", User, func(context.Context, principal.Principal, *struct{}) (string, error) { return "", nil }),
		}})
	if err != nil {
		t.Fatal(err)
	}
	return s, guard
}

func TestWhatIsSignedIsCheckedBeforeTheBodyIsRead(t *testing.T) {
	path := "/rooms/" + who + "/say"
	for _, tt := range []struct {
		sentence, target string
		status           int
		locs             string // of the 422
		asked            bool   // the guard was
	}{
		{"a good signature is admitted", path + "?sig=good&exp=1", 400, "", true}, // and then the body cannot be read
		{"nothing is signed", path, 422, "[query exp][query sig]", false},
		{"no signature", path + "?exp=1", 422, "[query sig]", false},
		{"no expiry", path + "?sig=good", 422, "[query exp]", false},
		{"a name in another case is another name", path + "?Sig=good&exp=1", 422, "[query sig]", false},
		{"an escaped name is the same name", path + "?%73ig=good&%65xp=1", 400, "", true},
		{"an empty signature is a wrong one", path + "?sig=&exp=", 403, "", true},
		{"so is one without a value", path + "?sig&exp", 403, "", true},
		{"a repeated signature", path + "?sig=good&sig=good&exp=1", 403, "", true},
		{"a repeated expiry", path + "?sig=good&exp=1&exp=1", 403, "", true},
		{"a repeated signature in disguise", path + "?sig=good&%73ig=bad&exp=1", 403, "", true},
		{"bytes that are no UTF-8", path + "?sig=%ff%fe&exp=1", 403, "", true},
		{"broken percent-encoding", path + "?sig=%zz&exp=1", 403, "", true},
		{"U+0000", path + "?sig=good%00&exp=1", 403, "", true},
		{"a path that is no id", "/rooms/nobody/say?sig=good&exp=1", 422, "[path who]", false},
		{"everything at once", "/rooms/nobody/say", 422, "[path who][query exp][query sig]", false},
	} {
		var log strings.Builder
		s, guard := signedServer(t, &log, clock.System, nil)
		body := &strings.Builder{}
		r := httptest.NewRequest("POST", tt.target, iotest.ErrReader(fmt.Errorf("read %v", body)))
		r.Header["Authorization"] = []string{"Bearer a", "Bearer b"}
		r.Header["X-Service-Key"] = []string{"a", "b"}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		got := rec.Body.String()
		if rec.Code != tt.status || (len(guard.seen) == 1) != tt.asked {
			t.Errorf("%s: %d %s, guard asked %d times", tt.sentence, rec.Code, got, len(guard.seen))
		}
		if could := strings.Contains(got, "could not be read"); could != (tt.status == 400) {
			t.Errorf("%s: the body was read: %v", tt.sentence, could)
		}
		for _, loc := range []string{`["path","who"]`, `["query","sig"]`, `["query","exp"]`} {
			want := strings.Contains(tt.locs, strings.NewReplacer(`"`, "", ",", " ").Replace(loc))
			if strings.Contains(got, loc) != want {
				t.Errorf("%s: %s, want loc %s: %v", tt.sentence, got, loc, want)
			}
		}
		if rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", tt.sentence, rec.Header().Get("Cache-Control"))
		}
		if strings.Contains(log.String(), "good") || !strings.Contains(log.String(), "/rooms/{who}/say") {
			t.Errorf("%s: log %s", tt.sentence, &log)
		}
	}
}

func TestASignedRequestIsReadStrictlyOnceItIsAdmitted(t *testing.T) {
	var log strings.Builder
	s, _ := signedServer(t, &log, clock.System, nil)
	path := "/rooms/" + strings.ToUpper(who) + "/say?sig=good&exp=1"
	if w := do(s, "POST", path+"&kind=k", `{"name":"a"}`); w.Code != 200 || w.Body.String() != `"`+strings.ToUpper(who)+`goodk"` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(s, "POST", path+"&kind=%zz", `{"name":"a"}`); w.Code != 400 || !strings.Contains(w.Body.String(), "bad_request") {
		t.Errorf("a broken query: %d %s", w.Code, w.Body)
	}
	if w := do(s, "POST", path, `{"name":"abcdef"}`); w.Code != 422 || !strings.Contains(w.Body.String(), `"loc":["body","name"]`) {
		t.Errorf("a wrong body: %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "participant="+strings.ToUpper(who)) || strings.Contains(log.String(), "actor=") || strings.Contains(log.String(), "good") {
		t.Errorf("log: %s", &log)
	}
}

// The limit of signed URLs is their own, whatever the general one is; who is refused
// counts as the peer it is.
func TestSignedRequestsCountByWhatTheyAreSignedFor(t *testing.T) {
	var log strings.Builder
	now := func() time.Time { return time.Unix(1_800_000_010, 0) }
	for name, all := range map[string]*Limiter{"without a general limit": nil, "with one": NewLimiter(2)} {
		s, _ := signedServer(t, &log, now, all)
		good, bad := "/rooms/"+who+"/say?sig=good&exp=1", "/rooms/"+who+"/say?sig=bad&exp=1"
		for i, want := range []int{200, 200, 200, 429, 429} {
			w := do(s, "POST", good, `{"name":"a"}`)
			if w.Code != want || w.Header().Get("X-RateLimit-Limit") != "3" {
				t.Errorf("%s: request %d: %d %v", name, i, w.Code, w.Header())
			}
			if want == 429 && (w.Header().Get("Retry-After") != "50" || w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Body.String(), "rate_limited")) {
				t.Errorf("%s: 429: %v %s", name, w.Header(), w.Body)
			}
		}
		if w := do(s, "POST", strings.Replace(good, "0a/", "0b/", 1), `{"name":"a"}`); w.Code != 200 || w.Header().Get("X-RateLimit-Remaining") != "2" {
			t.Errorf("%s: somebody else: %d %v", name, w.Code, w.Header())
		}
		for i := range 3 {
			want := 403
			if all != nil && i == 2 {
				want = 429
			}
			if w := do(s, "POST", bad, ""); w.Code != want {
				t.Errorf("%s: refused request %d: %d, want %d", name, i, w.Code, want)
			}
		}
		if w := do(s, "GET", "/rooms", ""); w.Code != 200 {
			t.Errorf("%s: a user of the same address: %d", name, w.Code)
		}
	}
}

// Two limiters may share one store: what a full shard counts together is nobody's key.
func TestTheSharedCounterOfAFullShardIsNotExchanged(t *testing.T) {
	l, store := NewLimiter(5), &sharedCounts{totals: map[string]int64{}}
	now := time.Unix(1_800_000_000, 0)
	for i := range limiterShards * maxShardKeys * 2 {
		l.Take("p:"+time.Duration(i).String(), now)
	}
	if err := l.exchange(t.Context(), store, windowStart(now)); err != nil {
		t.Fatal(err)
	}
	if n := store.totals[overflowKey]; n != 0 || len(store.totals) < limiterShards*maxShardKeys/2 {
		t.Errorf("%d keys, of which %d counts of nobody", len(store.totals), n)
	}
}
