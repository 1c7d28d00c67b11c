package wisdom

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// sign is contract §6.7 written down a second time.
func sign(key []byte, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// callbackKey is the key of a wisdom without CALLBACK_SIGNING_KEY.
func callbackKey() []byte {
	key, _ := hex.DecodeString(sign([]byte(jwtKey), "intuno/callback-signing/v1"))
	return key
}

// signature is the query of a reply URL that ends at exp, a text.
func signature(network, participant, exp string) string {
	return "?sig=" + sign(callbackKey(), network+":"+participant+":"+exp) + "&exp=" + url.QueryEscape(exp)
}

func inAnHour() string { return strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10) }

func replyPath(network, participant string) string {
	return "/networks/" + network + "/participants/" + participant + "/callback"
}

// replyURL is a good reply URL.
func replyURL(network, participant string) string {
	return replyPath(network, participant) + signature(network, participant, inAnHour())
}

func TestTheVectorsOfTheCallback(t *testing.T) {
	const text = "11111111-1111-4111-8111-111111111111:22222222-2222-4222-8222-222222222222:1800000000"
	if got, want := sign([]byte("test-secret"), text), "e3d3f4e614c6c7e94a11af3cb054164a3d63b6c82aa4d5f6dd3d2f4b31478a0a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// What a wisdom with the secret of the second vector accepts is what the vector says.
	clock := testkit.NewClock(time.Unix(1799999999, 0))
	w := newWorld(t, func(d *Deps) { d.Now = clock.Now }, "JWT_SECRET_KEY", "0123456789abcdef0123456789abcdef")
	path := replyPath("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222") +
		"?sig=017be94c7d90f6e9e5683c6a352631c287014dac5181249fcadae304e9a8faee&exp=1800000000"
	for _, want := range []int{404, 404, 403} { // good until the last second; there is no such participant
		if got := w.send("POST", path, `{"content":"x"}`, nil); got.status != want {
			t.Errorf("at %v: got %d %s, want %d", clock.Now(), got.status, got.body, want)
		}
		clock.Add(time.Second)
	}
}

