package agentsclient

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

func newTLSHost(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(aria))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

const message = "9a016679-7425-40de-944b-e07fc1f90ae7"

// Every route: its request line, its exact headers and its body.
func TestTheHostHearsExactlyThis(t *testing.T) {
	call := personal.Call{User: testUser, RequestID: "req-1", Name: "aria", Key: "home.town", Message: message}
	common := []string{"User-Agent: intuno-wisdom", "X-API-Key: " + testKey, "X-User-Id: " + string(testUser), "X-Request-ID: req-1"}
	const body = `{"a":"b\r\n"}`
	tests := []struct {
		op     personal.Op
		line   string
		change func(*personal.Call)
		more   []string
	}{
		{personal.CreateEntity, "POST /entities", func(c *personal.Call) { c.Body, c.Once = []byte(body), "k 1"[:1] }, []string{"Idempotency-Key: k"}},
		{personal.ListEntities, "GET /entities", nil, nil},
		{personal.GetEntity, "GET /entities/aria", nil, nil},
		{personal.PatchEntity, "PATCH /entities/aria", func(c *personal.Call) { c.Body = []byte(body) }, nil},
		{personal.DeleteEntity, "DELETE /entities/aria", nil, nil},
		{personal.PauseEntity, "POST /entities/aria/pause", nil, []string{"Content-Length: 0"}},
		{personal.PauseEntity, "POST /entities/aria/pause", func(c *personal.Call) { c.Body = []byte(body) }, nil},
		{personal.ResumeEntity, "POST /entities/aria/resume", nil, []string{"Content-Length: 0"}},
		{personal.SendMessage, "POST /entities/aria/chat", func(c *personal.Call) { c.Body, c.Once = []byte(body), "!~" }, []string{"Idempotency-Key: !~"}},
		{personal.StreamMessage, "POST /entities/aria/chat", func(c *personal.Call) { c.Body = []byte(body) }, []string{"Accept: text/event-stream"}},
		{personal.FollowMessage, "GET /entities/aria/chat/" + message + "/events", nil, []string{"Accept: text/event-stream"}},
		{personal.FollowMessage, "GET /entities/aria/chat/" + message + "/events?after=7", func(c *personal.Call) { c.After = "7" }, []string{"Accept: text/event-stream"}},
		{personal.ListMessages, "GET /entities/aria/chat?limit=50&before=" + message, func(c *personal.Call) { c.Limit, c.Before = 50, message }, nil},
		{personal.ListMemories, "GET /entities/aria/memories?limit=1&prefix=a%26b%3Dc+%0D%0A%23&after=%2F..%3F", func(c *personal.Call) {
			c.Limit, c.Prefix, c.After = 1, "a&b=c \r\n#", "/..?"
		}, nil},
		{personal.GetMemory, "GET /entities/aria/memories/home.town", nil, nil},
		{personal.PutMemory, "PUT /entities/aria/memories/home.town", func(c *personal.Call) { c.Body = []byte(body) }, nil},
		{personal.DeleteMemory, "DELETE /entities/aria/memories/home.town", nil, nil},
		{personal.ForgetMemories, "DELETE /entities/aria/memories", nil, nil},
		{personal.ExportEntity, "GET /entities/aria/export", nil, nil},
	}
	for _, prefix := range []string{"", "/deep/er"} {
		host := newStandIn(t, says(json11(404, "{}")))
		client := host.client(func(c *Config) { c.BaseURL += prefix + "/" })
		for i, tt := range tests {
			c := call
			c.Op = tt.op
			if tt.change != nil {
				tt.change(&c)
			}
			var err error
			if tt.op == personal.StreamMessage || tt.op == personal.FollowMessage || tt.op == personal.ExportEntity {
				_, err = client.Open(t.Context(), c)
			} else {
				_, err = client.Do(t.Context(), c)
			}
			if !fault.Is(err, fault.NotFound) {
				t.Fatalf("%s: got %v, want 404", tt.line, err)
			}
			want := append(slices.Concat(common, tt.more), "Host: "+host.ln.Addr().String())
			if !slices.ContainsFunc(tt.more, func(h string) bool { return strings.HasPrefix(h, "Accept:") }) {
				want = append(want, "Accept: application/json")
			}
			if c.Body != nil {
				want = append(want, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(c.Body)))
			}
			got := host.requests()[i]
			slices.Sort(got.headers)
			slices.Sort(want)
			method, path, _ := strings.Cut(tt.line, " ")
			if line := method + " " + prefix + path + " HTTP/1.1"; got.line != line {
				t.Errorf("got %s, want %s", got.line, line)
			}
			if !slices.Equal(got.headers, want) || got.body != string(c.Body) {
				t.Errorf("%s: got\n%q %q\nwant\n%q %q", tt.line, got.headers, got.body, want, c.Body)
			}
		}
		if n := host.connections(); n > 3 {
			t.Errorf("used %d connections, want them kept: one quick and few slow ones", n)
		}
	}
}

