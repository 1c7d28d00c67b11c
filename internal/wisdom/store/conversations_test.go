package store

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

func made(a registry.Agent) []registry.Made { return []registry.Made{{Agent: a}} }

// talk opens a conversation of user and ends the call in it.
func (b brokerBench) talk(t testing.TB, user id.User, i id.Integration, external *string, at time.Time) id.Conversation {
	t.Helper()
	o := b.opening()
	o.User, o.Integration, o.ExternalUser, o.At = user, i, external, at
	if ok, err := b.Open(t.Context(), o); err != nil || !ok {
		t.Fatalf("open: %v, %v", ok, err)
	}
	must(t, b.Close(t.Context(), b.ending(o)))
	return o.Conversation
}

func TestConversationsAreListedNewestFirstByTheirFilters(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		one, two := b.integration(t, b.caller), b.integration(t, b.caller)
		type talk struct {
			id          id.Conversation
			integration id.Integration
			external    string
			at          time.Time
		}
		var all []talk
		for n := range 24 {
			k := talk{integration: []id.Integration{"", one, two}[n%3], external: []string{"none", "x", "y", ""}[n%4], at: b.at.Add(time.Duration(n/2) * time.Second)}
			external := &k.external
			if k.external == "none" {
				external = nil
			}
			k.id = b.talk(t, b.caller, k.integration, external, k.at)
			all = append(all, k)
		}
		b.talk(t, b.owner, "", nil, b.at)
		slices.SortFunc(all, func(x, y talk) int {
			if c := y.at.Compare(x.at); c != 0 {
				return c
			}
			return -compare(x.id, y.id)
		})
		for _, within := range []id.Integration{"", one} {
			for _, q := range []conversation.Query{
				{}, {Integration: one}, {Integration: two}, {Integration: id.New[id.Integration]()}, {ExternalUser: ptr("x")}, {ExternalUser: ptr("")},
				{ExternalUser: ptr("nobody")}, {Integration: one, ExternalUser: ptr("y")},
			} {
				for _, page := range [][2]int{{1000, 0}, {2, 0}, {2, 2}, {5, 100}} {
					q.Limit, q.Offset = page[0], page[1]
					var want []id.Conversation
					for _, k := range all {
						if (within == "" || k.integration == within) && (q.Integration == "" || k.integration == q.Integration) &&
							(q.ExternalUser == nil || k.external == *q.ExternalUser) {
							want = append(want, k.id)
						}
					}
					want = want[min(q.Offset, len(want)):]
					want = want[:min(q.Limit, len(want))]
					found, err := b.Conversations(ctx, b.caller, within, q)
					var got []id.Conversation
					for _, c := range found {
						got = append(got, c.ID)
					}
					if err != nil || !slices.Equal(got, want) {
						t.Errorf("within %q, %+v: got %d, %v, want %d", within, q, len(got), err, len(want))
					}
				}
			}
		}
	})
}

// Lists and pages are read along an index, whatever is filtered.
func TestConversationsAreReadAlongTheirIndexes(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		one := b.integration(t, b.caller)
		var rows [][]any
		for n := range 4000 {
			var external any
			if n%100 == 0 {
				external = "x"
			}
			var i any
			if n%50 == 0 {
				i = string(one)
			}
			rows = append(rows, []any{string(id.New[id.Conversation]()), string(b.caller), i, external, int64(n), int64(n)})
		}
		must(t, b.db.Tx(t.Context(), func(tx *sql.Tx) error {
			return insertRows(t.Context(), tx, insertConversations, conversationRow, "", rows)
		}))
		_, err := b.db.Write().ExecContext(t.Context(), "ANALYZE")
		must(t, err)
		for _, tt := range []struct {
			within id.Integration
			q      conversation.Query
			index  string
		}{
			{"", conversation.Query{}, "conversations_by_user"}, {one, conversation.Query{}, "conversations_by_integration"},
			{"", conversation.Query{Integration: one}, "conversations_by_integration"}, {"", conversation.Query{ExternalUser: ptr("x")}, "conversations_by_external"},
			{one, conversation.Query{ExternalUser: ptr("x")}, "conversations_by_external"},
		} {
			tt.q.Limit = 20
			text, args := conversationsQuery(b.caller, tt.within, tt.q)
			plan := explain(t, b.Store, text, args)
			if !strings.Contains(plan, tt.index) || strings.Contains(plan, "Sort") && !strings.Contains(plan, "Bitmap") || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("%+v is not read along %s:\n%s", tt, tt.index, plan)
			}
		}
	})
}

