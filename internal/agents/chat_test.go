package agents_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// weather is the turn of the contract's examples: two tools, a reply in two pieces.
func weather(after func()) script {
	return func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
		for _, tool := range []string{"discover_agents", "invoke_agent"} {
			call, err := out.Call(ctx, tool, []byte(`{ "query": "weather <in> Rome" }`))
			if err != nil {
				return err
			}
			if err := out.Result(ctx, call, true, "found"); err != nil {
				return err
			}
		}
		if err := out.Say(ctx, "Sunny, "); err != nil {
			return err
		}
		after()
		return out.Say(ctx, "21 degrees.")
	}
}

func TestTurnIsShownAsTheContractSays(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		now := testkit.NewClock(time.Date(2036, 4, 23, 12, 0, 0, 0, time.UTC))
		h := open(t, hostOptions{url: url(), now: now.Now, brain: weather(func() { now.Add(1250 * time.Millisecond) })})
		h.create(ada, "aria")
		a := h.want(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"Weather in Rome?"}`), 201)
		m, r := a.json(t)["message_id"].(string), a.json(t)["reply_message_id"].(string)
		calls := `[{"call_id":"t1","tool":"discover_agents","ok":true},{"call_id":"t2","tool":"invoke_agent","ok":true}]`
		answer := `{"message_id":"` + m + `","reply":"Sunny, 21 degrees.","reply_message_id":"` + r + `","entity":"aria","owner_user_id":"` + ada + `",` +
			`"tool_calls":` + calls + `,"created_at":"2036-04-23T12:00:00.000000Z","completed_at":"2036-04-23T12:00:01.250000Z"}`
		if got := string(a.body); got != answer {
			t.Errorf("answer\n got %s\nwant %s", got, answer)
		}
		history := `[{"id":"` + m + `","role":"user","content":"Weather in Rome?","in_reply_to":null,"status":"completed","error":null,"tool_calls":[],"created_at":"2036-04-23T12:00:00.000000Z"},` +
			`{"id":"` + r + `","role":"assistant","content":"Sunny, 21 degrees.","in_reply_to":"` + m + `","status":"completed","error":null,"tool_calls":` + calls + `,"created_at":"2036-04-23T12:00:01.250000Z"}]`
		if got := string(h.ask(ada, "GET", "/entities/aria/chat", "").body); got != history {
			t.Errorf("history\n got %s\nwant %s", got, history)
		}
		stream := "retry: 2000\n\n" +
			"id: 1\nevent: message.started\ndata: {\"message_id\":\"" + m + "\",\"entity\":\"aria\",\"created_at\":\"2036-04-23T12:00:00.000000Z\"}\n\n" +
			"id: 2\nevent: tool.call\ndata: {\"message_id\":\"" + m + "\",\"call_id\":\"t1\",\"tool\":\"discover_agents\",\"arguments\":{\"query\":\"weather <in> Rome\"}}\n\n" +
			"id: 3\nevent: tool.result\ndata: {\"message_id\":\"" + m + "\",\"call_id\":\"t1\",\"tool\":\"discover_agents\",\"ok\":true,\"summary\":\"found\"}\n\n" +
			"id: 4\nevent: tool.call\ndata: {\"message_id\":\"" + m + "\",\"call_id\":\"t2\",\"tool\":\"invoke_agent\",\"arguments\":{\"query\":\"weather <in> Rome\"}}\n\n" +
			"id: 5\nevent: tool.result\ndata: {\"message_id\":\"" + m + "\",\"call_id\":\"t2\",\"tool\":\"invoke_agent\",\"ok\":true,\"summary\":\"found\"}\n\n" +
			"id: 6\nevent: reply.delta\ndata: {\"message_id\":\"" + m + "\",\"text\":\"Sunny, \"}\n\n" +
			"id: 7\nevent: reply.delta\ndata: {\"message_id\":\"" + m + "\",\"text\":\"21 degrees.\"}\n\n" +
			"id: 8\nevent: reply.completed\ndata: " + answer + "\n\n"
		events := h.want(h.ask(ada, "GET", "/entities/aria/chat/"+m+"/events", ""), 200)
		if got := string(events.body); got != stream {
			t.Errorf("events\n got %s\nwant %s", got, stream)
		}
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no"} {
			if got := events.header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if got := h.ask(ada, "GET", "/entities/aria", "").json(t)["last_active_at"]; got != "2036-04-23T12:00:00.000000Z" {
			t.Errorf("last_active_at: got %v", got)
		}
		h.want(h.ask(ada, "GET", "/entities/aria/chat/"+r+"/events", ""), 404) // a reply is no turn

		h.want(h.ask(ada, "PUT", "/entities/aria/memories/favourite-city", `{"value":"Rome"}`), 201)
		memory := `{"key":"favourite-city","value":"Rome","source":"user","created_at":"2036-04-23T12:00:01.250000Z","updated_at":"2036-04-23T12:00:01.250000Z"}`
		if got := string(h.ask(ada, "GET", "/entities/aria/memories/favourite-city", "").body); got != memory {
			t.Errorf("memory\n got %s\nwant %s", got, memory)
		}
		entity := string(h.ask(ada, "GET", "/entities/aria", "").body)
		export := h.want(h.ask(ada, "GET", "/entities/aria/export", ""), 200)
		want := `{"version":1,"exported_at":"2036-04-23T12:00:01.250000Z","entity":` + entity + `,"memories":[` + memory + `],"messages":` + history + `,"deliveries":[]}`
		if got := string(export.body); got != want {
			t.Errorf("export\n got %s\nwant %s", got, want)
		}
		if got := export.header.Get("Content-Disposition"); got != `attachment; filename="aria.json"` {
			t.Errorf("Content-Disposition: got %s", got)
		}
		if got := export.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type: got %s", got)
		}
	})
}

func TestOneTurnAtATime(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		var turns atomic.Int64
		release := make(chan struct{})
		slow := script(func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
			turns.Add(1)
			<-release
			return out.Say(ctx, "done")
		})
		database := url()
		hosts := []*host{open(t, hostOptions{url: database, brain: slow})}
		if !strings.HasPrefix(database, "sqlite:") { // two processes on one PostgreSQL
			hosts = append(hosts, open(t, hostOptions{url: database, brain: slow}))
		}
		hosts[0].create(ada, "aria")
		var answered atomic.Int64
		got := parallel(50, func(i int) string {
			a := hosts[i%len(hosts)].ask(ada, "POST", "/entities/aria/chat", fmt.Sprintf(`{"content":"%d"}`, i))
			if answered.Add(1) == 49 { // all but the one that waits for its turn
				close(release)
			}
			if a.status == 409 && a.header.Get("Retry-After") != "1" {
				return "409 without Retry-After"
			}
			return outcome(a)
		})
		if got["201"] != 1 || got["409 turn_in_progress"] != 49 || turns.Load() != 1 {
			t.Errorf("got %v and %d turns, want 1 × 201, 49 × 409 turn_in_progress, 1 turn", got, turns.Load())
		}
		if n := len(hosts[0].ask(ada, "GET", "/entities/aria/chat", "").list(t)); n != 2 {
			t.Errorf("the history has %d messages, want 2: a refused one is not stored", n)
		}
	})
}

func TestManyMessagesWithOneKeyAreOneTurn(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		var turns atomic.Int64
		h := open(t, hostOptions{url: url(), brain: script(func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
			turns.Add(1)
			time.Sleep(20 * time.Millisecond)
			return out.Say(ctx, "done")
		})})
		h.create(ada, "aria")
		ask := func(body, key string, more ...string) answer {
			return h.ask(ada, "POST", "/entities/aria/chat", body, append(more, "Idempotency-Key", key)...)
		}
		got := parallel(50, func(int) string { return outcome(ask(`{"content":"x"}`, "k")) })
		if got["201"] != 1 || got["201"]+got["409 idempotency_in_progress"]+got["201 replayed"] != 50 || turns.Load() != 1 {
			t.Errorf("got %v and %d turns, want one turn, repeated or in progress", got, turns.Load())
		}
		first, second := ask(`{"content":"x"}`, "k"), ask("{ \"content\" : \"\\u0078\" }", "k")
		if string(first.body) != string(second.body) || outcome(second) != "201 replayed" {
			t.Errorf("got %s %s, want %s", outcome(second), second.body, first.body)
		}
		if got := outcome(ask(`{"content":"y"}`, "k")); got != "422 idempotency_key_reused" {
			t.Errorf("other body: got %s", got)
		}
		// The same repeat as a stream.
		message := first.json(t)["message_id"].(string)
		events, response, err := h.stream(ada, "POST", "/entities/aria/chat", `{"content":"x"}`, -1, "Idempotency-Key", "k", "Accept", "text/event-stream")
		if err != nil || response.Header.Get("Idempotency-Replayed") != "true" || !reflect.DeepEqual(events, h.all(ada, "aria", message)) {
			t.Errorf("repeat as a stream: got %v %v %v", events, response.Header, err)
		}
		if last := events[len(events)-1]; last.name != "reply.completed" || last.data != string(first.body) {
			t.Errorf("last event: got %v, want the answer %s", last, first.body)
		}
		// A key belongs to one entity and one route.
		h.want(h.ask(ada, "POST", "/entities", `{"name":"b"}`, "Idempotency-Key", "k"), 201)
		if got := outcome(h.ask(ada, "POST", "/entities/b/chat", `{"content":"y"}`, "Idempotency-Key", "k")); got != "201" {
			t.Errorf("same key at another entity: got %s, want 201", got)
		}
		// The refusal of a paused entity is kept.
		h.ask(ada, "POST", "/entities/b/pause", "")
		for i, want := range []string{"409 entity_paused", "409 entity_paused replayed"} {
			if got := outcome(h.ask(ada, "POST", "/entities/b/chat", `{"content":"z"}`, "Idempotency-Key", "p")); got != want {
				t.Errorf("paused, request %d: got %s, want %s", i, got, want)
			}
			h.ask(ada, "POST", "/entities/b/resume", "")
		}
		if turns.Load() != 2 {
			t.Errorf("got %d turns, want 2", turns.Load())
		}
	})
}

func TestAKeyIsInProgressWhileItsTurnRuns(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		started, release := make(chan struct{}, 9), make(chan struct{})
		h := open(t, hostOptions{url: url(), brain: script(func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
			started <- struct{}{}
			<-release
			return out.Say(ctx, "done")
		})})
		h.create(ada, "aria")
		first := make(chan answer, 1)
		go func() {
			first <- h.ask(ada, "POST", "/entities/aria/chat", `{"content":"x"}`, "Idempotency-Key", "k")
		}()
		<-started
		a := h.ask(ada, "POST", "/entities/aria/chat", `{"content":"x"}`, "Idempotency-Key", "k")
		if outcome(a) != "409 idempotency_in_progress" || a.header.Get("Retry-After") != "1" {
			t.Errorf("same key: got %s, Retry-After %q", outcome(a), a.header.Get("Retry-After"))
		}
		if got := outcome(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"y"}`, "Idempotency-Key", "k")); got != "422 idempotency_key_reused" {
			t.Errorf("same key, other body: got %s", got)
		}
		// The refusal because of another turn is not kept.
		other := func() string {
			return outcome(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"y"}`, "Idempotency-Key", "other"))
		}
		if got := other(); got != "409 turn_in_progress" {
			t.Errorf("other key: got %s", got)
		}
		close(release)
		h.want(<-first, 201)
		if got := other(); got != "201" {
			t.Errorf("other key after the turn: got %s, want 201", got)
		}
	})
}

func TestFailedTurns(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		boom := errors.New("secret text of a provider")
		h := open(t, hostOptions{url: url(), timeout: 60 * time.Millisecond, brain: script(func(ctx context.Context, turn brain.Turn, out brain.Sink) error {
			switch turn.Content {
			case "fail":
				_ = out.Say(ctx, "half a ")
				return boom
			case "panic":
				panic(boom)
			case "hang":
				<-ctx.Done()
				return ctx.Err()
			case "deaf":
				time.Sleep(300 * time.Millisecond) // does not listen to its context
				return out.Say(context.WithoutCancel(ctx), "too late")
			}
			return out.Say(ctx, "fine")
		})})
		h.create(ada, "aria")
		for _, test := range []struct {
			content, code, detail string
			status                int
			events                string
		}{
			{"fail", "brain_error", "The entity could not answer", 502, "message.started reply.delta error"},
			{"panic", "brain_error", "The entity could not answer", 502, "message.started error"},
			{"hang", "turn_timeout", "The entity did not answer in time", 504, "message.started error"},
			{"deaf", "turn_timeout", "The entity did not answer in time", 504, "message.started error"},
		} {
			a := h.ask(ada, "POST", "/entities/aria/chat", `{"content":"`+test.content+`"}`, "Idempotency-Key", test.content)
			if a.status != test.status || a.json(t)["code"] != test.code || a.json(t)["detail"] != test.detail {
				t.Errorf("%s: got %d %s, want %d %s %s", test.content, a.status, a.body, test.status, test.code, test.detail)
			}
			history := h.ask(ada, "GET", "/entities/aria/chat?limit=1", "").list(t)
			if m := history[0]; m["role"] != "user" || m["status"] != "failed" || m["error"] != test.detail {
				t.Errorf("%s: the history has %v", test.content, m)
			}
			message := history[0]["id"].(string)
			events := h.all(ada, "aria", message)
			if got := names(events); got != test.events {
				t.Errorf("%s: got events %s, want %s", test.content, got, test.events)
			}
			want := fmt.Sprintf(`{"message_id":"%s","code":"%s","detail":"%s","status":%d}`, message, test.code, test.detail, test.status)
			if got := events[len(events)-1].data; got != want {
				t.Errorf("%s: last event: got %s, want %s", test.content, got, want)
			}
			// Nothing of a failed turn is kept under its key.
			if got := outcome(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"again"}`, "Idempotency-Key", test.content)); got != "201" {
				t.Errorf("%s: the key is not free: %s", test.content, got)
			}
		}
	})
}