func TestABadRequestIDIsReplaced(t *testing.T) {
	host := newStandIn(t, says(json11(200, aria)))
	client := host.client()
	for i, bad := range []string{"", "a\r\nX-User-Id: b", "a b", strings.Repeat("a", 65), "é"} {
		c := getAria()
		c.RequestID = bad
		if _, err := client.Do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, h := range host.requests()[i].headers {
			if value, ok := strings.CutPrefix(h, "X-Request-ID: "); ok && len(value) == 36 {
				found++
			}
		}
		if found != 1 || len(host.requests()[i].headers) != 6 {
			t.Errorf("%q: got headers %q, want one fresh id", bad, host.requests()[i].headers)
		}
	}
}

// what routers and URL joining are known to let through, and 100,000 random byte strings.
func TestNoBadNameReachesTheHost(t *testing.T) {
	host := newStandIn(t, says(json11(200, aria)))
	client := host.client()
	names := []string{"", ".", "..", "a/b", "../admin", "../../admin", "?", "x?", "x#", "%2e%2e", "%3f", "x%23", "..%2f..%2fadmin",
		"a\x00", "a\r\nX: y", "a b", "\xc0\xae", "A", "-a", "_a", "a.b", "é", "a\\b", strings.Repeat("a", 64), "aria/", "aria?x=y", "a;b"}
	const alphabet = "abcz019_-.%/?#\\ \r\n\x00\t;:@&=+~AZ\xc0\xff\u00e9"
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		b := make([]byte, 1+random.IntN(70))
		for i := range b {
			if b[i] = byte(random.Uint32()); random.IntN(2) == 0 {
				b[i] = alphabet[random.IntN(len(alphabet))]
			}
		}
		names = append(names, string(b))
	}
	refused := 0
	for _, name := range names {
		if personal.ValidName(name) {
			continue
		}
		refused++
		calls := []personal.Call{{Op: personal.PauseEntity, Name: name}, {Op: personal.GetMemory, Name: "aria", Key: name + "/"},
			{Op: personal.FollowMessage, Name: "aria", Message: id.Message(name)}, {Op: personal.ExportEntity, Name: name}}
		for i, c := range calls {
			if i != refused%len(calls) {
				continue
			}
			c.User = testUser
			if _, err := client.Do(t.Context(), c); !fault.Is(err, fault.NotFound) || !personal.NothingDone(err) {
				t.Fatalf("%q: got %v, want 404 and nothing sent", name, err)
			}
		}
	}
	if refused < 90_000 {
		t.Errorf("only %d names were bad: the test tests nothing", refused)
	}
	if heard := host.requests(); len(heard) > 0 {
		t.Errorf("the host heard %d requests, the first %+v, want none", len(heard), heard[0])
	}
}

func TestNamesAndKeysMatchThePatternsOfTheContract(t *testing.T) {
	names := map[string]bool{"a": true, "0": true, "a-_9": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "_": false, "A": false, "a.": false, strings.Repeat("a", 64): false, "a\n": false, "ä": false}
	for name, want := range names {
		if got := personal.ValidName(name); got != want {
			t.Errorf("name %q: got %v, want %v", name, got, want)
		}
	}
	keys := map[string]bool{"a": true, "a.b": true, strings.Repeat("a", 128): true, ".a": false, "": false, strings.Repeat("a", 129): false, "a/b": false}
	for key, want := range keys {
		if got := personal.ValidKey(key); got != want {
			t.Errorf("key %q: got %v, want %v", key, got, want)
		}
	}
}

