package agents_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents/store"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

func TestMemoryRoutes(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		now := testkit.NewClock(time.Date(2036, 4, 23, 12, 0, 0, 0, time.UTC))
		h := open(t, hostOptions{url: url(), now: now.Now})
		h.create(ada, "aria")
		for _, test := range []struct {
			method, path, body string
			want               string
			part               string
		}{
			{"GET", "/city", ``, "404 not_found", ""},
			{"DELETE", "/city", ``, "404 not_found", ""},
			{"PUT", "/city", `{"value":"Rome"}`, "201", `"created_at":"2036-04-23T12:00:00.000000Z","updated_at":"2036-04-23T12:00:00.000000Z"`},
			{"PUT", "/city", `{"value":"Oslo"}`, "200", `"value":"Oslo","source":"user","created_at":"2036-04-23T12:00:00.000000Z","updated_at":"2036-04-23T12:00:01.000000Z"`},
			{"GET", "/city", ``, "200", `{"key":"city","value":"Oslo"`},
			{"PUT", "/c", `{"value":"` + strings.Repeat("ä", 8192) + `"}`, "201", ""},
			{"PUT", "/c", `{"value":"` + strings.Repeat("ä", 8193) + `"}`, "422 validation_error", "string_too_long"},
			{"PUT", "/c", `{"value":""}`, "422 validation_error", "string_too_short"},
			{"PUT", "/c", `{"value":null}`, "422 validation_error", "string_type"},
			{"PUT", "/c", `{"value":"x","source":"entity"}`, "422 validation_error", "extra_forbidden"},
			{"PUT", "/c", ``, "422 validation_error", "missing"},
			{"PUT", "/-c", `{"value":"x"}`, "404 not_found", ""},
			{"PUT", "/C", `{"value":"x"}`, "404 not_found", ""},
			{"PUT", "/a%2fb", `{"value":"x"}`, "404 not_found", ""},
			{"PUT", "/" + strings.Repeat("k", 128), `{"value":"x"}`, "201", ""},
			{"PUT", "/" + strings.Repeat("k", 129), `{"value":"x"}`, "404 not_found", ""},
			{"GET", "?limit=2", ``, "200", `[{"key":"c",`},
			{"GET", "?limit=2&after=c", ``, "200", `[{"key":"city",`},
			{"GET", "?prefix=ci", ``, "200", `[{"key":"city",`},
			{"GET", "?prefix=%25", ``, "200", `[]`},
			{"GET", "?limit=0", ``, "422 validation_error", ""},
			{"GET", "?limit=201", ``, "422 validation_error", ""},
			{"DELETE", "/city", ``, "204", ""},
			{"GET", "/city", ``, "404 not_found", ""},
			{"DELETE", "", ``, "204", ""},
			{"DELETE", "", ``, "204", ""},
			{"GET", "", ``, "200", `[]`},
		} {
			a := h.ask(ada, test.method, "/entities/aria/memories"+test.path, test.body)
			if outcome(a) != test.want || !strings.Contains(string(a.body), test.part) {
				t.Errorf("%s %s %.40s: got %s %.200s, want %s with %s", test.method, test.path, test.body, outcome(a), a.body, test.want, test.part)
			}
			if test.method == "PUT" {
				now.Add(time.Second)
			}
		}
		// What the entity remembers carries its name, also when it replaces.
		h.want(h.ask(ada, "PUT", "/entities/aria/memories/city", `{"value":"Rome"}`), 201)
		h.want(h.ask(ada, "POST", "/entities/aria/chat", `{"content":"remember City: Oslo"}`), 201)
		if got := h.ask(ada, "GET", "/entities/aria/memories/city", "").json(t); got["source"] != "entity" || got["value"] != "Oslo" {
			t.Errorf("got %v", got)
		}
	})
}

func TestAnEntityHasAtMostAThousandMemories(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		database := url()
		h := open(t, hostOptions{url: database})
		h.create(ada, "aria")
		put := func(i int) string {
			return outcome(h.ask(ada, "PUT", fmt.Sprintf("/entities/aria/memories/k%d", i), `{"value":"v"}`))
		}
		put(0)
		// As if there were 989 more.
		db, err := sqldb.Open(t.Context(), sqldb.Options{URL: database, Migrations: store.Migrations(), Service: store.Service})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Write().ExecContext(t.Context(), "UPDATE entities SET memory_count = memory_count + 989"); err != nil {
			t.Fatal(err)
		}
		got := parallel(40, func(i int) string { return put(1 + i) })
		if got["201"] != 10 || got["409 memory_limit_reached"] != 30 {
			t.Errorf("got %v, want 10 × 201 and 30 × 409", got)
		}
		if got := put(0); got != "200" {
			t.Errorf("replacing at the limit: got %s, want 200", got)
		}
		reply := h.ask(ada, "POST", "/entities/aria/chat", `{"content":"remember more: x"}`).json(t)
		if want := "I cannot remember more: An entity can have at most 1000 memories."; reply["reply"] != want {
			t.Errorf("got %v, want %s", reply["reply"], want)
		}
	})
}