func TestAConversationIsSeenByItsUserAndWithinItsIntegrationOnly(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		one, two := b.integration(t, b.caller), b.integration(t, b.caller)
		c := b.talk(t, b.caller, one, ptr("x"), b.at)
		plain := b.talk(t, b.caller, "", nil, b.at)
		messages, err := b.Messages(ctx, b.caller, one, c, 10, 0)
		if err != nil || len(messages) != 2 {
			t.Fatalf("got %+v, %v, want two messages", messages, err)
		}
		want := []conversation.Message{
			{ID: messages[0].ID, Conversation: c, Role: "user", Content: "how is the weather?", Metadata: []byte(`{"query":"how is the weather?"}`), Created: b.at},
			{ID: messages[1].ID, Conversation: c, Role: "assistant", Content: "sun", Metadata: []byte(`{"forecast":"sun"}`), Agent: &b.agent.Slug, Created: messages[1].Created},
		}
		if !reflect.DeepEqual(messages, want) {
			t.Errorf("got %+v, want %+v", messages, want)
		}
		for n, m := range want {
			if got, err := b.Message(ctx, b.caller, "", c, m.ID); err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("got %+v, %v, want %+v", got, err, m)
			}
			if got, err := b.Messages(ctx, b.caller, "", c, 1, n); err != nil || len(got) != 1 || got[0].ID != m.ID {
				t.Errorf("page %d: got %+v, %v", n, got, err)
			}
		}
		whole := conversation.Conversation{ID: c, User: b.caller, Integration: &one, ExternalUser: ptr("x"), Created: b.at}
		got, err := b.Conversation(ctx, b.caller, one, c)
		whole.Updated = got.Updated
		if err != nil || !reflect.DeepEqual(got, whole) {
			t.Errorf("got %+v, %v, want %+v", got, err, whole)
		}

		for _, stranger := range []struct {
			sentence string
			user     id.User
			within   id.Integration
			c        id.Conversation
		}{
			{"somebody else", b.owner, "", c}, {"another integration", b.caller, two, c}, {"a conversation of no integration", b.caller, one, plain},
			{"an unknown one", b.caller, "", id.New[id.Conversation]()},
		} {
			_, err := b.Conversation(ctx, stranger.user, stranger.within, stranger.c)
			wantMissing(t, stranger.sentence+" reads", err)
			_, err = b.PatchConversation(ctx, stranger.user, stranger.within, stranger.c, conversation.Patch{Title: ptr("theirs")}, b.at)
			wantMissing(t, stranger.sentence+" patches", err)
			_, err = b.PatchConversation(ctx, stranger.user, stranger.within, stranger.c, conversation.Patch{Integration: &two}, b.at)
			wantMissing(t, stranger.sentence+" moves", err)
			wantMissing(t, stranger.sentence+" deletes", b.DeleteConversation(ctx, stranger.user, stranger.within, stranger.c))
			_, err = b.Messages(ctx, stranger.user, stranger.within, stranger.c, 10, 0)
			wantMissing(t, stranger.sentence+" lists messages", err)
			_, err = b.Message(ctx, stranger.user, stranger.within, stranger.c, want[0].ID)
			wantMissing(t, stranger.sentence+" reads a message", err)
			wantMissing(t, stranger.sentence+" deletes a message", b.DeleteMessage(ctx, stranger.user, stranger.within, stranger.c, want[0].ID))
		}
		wantMissing(t, "a message of another conversation", b.DeleteMessage(ctx, b.caller, "", plain, want[0].ID))
		_, err = b.Message(ctx, b.caller, "", plain, want[0].ID)
		wantMissing(t, "a message of another conversation", err)

		must(t, b.DeleteMessage(ctx, b.caller, one, c, want[0].ID))
		wantMissing(t, "once more", b.DeleteMessage(ctx, b.caller, one, c, want[0].ID))
		must(t, b.DeleteConversation(ctx, b.caller, one, c))
		wantMissing(t, "once more", b.DeleteConversation(ctx, b.caller, one, c))
		b.wantRows(t, map[string]int{"conversations": 1, "conversation_messages": 2, "invocation_logs": 2})
	})
}