func names(events []event) string {
	var list []string
	for _, e := range events {
		list = append(list, e.name)
	}
	return strings.Join(list, " ")
}

func TestTheTurnEndsAlthoughTheClientLeft(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		started, release := make(chan struct{}, 2), make(chan struct{})
		h := open(t, hostOptions{url: url(), brain: script(func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
			started <- struct{}{}
			<-release
			return out.Say(ctx, "done")
		})})
		for _, accept := range []string{"application/json", "text/event-stream"} {
			name := "e" + accept[:4]
			h.create(ada, name)
			ctx, leave := context.WithCancel(context.Background())
			left := make(chan answer, 1)
			go func() {
				left <- h.askCtx(ctx, ada, "POST", "/entities/"+name+"/chat", `{"content":"x"}`, "Accept", accept)
			}()
			<-started
			leave()
			if a := <-left; a.err == nil {
				t.Fatalf("%s: got %d, want the client to have left", accept, a.status)
			}
			release <- struct{}{}
			eventually(t, accept+": the reply is in the history", func() bool {
				list := h.ask(ada, "GET", "/entities/"+name+"/chat", "").list(t)
				return len(list) == 2 && list[0]["status"] == "completed" && list[1]["content"] == "done"
			})
		}
	})
}

func TestDeleteEndsTheTurn(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		started, cancelled := make(chan struct{}, 1), make(chan struct{}, 1)
		h := open(t, hostOptions{url: url(), idle: true, brain: script(func(ctx context.Context, turn brain.Turn, out brain.Sink) error {
			if turn.Content == "quick" {
				return out.Say(ctx, "done")
			}
			started <- struct{}{}
			<-ctx.Done()
			cancelled <- struct{}{}
			return ctx.Err()
		})})
		h.create(ada, "aria")
		h.want(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"quick"}`, "Idempotency-Key", "old"), 201)
		h.want(h.ask(ada, "PUT", "/entities/aria/memories/a", `{"value":"b"}`), 201)
		waiting := make(chan answer, 2)
		go func() { waiting <- h.ask(ada, "POST", "/entities/aria/chat", `{"content":"x"}`) }()
		<-started
		message := h.ask(ada, "GET", "/entities/aria/chat?limit=1", "").list(t)[0]["id"].(string)
		following, err := h.send(context.Background(), ada, "GET", "/entities/aria/chat/"+message+"/events", "")
		if err != nil {
			t.Fatal(err)
		}
		defer following.Body.Close()
		h.want(h.ask(ada, "DELETE", "/entities/aria", ""), 204)
		select {
		case <-cancelled:
		case <-time.After(10 * time.Second):
			t.Error("the brain goes on")
		}
		if a := <-waiting; outcome(a) != "404 not_found" {
			t.Errorf("who waited: got %s, want 404 not_found", outcome(a))
		}
		events, err := readEvents(following.Body, -1)
		if err != nil || len(events) == 0 {
			t.Fatalf("who followed: got %v %v", events, err)
		}
		if last := events[len(events)-1]; last.name != "error" || !strings.Contains(last.data, `"code":"not_found"`) {
			t.Errorf("who followed: got %v, want an error at the end", events)
		}
		h.create(ada, "aria")
		for path, want := range map[string]string{"/chat": "[]", "/memories": "[]"} {
			if got := string(h.ask(ada, "GET", "/entities/aria"+path, "").body); got != want {
				t.Errorf("%s of a new entity of that name: got %s", path, got)
			}
		}
		if got := outcome(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"quick"}`, "Idempotency-Key", "old")); got != "201" {
			t.Errorf("an old key: got %s, want 201", got)
		}
	})
}

