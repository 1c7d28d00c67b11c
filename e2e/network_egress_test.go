package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// inside are URLs that lead, or seem to lead, to this machine or its neighbourhood.
func inside(port string) (urls []string) {
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST.", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "0x7f.1", "127.0.0.1.", "user@127.0.0.1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "[fd00::1]"} {
		urls = append(urls, "http://"+host+":"+port+"/")
	}
	return append(urls, "http://169.254.169.254/latest/meta-data/", "http://[fe80::1%25lo]/", "http://168.63.129.16/", "http://8.8.8.8:22/",
		"https://8.8.8.8/#x", "ftp://8.8.8.8/", "file:///etc/passwd", "//8.8.8.8/", "/callback", "8.8.8.8", "http://", " http://8.8.8.8/")
}

// TestNoCallbackLeadsInside tries to join and to change with every such URL, as a user
// and for one.
func TestNoCallbackLeadsInside(t *testing.T) {
	c := newCanary(t, "127.0.0.1:0")
	at, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	s := embedded(t)
	ada := signUp(t, s)
	r := newRoom(t, s, ada, "lobby")
	good := r.join(t, "good", callback("https://8.8.8.8/callback"))
	service := []string{"X-Service-Key", generatedSecret(s, "AGENTS_SERVICE_API_KEY"), "X-On-Behalf-Of", ada.id}
	for _, bad := range inside(at.Port()) {
		for _, headers := range [][]string{ada.bearer(), service} {
			join := call(t, "POST", r.at("/participants"), asJSON(map[string]any{"name": "bad", "callback_url": bad}), headers...)
			patch := call(t, "PATCH", r.at("/participants/"+good.id), asJSON(callback(bad)), headers...)
			for _, a := range []answer{join, patch} {
				if a.status != 400 || a.text("code") != "unsafe_url" {
					t.Errorf("%q: %d %s", bad, a.status, a.body)
				}
			}
		}
	}
	a := expect(t, 200, "GET", r.at("/participants"), "", ada.bearer()...)
	if !strings.Contains(string(a.body), `"callback_url":"https://8.8.8.8/callback"`) || strings.Count(string(a.body), `"name"`) != 1 {
		t.Errorf("the participants are %s", a.body)
	}
	c.untouched(t)
}

// TestWhatIsForbiddenByNowIsNotCalled has URLs that were allowed when they were written,
// as a name may lead elsewhere later, and receivers that redirect. Neither the queue, nor
// its retries, nor a replay, nor a call follows.
func TestWhatIsForbiddenByNowIsNotCalled(t *testing.T) {
	const attempts = 3
	testkit.Engines(t, func(t *testing.T, open func() string) {
		c := newCanary(t, "127.0.0.1:0")
		outside := newHook(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", c.url+"/")
			status := map[string]int{"/301": 301, "/302": 302, "/303": 303, "/307": 307, "/308": 308}[r.URL.Path]
			w.WriteHeader(status)
		})
		addr, database, host := freeAddr(t), open(), freeAddr(t)
		begin := func(allowed ...string) *process {
			return startWisdom(t, addr, database, "http://"+host, "NETWORK_DELIVERY_BACKOFF_SECONDS=0.05", fmt.Sprint("NETWORK_DELIVERY_MAX_ATTEMPTS=", attempts),
				"INVOKE_ENDPOINT_ALLOWED_HOSTS="+strings.Join(allowed, ","))
		}
		canaryHost, outsideHost := strings.TrimPrefix(c.url, "http://"), strings.TrimPrefix(outside.URL, "http://")
		p := begin(outsideHost, canaryHost, "169.254.169.254", "10.0.0.1")
		s := &stack{wisdoms: []*process{p}}
		ada := signUp(t, s)
		r := newRoom(t, s, ada, "lobby")
		sender := r.join(t, "sender", nil)
		withdrawn := []member{
			r.join(t, "the canary", callback(c.url+"/")),
			r.join(t, "metadata", callback("http://169.254.169.254/latest/meta-data/")),
			r.join(t, "a neighbour", callback("http://10.0.0.1/")),
			r.join(t, "an agent", map[string]any{"agent_id": register(t, s.url(), ada, "Mole", "Digs.", c.url+"/invoke").text("id")}),
			r.join(t, "changed", callback(outside.URL+"/307")),
		}
		expect(t, 200, "PATCH", r.at("/participants/"+withdrawn[4].id), asJSON(callback(c.url+"/changed")), ada.bearer()...)
		var redirecting []member
		for _, status := range []string{"301", "302", "303", "307", "308"} {
			redirecting = append(redirecting, r.join(t, status, callback(outside.URL+"/"+status)))
		}
		p.stop()
		begin(outsideHost) // the rest is forbidden from now on
		all := append(withdrawn, redirecting...)
		for round := range 2 {
			for _, m := range all {
				if round == 0 {
					r.send(t, sender, m, "Hello")
				}
				if a := call(t, "POST", r.at("/call"), saying(sender, m, "Hello"), ada.bearer()...); a.status != 502 || a.text("code") != "target_unreachable" {
					t.Errorf("calling %s: %d %s", m.name, a.status, a.body)
				}
			}
			var dead []networkMessage
			eventually(t, "everything is given up", func() bool {
				dead = r.deadLetters(t)
				return len(dead) == len(all)
			})
			for _, d := range dead {
				redirected := d.LastStatus != nil && *d.LastStatus >= 301 && *d.LastStatus <= 308
				if d.Attempts != attempts || d.LastError == "" || !redirected && d.LastStatus != nil || strings.Contains(d.LastError, "127.") || strings.Contains(d.LastError, "169.") {
					t.Errorf("given up: %+v", d)
				}
				if round == 0 {
					expect(t, 202, "POST", r.at("/dead-letters/"+d.ID+"/replay"), "", ada.bearer()...)
				}
			}
		}
		if n, want := len(outside.got()), len(redirecting)*(2*attempts+2); n != want {
			t.Errorf("the receivers that redirect were asked %d times, want %d", n, want)
		}
		c.untouched(t)
	})
}