func TestOnlyAGoodSignatureIsAdmitted(t *testing.T) {
	c := newClub(t, testkit.SQLite(t), "RATE_LIMIT_PER_MINUTE", "100000")
	ada, bob := c.signUp("ada"), c.signUp("bob")
	n, m, foreign := c.network(ada, ""), c.network(ada, ""), c.network(bob, "")
	p, q, other := c.join(ada, n, ""), c.join(ada, n, ""), c.join(ada, m, "")
	exp := inAnHour()
	good := sign(callbackKey(), n+":"+p+":"+exp)
	expired := strconv.FormatInt(time.Now().Add(-2*time.Second).Unix(), 10)
	path := replyPath(n, p)
	flipped := strings.Map(func(digit rune) rune { return rune("123456789abcdef0"[strings.IndexRune("0123456789abcdef", digit)]) }, good)
	const invalid = "403 signature_invalid"
	for _, tt := range []struct{ sentence, target, want string }{
		{"a good one", path + "?sig=" + good + "&exp=" + exp, "200 "},
		{"in any order, with whatever else", path + "?x=%20y&exp=" + exp + "&sig=" + good + "&z", "200 "},
		{"the ids in another case", replyPath(strings.ToUpper(n), strings.ToUpper(p)) + "?sig=" + good + "&exp=" + exp, "200 "},
		{"none", path, "422 validation_error"},
		{"no sig", path + "?exp=" + exp, "422 validation_error"},
		{"no exp", path + "?sig=" + good, "422 validation_error"},
		{"an empty one", path + "?sig=&exp=" + exp, invalid},
		{"an empty exp", path + "?sig=" + good + "&exp=", invalid},
		{"forged", path + "?sig=" + flipped + "&exp=" + exp, invalid},
		{"zeros", path + "?sig=" + strings.Repeat("0", 64) + "&exp=" + exp, invalid},
		{"cut", path + "?sig=" + good[:62] + "&exp=" + exp, invalid},
		{"cut in the middle of a byte", path + "?sig=" + good[:63] + "&exp=" + exp, invalid},
		{"lengthened", path + "?sig=" + good + "00&exp=" + exp, invalid},
		{"with a space", path + "?sig=+" + good + "&exp=" + exp, invalid},
		{"with 0x", path + "?sig=0x" + good + "&exp=" + exp, invalid},
		{"not ASCII", path + "?sig=" + url.QueryEscape("é"+good[2:]) + "&exp=" + exp, invalid},
		{"full-width digits", path + "?sig=" + good + "&exp=" + url.QueryEscape(strings.ReplaceAll(exp, "1", "１")), invalid},
		{"no UTF-8", path + "?sig=%ff" + good[2:] + "&exp=" + exp, invalid},
		{"broken percent-encoding", path + "?sig=%g0" + good[2:] + "&exp=" + exp, invalid},
		{"U+0000 behind it", path + "?sig=" + good + "%00&exp=" + exp, invalid},
		{"twice", path + "?sig=" + good + "&sig=" + good + "&exp=" + exp, invalid},
		{"exp twice", path + "?sig=" + good + "&exp=" + exp + "&exp=" + exp, invalid},
		{"twice, once escaped", path + "?sig=" + good + "&s%69g=" + good + "&exp=" + exp, invalid},
		{"another exp", path + "?sig=" + good + "&exp=" + exp[:9] + "9", invalid},
		{"expired", path + signature(n, p, expired), invalid},
		{"signed with a sign", path + signature(n, p, "+"+exp), invalid},
		{"signed with a zero in front", path + signature(n, p, "0"+exp), invalid},
		{"signed with a fraction", path + signature(n, p, exp+".0"), invalid},
		{"signed with a space", path + signature(n, p, " "+exp), invalid},
		{"signed below zero", path + signature(n, p, "-1"), invalid},
		{"signed beyond 64 bits", path + signature(n, p, "99999999999999999999"), invalid},
		{"for another participant", path + signature(n, q, exp), invalid},
		{"for another network", path + signature(m, p, exp), invalid},
		{"for a participant of another network", path + signature(m, other, exp), invalid},
		{"with another key", path + "?sig=" + sign([]byte(jwtKey), n+":"+p+":"+exp) + "&exp=" + exp, invalid},
		{"a path that is no id", replyPath(n, "nobody") + signature(n, "nobody", exp), "422 validation_error"},
		{"a good one for nobody", replyURL(n, unknownID), "404 not_found"},
		{"a good one for a network that does not exist", replyURL(unknownID, p), "404 not_found"},
		{"a good one for a participant elsewhere", replyURL(m, p), "404 not_found"},
		{"the same, of somebody else's network", replyURL(foreign, p), "404 not_found"},
	} {
		got := c.send("POST", tt.target, `{"content":"x"}`, nil)
		if text := fmt.Sprint(got.status, " ", got.text("code")); text != tt.want || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %s %s %v, want %s", tt.sentence, text, got.body, got.header, tt.want)
		}
		// Who is refused has nothing read of what he sends.
		if strings.HasPrefix(tt.want, "403") || strings.HasPrefix(tt.want, "422") {
			for _, body := range []string{"{{{", strings.Repeat(" ", 2<<20)} {
				again := send(c.service.Handler(), "POST", tt.target, body, http.Header{"Content-Type": {"text/plain"}})
				if again.status != got.status || again.text("code") != got.text("code") {
					t.Errorf("%s, with a body that is none: got %d %s", tt.sentence, again.status, again.body)
				}
			}
		}
	}
	if got := c.send("GET", path+"?sig="+good+"&exp="+exp, "", nil); got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", got.status, got.header)
	}
	// Credential headers are not looked at, not even repeated ones.
	for _, header := range []http.Header{{"Authorization": {"Bearer a", "Bearer b"}, "X-Api-Key": {"a", "b"}}, {"X-Service-Key": {"", "x"}, "X-On-Behalf-Of": {"x", "y"}},
		{"X-Service-Key": {"wrong"}}, {"Authorization": {"Bearer " + bob.token}}} {
		if got := c.send("POST", replyURL(n, p), `{"content":"x"}`, header); got.status != 200 {
			t.Errorf("with %v: %d %s", header, got.status, got.body)
		}
		if got := c.send("POST", path, `{"content":"x"}`, header); got.status != 422 {
			t.Errorf("with %v and no signature: %d %s", header, got.status, got.body)
		}
	}
}