// A request is sent once, even if the connection on which it goes turns out to be dead
// at the worst moment, and even if it carries an Idempotency-Key (trap 20).
func TestNoRequestIsEverSentTwice(t *testing.T) {
	for _, op := range []personal.Op{personal.CreateEntity, personal.GetEntity, personal.PatchEntity, personal.DeleteEntity, personal.SendMessage, personal.PutMemory} {
		t.Run(op.String(), func(t *testing.T) {
			var mu sync.Mutex
			warm := true
			host := newStandIn(t, func(c net.Conn, r received) bool {
				mu.Lock()
				defer mu.Unlock()
				if warm {
					warm = false
					return says(json11(200, aria))(c, r)
				}
				return false // hears the request on the kept connection and closes
			})
			client := host.client()
			c := personal.Call{Op: op, User: testUser, Name: "aria", Key: "k", Once: "once", Body: []byte(`{}`)}
			if _, err := client.Do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Do(t.Context(), c); !fault.Is(err, fault.Upstream) || personal.NothingDone(err) {
				t.Errorf("got %v, want a 502 with an unknown outcome", err)
			}
			time.Sleep(20 * time.Millisecond)
			if n := len(host.requests()); n != 2 || host.connections() != 1 {
				t.Errorf("the host heard %d requests on %d connections, want 2 on 1", n, host.connections())
			}
		})
	}
}

// A host that restarts closes every idle connection: the next request, whatever it
// is, must not suffer from it.
func TestConnectionsTheHostHasClosedAreNotUsed(t *testing.T) {
	host := newStandIn(t, says(json11(200, aria)))
	client := host.client()
	var together sync.WaitGroup
	for range 8 {
		together.Go(func() { _, _ = client.Do(t.Context(), getAria()) })
	}
	together.Wait()
	host.hangUp()
	time.Sleep(20 * time.Millisecond)
	if _, err := client.Do(t.Context(), personal.Call{Op: personal.CreateEntity, User: testUser, Body: []byte(`{}`)}); err != nil {
		t.Errorf("got %v, want an answer on a new connection", err)
	}
	if n := len(host.requests()); n != 9 {
		t.Errorf("the host heard %d requests, want 9", n)
	}
}

// Bytes that the host sends unasked must not become the answer of the next user.
func TestLeftOverBytesNeverAnswerTheNextRequest(t *testing.T) {
	foreign := json11(200, `{"name":"foreign"}`)
	tests := map[string]func(net.Conn, received) bool{
		"behind the answer": says(json11(200, aria) + foreign),
		"a little later": func(c net.Conn, r received) bool {
			ok := says(json11(200, aria))(c, r)
			time.Sleep(5 * time.Millisecond)
			return ok && says(foreign)(c, r)
		},
		"a body behind 204":      says("HTTP/1.1 204 No Content\r\nContent-Length: 99\r\n\r\n" + foreign),
		"408 on the idle socket": says(json11(200, aria) + "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"),
	}
	for name, first := range tests {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			n := 0
			host := newStandIn(t, func(c net.Conn, r received) bool {
				mu.Lock()
				n++
				use := first
				if n > 1 {
					use = says(json11(200, `{"name":"second"}`))
				}
				mu.Unlock()
				return use(c, r)
			})
			client := host.client()
			_, _ = client.Do(t.Context(), getAria())
			time.Sleep(30 * time.Millisecond)
			a, err := client.Do(t.Context(), getAria())
			if err != nil || string(a.JSON) != `{"name":"second"}` {
				t.Errorf("got %s, %v, want the second answer", a.JSON, err)
			}
		})
	}
}

func TestConnectionsAreKeptAndBounded(t *testing.T) {
	host := newStandIn(t, func(c net.Conn, r received) bool { time.Sleep(time.Millisecond); return says(json11(200, aria))(c, r) })
	client := host.client(func(c *Config) { c.Timeout = 10 * time.Second })
	client.quick = newHop(client.quick.addr, nil, 4, client.now)
	var together sync.WaitGroup
	for range 40 {
		together.Go(func() {
			for range 5 {
				if _, err := client.Do(t.Context(), getAria()); err != nil {
					t.Errorf("got %v, want every call to have its turn", err)
				}
			}
		})
	}
	together.Wait()
	if n := host.connections(); n > 4 {
		t.Errorf("got %d connections, want at most 4", n)
	}
	client.Close()
	if n := len(client.quick.busy) + len(client.quick.idle); n != 0 {
		t.Errorf("%d connections are left after Close", n)
	}
}

func TestIdleConnectionsGrowOld(t *testing.T) {
	host := newStandIn(t, says(json11(200, aria)))
	client := host.client()
	now := time.Now()
	client.quick.now = func() time.Time { return now }
	client.now = func() time.Time { return time.Now() }
	for range 2 {
		if _, err := client.Do(t.Context(), getAria()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(idleLife)
	}
	if n := host.connections(); n != 2 {
		t.Errorf("got %d connections, want a new one after %v", n, idleLife)
	}
}
