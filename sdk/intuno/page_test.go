package intuno

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/IntunoAI/intuno-go/api"
)

// listing answers lists of n items by limit and offset, and fails from item broken on.
func listing(n, broken int, asked *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Query().Encode())
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		if offset >= broken {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"code":"bad_request","detail":"No"}`)
			return
		}
		list := []api.Agent{}
		for i := offset; i < min(offset+limit, n); i++ {
			list = append(list, api.Agent{ID: strconv.Itoa(i)})
		}
		_ = json.NewEncoder(w).Encode(list)
	}
}

func TestAnIteratorWalksEveryPage(t *testing.T) {
	for _, test := range []struct {
		n, broken, stop int
		page            Page
		want, asked     int
		fails           bool
	}{
		{n: 0, broken: 99, want: 0, asked: 1},
		{n: 7, broken: 99, page: Page{Limit: 3}, want: 7, asked: 3},
		{n: 6, broken: 99, page: Page{Limit: 3}, want: 6, asked: 3},
		{n: 7, broken: 99, page: Page{Limit: 3, Offset: 2}, want: 5, asked: 2},
		{n: 250, broken: 999, want: 250, asked: 3},
		{n: 7, broken: 3, page: Page{Limit: 3}, want: 3, asked: 2, fails: true},
		{n: 7, broken: 99, stop: 4, page: Page{Limit: 3}, want: 4, asked: 2},
	} {
		var asked []string
		c := serve(t, listing(test.n, test.broken, &asked))
		all := c.AllAgents(t.Context(), AgentQuery{Search: "x", Page: test.page})
		for range 2 { // an iterator can be used again
			asked = nil
			var got []string
			var failed error
			for a, err := range all {
				if err != nil {
					failed = err
					continue
				}
				if got = append(got, a.ID); len(got) == test.stop {
					break
				}
			}
			if len(got) != test.want || len(asked) != test.asked || (failed != nil) != test.fails {
				t.Errorf("%+v: got %d with %v (%v)", test, len(got), asked, failed)
			}
			if len(got) > 0 && (got[0] != strconv.Itoa(test.page.Offset) || !slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) })) {
				t.Errorf("%+v: got %v", test, got)
			}
		}
	}
}

// TestHistoryIsWalkedBackwards: pages of the host may be shorter than asked for, and only
// an empty one is the end.
func TestHistoryIsWalkedBackwards(t *testing.T) {
	asked := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		before := 10
		if text := r.URL.Query().Get("before"); text != "" {
			before, _ = strconv.Atoi(text)
		}
		page := []api.ChatMessage{}
		for i := max(before-3, 1); i < before; i++ { // 3 although more were asked for
			page = append(page, api.ChatMessage{ID: strconv.Itoa(i)})
		}
		if r.URL.Query().Get("limit") != "200" {
			t.Errorf("asked %s", r.URL)
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	var got string
	for m, err := range c.AllChatMessages(t.Context(), "aria", ChatQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		got += m.ID
	}
	if got != "987654321" || asked != 4 {
		t.Errorf("got %s with %d requests", got, asked)
	}
	got = ""
	for m := range c.AllChatMessages(t.Context(), "aria", ChatQuery{Before: "5"}) {
		if got += m.ID; len(got) == 2 {
			break
		}
	}
	if got != "43" {
		t.Errorf("before 5: %s", got)
	}
}

func TestMemoriesAreWalkedByKey(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys := []string{"a", "b", "c", "d", "e"}
		page := []api.Memory{}
		for _, key := range keys {
			if key > r.URL.Query().Get("after") && len(page) < 2 {
				page = append(page, api.Memory{Key: key})
			}
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	var got string
	for m, err := range c.AllMemories(t.Context(), "aria", MemoryQuery{After: "a"}) {
		if err != nil {
			t.Fatal(err)
		}
		got += m.Key
	}
	if got != "bcde" {
		t.Errorf("got %s", got)
	}
	stuck := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `[{"key":"x"}]`) })
	n := 0
	for range stuck.AllMemories(t.Context(), "aria", MemoryQuery{}) {
		n++
	}
	if n != 2 {
		t.Errorf("a server that does not go on was asked %d times", n)
	}
}