// What a callback says, and what it does.
func TestACallbackIsAMessageOfItsParticipant(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		c := newClub(t, open())
		ada := c.signUp("ada")
		n := c.network(ada, `,"topology_type":"star"`)
		hub, spoke := c.join(ada, n, ""), c.join(ada, n, "")
		pushed := c.join(ada, n, `,"callback_url":"`+c.agents.URL+`/200/ok"`)
		known := memory{"$N", n, "$HUB", hub, "$SPOKE", spoke, "$PUSHED", pushed}
		asked := c.want(201, "POST", "/networks/"+n+"/mailbox", say(hub, spoke, "?"), ada.bearer()).text("id")
		known = append(known, "$ASKED", asked)
		shown := func(id, recipient, channel, metadata, replies string) string {
			return `{"id":"$` + id + `","network_id":"$N","sender_participant_id":"$SPOKE","recipient_participant_id":` + recipient + `,"channel_type":"` + channel +
				`","content":"` + id + `","metadata":` + metadata + `,"metadata_":` + metadata + `,"status":"pending","in_reply_to_id":` + replies + `,"created_at":TIME,"updated_at":TIME}`
		}
		var all []string
		for _, tt := range []struct{ id, more, want string }{
			{"A", ``, shown("A", "null", "message", "null", "null")},
			{"B", `,"recipient_participant_id":null,"channel_type":null,"metadata":null,"in_reply_to_id":null`, shown("B", "null", "message", "null", "null")},
			{"C", `,"recipient_participant_id":"$HUB","metadata":{"a":1},"in_reply_to_id":"$ASKED"`, shown("C", `"$HUB"`, "message", `{"a":1}`, `"$ASKED"`)},
			{"D", `,"recipient_participant_id":"$HUB","channel_type":"mailbox"`, shown("D", `"$HUB"`, "mailbox", "null", "null")},
			{"E", `,"recipient_participant_id":"$PUSHED","channel_type":"call"`, shown("E", `"$PUSHED"`, "call", "null", "null")},
			{"F", `,"recipient_participant_id":"$PUSHED"`, shown("F", `"$PUSHED"`, "message", "null", "null")},
		} {
			got := c.want(200, "POST", replyURL(n, spoke), known.ids(`{"content":"`+tt.id+`"`+tt.more+`}`), nil)
			known = append(known, "$"+tt.id, got.text("id"))
			if names := known.names(got.body); names != tt.want {
				t.Errorf("%s: got %s, want %s", tt.id, names, tt.want)
			}
			all = append(all, got.text("id"))
		}
		if list := c.want(200, "GET", "/networks/"+n+"/messages", "", ada.bearer()).body; strings.Count(list, `"channel_type"`) != 7 {
			t.Errorf("messages: %s", known.names(list))
		}
		if got := known.names(c.want(200, "GET", "/networks/"+n+"/context?limit=6", "", ada.bearer()).body); !strings.Contains(got,
			`{"network_id":"$N","entries":[{"sender":"p","recipient":null,"channel":"message","content":"A","message_id":"$A","timestamp":SECONDS},`) || strings.Count(got, "SECONDS") != 6 {
			t.Errorf("context: %s", got)
		}
		if inbox := known.names(c.want(200, "GET", "/networks/"+n+"/inbox/"+hub, "", ada.bearer()).body); strings.Count(inbox, `"content"`) != 2 {
			t.Errorf("the hub's inbox: %s", inbox)
		}
		// F takes the queue of a send, E is only stored.
		c.settled("/networks/"+n+"/messages?participant_id="+pushed+"&channel_type=message", `"delivered"`, ada.bearer())
		if got := c.agents.last(t, "/200/ok").header.Get("Webhook-Id"); got != all[5] || len(c.agents.seen) != 1 {
			t.Errorf("delivered: %s of %d, want %s", got, len(c.agents.seen), all[5])
		}
		for body, want := range map[string]int{`{"content":"` + strings.Repeat("\U0001f600", 65536) + `"}`: 200, `{"content":"` + strings.Repeat("x", 65537) + `"}`: 422,
			`{"content":""}`: 200, `{}`: 422, "": 422, "{": 400, `{"content":null}`: 422, `{"content":"x","channel_type":"push"}`: 422, `{"content":"x","metadata":[]}`: 422,
			`{"content":"x","recipient_participant_id":"p"}`: 422, `{"content":"x","in_reply_to_id":"p"}`: 422,
			`{"content":"x","metadata":{"x":"` + strings.Repeat("x", 32768) + `"}}`: 422, `{"content":"` + strings.Repeat("x", 1<<20) + `"}`: 413} {
			if got := c.send("POST", replyURL(n, spoke), body, nil); got.status != want {
				t.Errorf("%.60s: got %d %.200s, want %d", body, got.status, got.body, want)
			}
		}
		if got := c.send("POST", replyURL(n, spoke), "{}", http.Header{"Content-Type": {"text/plain"}}); got.status != 415 {
			t.Errorf("text: %d", got.status)
		}
	})
}