func TestAcceptedMediaTypes(t *testing.T) {
	h := open(t, hostOptions{url: testkit.SQLite(t)})
	h.create(ada, "aria")
	for accept, want := range map[string]string{
		"":                                     "application/json",
		"*/*":                                  "application/json",
		"application/json":                     "application/json",
		"text/event-stream":                    "text/event-stream",
		"Text/Event-Stream":                    "text/event-stream",
		"application/json, text/event-stream":  "text/event-stream",
		"text/event-stream;q=0.9, */*":         "text/event-stream",
		"text/event-stream;q=0":                "application/json",
		"text/event-streams, x text/event-str": "application/json",
	} {
		a := h.ask(ada, "POST", "/entities/aria/chat", `{"content":"time"}`, "Accept", accept)
		status := map[string]int{"application/json": http.StatusCreated, "text/event-stream": http.StatusOK}[want]
		if got := a.header.Get("Content-Type"); got != want || a.status != status {
			t.Errorf("Accept %q: got %d %s, want %d %s", accept, a.status, got, status, want)
		}
	}
	for body, want := range map[string]string{
		`{"content":""}`:                     "422 validation_error",
		`{"content":1}`:                      "422 validation_error",
		`{}`:                                 "422 validation_error",
		`{"content":"x","role":"assistant"}`: "422 validation_error",
		`{"content":"` + strings.Repeat("ä", 65536) + `"}`: "200",
		`{"content":"` + strings.Repeat("ä", 65537) + `"}`: "422 validation_error",
		`{"content":"a\u0000b"}`:                           "422 validation_error",
		`{"content":"x"`:                                   "400 malformed_json",
	} {
		if got := outcome(h.ask(ada, "POST", "/entities/aria/chat", body, "Accept", "text/event-stream")); got != want {
			t.Errorf("%.60s: got %s, want %s", body, got, want)
		}
	}
}

