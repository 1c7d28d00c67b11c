package agents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// steps says six pieces with a tool in between, each when the test lets it.
func steps(next <-chan struct{}) script {
	return func(ctx context.Context, _ brain.Turn, out brain.Sink) error {
		for i := range 6 {
			select {
			case <-next:
			case <-ctx.Done():
				return ctx.Err()
			}
			if i == 3 {
				call, err := out.Call(ctx, "clock", []byte(`{}`))
				if err != nil {
					return err
				}
				if err := out.Result(ctx, call, false, "no"); err != nil {
					return err
				}
			}
			if err := out.Say(ctx, fmt.Sprintf("piece %d, ", i)); err != nil {
				return err
			}
		}
		return nil
	}
}

// free lets every step pass.
func free() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

const stepEvents = "message.started reply.delta reply.delta reply.delta tool.call tool.result reply.delta reply.delta reply.delta reply.completed"

func TestAReaderThatIsCutOffAnywhereGoesOnWithoutGap(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, url func() string) {
		next := make(chan struct{})
		database := url()
		a := open(t, hostOptions{url: database, brain: steps(next)})
		b := a // where the reader comes back
		if !strings.HasPrefix(database, "sqlite:") {
			b = open(t, hostOptions{url: database, brain: steps(next)})
		}
		a.create(ada, "aria")
		total := len(strings.Fields(stepEvents))
		for cut := range total + 1 {
			done := make(chan struct{})
			go func() { // the turn goes on at its own speed
				defer close(done)
				for range 6 {
					next <- struct{}{}
				}
			}()
			got, _, err := a.stream(ada, "POST", "/entities/aria/chat", `{"content":"go"}`, max(cut, 1), "Accept", "text/event-stream")
			if err != nil {
				t.Fatal(err)
			}
			message := messageOf(t, got[0])
			got = got[:min(cut, len(got))]
			path := fmt.Sprintf("/entities/aria/chat/%s/events?after=%d", message, cut)
			rest, _, err := b.stream(ada, "GET", path, "", -1)
			if err != nil {
				t.Fatal(err)
			}
			<-done
			all := append(got, rest...)
			if names(all) != stepEvents {
				t.Errorf("cut after %d: got %s, want %s", cut, names(all), stepEvents)
			}
			for i, e := range all {
				if e.id != int64(i+1) {
					t.Errorf("cut after %d: event %d has the number %d", cut, i+1, e.id)
				}
			}
			if later := b.all(ada, "aria", message); !reflect.DeepEqual(all, later) {
				t.Errorf("cut after %d: got %v, later %v", cut, all, later)
			}
			checkReply(t, a, message, all)
		}
	})
}

func messageOf(t *testing.T, e event) string {
	t.Helper()
	var v struct {
		MessageID string `json:"message_id"`
	}
	if err := json.Unmarshal([]byte(e.data), &v); err != nil || v.MessageID == "" {
		t.Fatalf("no message_id in %v", e)
	}
	return v.MessageID
}

// checkReply compares the deltas with the answer and the stored reply.
func checkReply(t *testing.T, h *host, message string, events []event) {
	t.Helper()
	text, reply := "", ""
	for _, e := range events {
		var v struct{ Text, Reply string }
		if err := json.Unmarshal([]byte(e.data), &v); err != nil {
			t.Fatal(err)
		}
		text, reply = text+v.Text, v.Reply
	}
	for _, m := range h.ask(ada, "GET", "/entities/aria/chat", "").list(t) {
		if m["in_reply_to"] == message && (m["content"] != text || m["content"] != reply) {
			t.Errorf("stored %q, joined deltas %q, answer %q", m["content"], text, reply)
		}
	}
}