func TestAConversationIsNamedAndGivenToOwnIntegrations(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		one, theirs := b.integration(t, b.caller), b.integration(t, b.owner)
		c := b.talk(t, b.caller, "", ptr("x"), b.at)
		later := b.at.Add(time.Hour)
		for _, foreign := range []id.Integration{theirs, id.New[id.Integration]()} {
			_, err := b.PatchConversation(ctx, b.caller, "", c, conversation.Patch{Title: ptr("t"), Integration: &foreign}, later)
			wantMissing(t, "an integration that is not mine", err)
		}
		before, err := b.Conversation(ctx, b.caller, "", c)
		if err != nil || before.Title != nil || before.Integration != nil || before.Updated.Equal(later) {
			t.Errorf("a refused patch left %+v, %v", before, err)
		}
		want := before
		for _, p := range []conversation.Patch{{Title: ptr("Ü")}, {Integration: &one}, {Title: ptr("both"), Integration: &one}} {
			later = later.Add(time.Hour)
			want.Updated = later
			if p.Title != nil {
				want.Title = p.Title
			}
			if p.Integration != nil {
				want.Integration = p.Integration
			}
			got, err := b.PatchConversation(ctx, b.caller, "", c, p, later)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
		if got, err := b.Conversation(ctx, b.caller, one, c); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("within its integration: got %+v, %v, want %+v", got, err, want)
		}
	})
}

// 50 patches at once are all told of their own title, and one of them stays.
func TestParallelPatchesWaitForEachOther(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		c := b.talk(t, b.caller, b.integration(t, b.caller), nil, b.at)
		const patches = 50
		errs := make([]error, patches)
		var group sync.WaitGroup
		for n := range patches {
			group.Go(func() {
				title := fmt.Sprint("title ", n)
				got, err := b.PatchConversation(ctx, b.caller, "", c, conversation.Patch{Title: &title}, b.at)
				if err == nil && *got.Title != title {
					err = fmt.Errorf("patch %d was answered with %q", n, *got.Title)
				}
				errs[n] = err
			})
		}
		group.Wait()
		must(t, errors.Join(errs...))
		if got, err := b.Conversation(ctx, b.caller, "", c); err != nil || !strings.HasPrefix(*got.Title, "title ") {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// Patches into an integration and its deletion end with both or neither, never with a
// fault of the database.
func TestPatchesIntoAnIntegrationThatGoes(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b, ctx := newBrokerBench(t, open()), t.Context()
		for range 10 {
			i := b.integration(t, b.caller)
			var list []id.Conversation
			for range 4 {
				list = append(list, b.talk(t, b.caller, "", nil, b.at))
			}
			moved := make([]error, len(list))
			var group sync.WaitGroup
			for n, c := range list {
				group.Go(func() {
					_, moved[n] = b.PatchConversation(ctx, b.caller, "", c, conversation.Patch{Integration: &i}, b.at)
				})
			}
			group.Go(func() {
				if err := b.DeleteIntegration(ctx, b.caller, i); err != nil {
					t.Error(err)
				}
			})
			group.Wait()
			for n, c := range list {
				_, err := b.Conversation(ctx, b.caller, "", c)
				if moved[n] == nil {
					wantMissing(t, "a conversation that was moved in time", err)
				} else {
					wantMissing(t, "a patch that came late", moved[n])
					must(t, err)
				}
			}
		}
	})
}