func TestEntitiesDoNotHinderEachOther(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, url func() string) {
		h := open(t, hostOptions{url: url()})
		got := parallel(50, func(i int) string {
			name := fmt.Sprintf("aria%d", i)
			if a := h.ask(ada, "POST", "/entities", `{"name":"`+name+`"}`); a.status != 201 {
				return outcome(a)
			}
			for round := range 2 {
				a := h.ask(ada, "POST", "/entities/"+name+"/chat", fmt.Sprintf(`{"content":"remember key %d: v"}`, round))
				if a.status != 201 || !strings.HasPrefix(a.json(t)["reply"].(string), "I will remember") {
					return outcome(a) + string(a.body)
				}
			}
			return "fine"
		})
		if got["fine"] != 50 {
			t.Errorf("got %v, want all 50 fine", got)
		}
	})
}

func TestTimesInTheHistoryNeverRunBackwards(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, url func() string) {
		h := open(t, hostOptions{url: url()})
		h.create(ada, "aria")
		for range 8 {
			parallel(20, func(int) string {
				h.ask(ada, "POST", "/entities/aria/chat", `{"content":"remember a: b"}`)
				return ""
			})
		}
		history := h.want(h.ask(ada, "GET", "/entities/aria/chat?limit=200", ""), 200).list(t)
		if len(history) < 16 {
			t.Fatalf("only %d messages", len(history))
		}
		for i := 1; i < len(history); i++ {
			before, after := history[i-1]["created_at"].(string), history[i]["created_at"].(string)
			if after < before {
				t.Errorf("message %d is of %s, the one before it of %s", i, after, before)
			}
		}
	})
}