// A reply URL is a credential that an owner has given out: it ends with the account.
func TestTheReplyURLsOfADeactivatedOwnerAreUseless(t *testing.T) {
	c := newClub(t, testkit.SQLite(t))
	root, ada, bob := c.administrator(), c.signUp("ada"), c.signUp("bob")
	hers, his := c.network(ada, ""), c.network(bob, "")
	spoke, other := c.join(ada, hers, ""), c.join(bob, his, "")
	for _, step := range []struct {
		active string
		want   int
	}{{"true", 200}, {"false", 404}, {"true", 200}} {
		c.want(200, "PATCH", "/admin/users/"+ada.id, `{"is_active":`+step.active+`}`, root.bearer())
		c.want(step.want, "POST", replyURL(hers, spoke), `{"content":"x"}`, nil)
		c.want(200, "POST", replyURL(his, other), `{"content":"x"}`, nil)
	}
	c.want(200, "PATCH", "/admin/users/"+ada.id, `{"is_active":false}`, root.bearer())
	unknown := c.want(404, "POST", replyURL(unknownID, spoke), `{"content":"x"}`, nil)
	if got := c.want(404, "POST", replyURL(hers, spoke), `{"content":"x"}`, nil); shape(got) != shape(unknown) {
		t.Errorf("got %s, want what an unknown network answers: %s", got.body, unknown.body)
	}
}

// Contract §6.7: the checks of a callback in their order, over every state of platform,
// participant, network, recipient and of what it replies to. No topology binds it.
func TestACallbackIsCheckedInTheOrderOfTheContract(t *testing.T) {
	c := newClub(t, testkit.SQLite(t))
	root, ada, bob := c.administrator(), c.signUp("ada"), c.signUp("bob")
	agent := c.agent(ada, "/echo", "").text("id")
	open, closed, foreign := c.star(ada, agent), c.star(ada, agent), c.star(bob, agent)
	mail := func(u user, e ends) string {
		return c.want(201, "POST", "/networks/"+e.network+"/mailbox", say(e.hub, e.hub, "?"), u.bearer()).text("id")
	}
	mine, theirs := mail(ada, open), mail(bob, foreign)
	c.want(200, "PATCH", "/networks/"+closed.network, `{"status":"closed"}`, ada.bearer())
	c.want(200, "POST", "/admin/agents/"+agent+"/kill", "", root.bearer())
	stored := 0
	for _, halted := range []bool{true, false} {
		if !halted {
			c.want(200, "POST", "/admin/platform/resume", "", root.bearer())
		} else {
			c.want(200, "POST", "/admin/platform/halt", "", root.bearer())
		}
		for _, e := range []ends{open, closed} {
			for _, sender := range []string{unknownID, foreign.hub, e.removed, e.disconnected, e.disabled, e.spoke, e.hub} {
				for _, recipient := range []string{unknownID, foreign.hub, e.removed, e.disconnected, e.disabled, e.spoke, ""} {
					for _, replies := range []string{unknownID, theirs, mine, ""} {
						want := "200 "
						switch {
						case halted:
							want = "503 platform_halted"
						case sender == unknownID || sender == foreign.hub:
							want = "404 not_found"
						case sender == e.removed || sender == e.disconnected:
							want = "400 participant_not_active"
						case e == closed:
							want = "400 network_not_active"
						case recipient == unknownID || recipient == foreign.hub:
							want = "404 not_found"
						case recipient == e.removed || recipient == e.disconnected:
							want = "400 participant_not_active"
						case replies == unknownID || replies == theirs:
							want = "404 not_found"
						case sender == e.disabled || recipient == e.disabled:
							want = "403 agent_disabled"
						default:
							stored++
						}
						body := strings.NewReplacer(`""`, "null").Replace(fmt.Sprintf(`{"content":"x","recipient_participant_id":%q,"in_reply_to_id":%q}`, recipient, replies))
						got := c.send("POST", replyURL(e.network, sender), body, nil)
						if text := fmt.Sprint(got.status, " ", got.text("code")); text != want {
							t.Errorf("halted %v, from %s to %s, reply to %s in %+v: got %s %s, want %s", halted, sender, recipient, replies, e, text, got.body, want)
						}
					}
				}
			}
		}
	}
	list := c.want(200, "GET", "/networks/"+open.network+"/messages?limit=500", "", ada.bearer()).body
	if got := strings.Count(list, `"channel_type":"message"`); got != stored || stored == 0 {
		t.Errorf("%d messages were stored, want %d", got, stored)
	}
}