func TestReadersSeeTheSame(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		next := make(chan struct{})
		database := url()
		hosts := []*host{open(t, hostOptions{url: database, brain: steps(next)})}
		if !strings.HasPrefix(database, "sqlite:") {
			hosts = append(hosts, open(t, hostOptions{url: database}))
		}
		h := hosts[0]
		h.create(ada, "aria")
		first, _, err := h.stream(ada, "POST", "/entities/aria/chat", `{"content":"go"}`, 1, "Accept", "text/event-stream")
		if err != nil {
			t.Fatal(err)
		}
		path := "/entities/aria/chat/" + messageOf(t, first[0]) + "/events"
		results := make(chan []event, 6)
		for i := range cap(results) {
			go func() {
				events, _, err := hosts[i%len(hosts)].stream(ada, "GET", path, "", -1)
				if err != nil {
					t.Error(err)
				}
				results <- events
			}()
		}
		for range 6 {
			next <- struct{}{}
		}
		want := <-results
		if names(want) != stepEvents {
			t.Errorf("got %s, want %s", names(want), stepEvents)
		}
		for range cap(results) - 1 {
			if got := <-results; !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, another reader %v", got, want)
			}
		}
	})
}

func TestWhereAReaderMayBegin(t *testing.T) {
	h := open(t, hostOptions{url: testkit.SQLite(t), brain: steps(free())})
	h.create(ada, "aria")
	message := h.want(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"go"}`), 201).json(t)["message_id"].(string)
	path := "/entities/aria/chat/" + message + "/events"
	for after, want := range map[string]int{"": 10, "?after=0": 10, "?after=9": 1, "?after=10": 0, "?after=11": 0, "?after=99999999999999999999": 0} {
		events, _, err := h.stream(ada, "GET", path+after, "", -1)
		if err != nil || len(events) != want {
			t.Errorf("%q: got %d events, %v, want %d", after, len(events), err, want)
		}
	}
	for _, after := range []string{"", "-1", "+1", "1.0", "x", "0x1", "%201"} {
		h.want(h.ask(ada, "GET", path+"?after="+after, ""), 400, "bad_request")
	}
	h.want(h.ask(ada, "GET", "/entities/aria/chat/00000000-0000-4000-8000-000000000000/events", ""), 404, "not_found")
	h.want(h.ask(ada, "GET", "/entities/aria/chat/nonsense/events", ""), 422, "validation_error")
	h.want(h.ask(ada, "GET", "/entities/aria/chat/"+strings.ToUpper(message)+"/events", ""), 200)
}

func TestEventsAreKeptForAnHour(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		now := testkit.NewClock(time.Date(2036, 4, 23, 12, 0, 0, 0, time.UTC))
		h := open(t, hostOptions{url: url(), now: now.Now, idle: true, brain: script(func(ctx context.Context, turn brain.Turn, out brain.Sink) error {
			if turn.Content == "fail" {
				return context.Canceled
			}
			return steps(free())(ctx, turn, out)
		})})
		h.create(ada, "aria")
		ids := map[string]string{}
		last := map[string]event{}
		for _, content := range []string{"go", "fail"} {
			h.ask(ada, "POST", "/entities/aria/chat", `{"content":"`+content+`"}`)
			list := h.ask(ada, "GET", "/entities/aria/chat", "").list(t)
			for _, m := range list {
				if m["content"] == content {
					ids[content] = m["id"].(string)
				}
			}
			events := h.all(ada, "aria", ids[content])
			last[content] = events[len(events)-1]
		}
		now.Add(time.Hour - time.Microsecond)
		if got := names(h.all(ada, "aria", ids["go"])); got != stepEvents {
			t.Errorf("before an hour: got %s", got)
		}
		now.Add(time.Millisecond) // more than what sets messages of one instant apart
		for content, want := range last {
			if got := h.all(ada, "aria", ids[content]); len(got) != 1 || got[0] != want {
				t.Errorf("after an hour: got %v, want only %v", got, want)
			}
			events, _, err := h.stream(ada, "GET", fmt.Sprintf("/entities/aria/chat/%s/events?after=%d", ids[content], want.id), "", -1)
			if err != nil || len(events) != 0 {
				t.Errorf("after an hour, nothing is left to read: got %v %v", events, err)
			}
		}
	})
}

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, url func() string) {
		now := testkit.NewClock(time.Date(2036, 4, 23, 12, 0, 0, 0, time.UTC)) // stands still: all at one microsecond
		h := open(t, hostOptions{url: url(), now: now.Now, brain: script(func(ctx context.Context, turn brain.Turn, out brain.Sink) error {
			return out.Say(ctx, "re "+turn.Content)
		})})
		h.create(ada, "aria")
		var want []string
		for i := range 26 {
			h.want(h.ask(ada, "POST", "/entities/aria/chat", fmt.Sprintf(`{"content":"%d"}`, i)), 201)
			want = append(want, fmt.Sprint(i), fmt.Sprint("re ", i))
		}
		read := func(limit int) (contents []string, pages int) {
			before := ""
			for {
				page := h.want(h.ask(ada, "GET", fmt.Sprintf("/entities/aria/chat?limit=%d%s", limit, before), ""), 200).list(t)
				if len(page) == 0 {
					return contents, pages
				}
				pages++
				var texts []string
				for _, m := range page {
					texts = append(texts, m["content"].(string))
				}
				contents = append(texts, contents...)
				before = "&before=" + page[0]["id"].(string)
			}
		}
		for limit, pages := range map[int]int{1: 52, 7: 8, 16: 4, 51: 2, 200: 1} {
			if got, n := read(limit); !reflect.DeepEqual(got, want) || n != pages {
				t.Errorf("limit %d: got %d pages %v, want %d pages in order", limit, n, got, pages)
			}
		}
		if n := len(h.ask(ada, "GET", "/entities/aria/chat", "").list(t)); n != 50 {
			t.Errorf("default limit: got %d, want 50", n)
		}
		for query, want := range map[string]string{"limit=0": "422 validation_error", "limit=201": "422 validation_error", "limit=x": "422 validation_error",
			"before=x": "422 validation_error", "before=00000000-0000-4000-8000-000000000000": "404 not_found"} {
			if got := outcome(h.ask(ada, "GET", "/entities/aria/chat?"+query, "")); got != want {
				t.Errorf("%s: got %s, want %s", query, got, want)
			}
		}
	})
}

func TestPagesStayUnderOneMegabyte(t *testing.T) {
	t.Parallel()
	testkit.Engines(t, func(t *testing.T, url func() string) {
		h := open(t, hostOptions{url: url(), brain: script(func(ctx context.Context, turn brain.Turn, out brain.Sink) error {
			return out.Say(ctx, strings.Repeat("\x01", 65536)) // six bytes each in JSON
		})})
		h.create(ada, "aria")
		for range 3 {
			h.want(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"`+strings.Repeat("\U0001F600", 65536)+`"}`), 201)
		}
		value := strings.Repeat("\\u0001", 8192)
		for i := range 22 {
			h.want(h.ask(ada, "PUT", fmt.Sprintf("/entities/aria/memories/k%02d", i), `{"value":"`+value+`"}`), 201)
		}
		for _, test := range []struct {
			path, cursor, field string
			back                bool
			want                int
		}{{"chat", "before", "id", true, 6}, {"memories", "after", "key", false, 22}} {
			n, pages, cursor := 0, 0, ""
			for {
				a := h.want(h.ask(ada, "GET", "/entities/aria/"+test.path+"?limit=200"+cursor, ""), 200)
				if len(a.body) >= 1<<20 {
					t.Errorf("%s: a page of %d bytes", test.path, len(a.body))
				}
				page := a.list(t)
				if len(page) == 0 {
					break
				}
				at := page[len(page)-1]
				if test.back {
					at = page[0]
				}
				n, pages = n+len(page), pages+1
				cursor = "&" + test.cursor + "=" + at[test.field].(string)
			}
			if n != test.want || pages < 2 {
				t.Errorf("%s: got %d items on %d pages, want %d on several", test.path, n, pages, test.want)
			}
		}
		// The export is as long as it takes.
		export := h.want(h.ask(ada, "GET", "/entities/aria/export", ""), 200).json(t)
		if m, k := len(export["messages"].([]any)), len(export["memories"].([]any)); m != 6 || k != 22 {
			t.Errorf("export: got %d messages, %d memories, want 6 and 22", m, k)
		}
	})
}