func TestNoSignatureIsEverLogged(t *testing.T) {
	var log journal
	w := newWorld(t, func(d *Deps) {
		d.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := &club{&market{world: w}}
	ada := c.signUp("ada")
	n := c.network(ada, "")
	p := c.join(ada, n, "")
	exp := inAnHour()
	sig := sign(callbackKey(), n+":"+p+":"+exp)
	query := "?sig=" + sig + "&exp=" + exp
	for target, body := range map[string]string{replyPath(n, p) + query: `{"content":"x"}`, replyPath(n, p) + query + "&y": "{", replyPath(n, p) + query + "&x=%zz": `{}`,
		replyPath(n, p) + query + "&sig=" + sig: "", replyPath(n, unknownID) + query: "", replyPath(n, "x") + query: "", "/networks" + query: "", "//" + query: ""} {
		c.send("POST", target, body, nil)
		c.send("GET", target, "", nil)
	}
	if err := w.service.db.Close(); err != nil { // so that something breaks inside
		t.Fatal(err)
	}
	c.send("POST", replyPath(n, p)+query, `{"content":"x"}`, nil)
	text := log.String()
	if strings.Contains(text, sig) || strings.Contains(text, "sig=") || !strings.Contains(text, `"participant":"`+p) || !strings.Contains(text, `"status":500`) {
		t.Errorf("log:\n%s", text)
	}
}

// thisMinute is a clock that stands within the present minute, most of which is still to
// come: nodes exchange counts by the real time.
func thisMinute() *testkit.Clock {
	if past := time.Now().Second(); past >= 50 {
		time.Sleep(time.Duration(60-past) * time.Second)
	}
	return testkit.NewClock(time.Now())
}

// frozen is a club in which no time passes.
func frozen(t *testing.T, clock *testkit.Clock, vars ...string) *club {
	t.Helper()
	w := newWorld(t, func(d *Deps) { d.Now = clock.Now }, vars...)
	w.handler = overHTTP(t, w.handler)
	return &club{&market{world: w}}
}

// Contract §6.7: 120 a minute and participant, whatever the general limit is, on all nodes
// together.
func TestCallbacksAreLimitedPerParticipant(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url, clock := open(), thisMinute()
		c := frozen(t, clock, "DATABASE_URL", url)
		ada := c.signUp("ada")
		n := c.network(ada, "")
		p, q := c.join(ada, n, ""), c.join(ada, n, "")
		var y tally
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 20 {
					y.add(c.send("POST", replyURL(n, p), `{"content":"x"}`, nil))
				}
			})
		}
		group.Wait()
		y.is(t, "160 callbacks of one participant", map[string]int{"200": 120, "429 rate_limited": 40})
		over := c.send("POST", replyURL(n, p), "{{{", nil)
		if over.status != 429 || over.header.Get("X-RateLimit-Limit") != "120" || over.header.Get("Retry-After") == "" {
			t.Errorf("over the limit: %d %v", over.status, over.header)
		}
		if got := c.send("POST", replyURL(n, q), `{"content":"x"}`, nil); got.status != 200 || got.header.Get("X-RateLimit-Remaining") != "119" {
			t.Errorf("another participant: %d %v", got.status, got.header)
		}
		c.want(200, "GET", "/networks/"+n, "", ada.bearer())
		if !strings.HasPrefix(url, "postgres") {
			return
		}
		second := frozen(t, clock, "DATABASE_URL", url)
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if got := second.send("POST", replyURL(n, p), `{"content":"x"}`, nil); got.status == 429 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("another node lets the participant go on")
			}
		}
	})
}

// Who is refused counts as the peer that it is.
func TestRefusedSignaturesCountAgainstThePeer(t *testing.T) {
	c := frozen(t, thisMinute(), "RATE_LIMIT_PER_MINUTE", "60")
	ada := c.signUp("ada")
	n := c.network(ada, "")
	p := c.join(ada, n, "")
	refused := 0
	for range 80 {
		switch got := c.send("POST", replyPath(n, p)+signature(n, p, "1"), "", nil); got.status {
		case 403:
			refused++
		case 429:
		default:
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if refused != 58 { // to register and to log in counted for the peer too
		t.Errorf("%d of 80 were refused with 403, want 58", refused)
	}
	if got := c.send("POST", replyURL(n, p), `{"content":"x"}`, nil); got.status != 200 || got.header.Get("X-RateLimit-Limit") != "120" {
		t.Errorf("a good one from the same peer: %d %v", got.status, got.header)
	}
}
