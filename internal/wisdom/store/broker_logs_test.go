package store

import (
	"cmp"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// shown is what viewer sees of a row as it was written.
func shown(l broker.Log, viewer id.User, agents map[id.Agent]registry.Agent, gone map[id.Agent]bool) (broker.Log, bool) {
	a := agents[l.Agent]
	if l.Caller != viewer {
		if a.Owner != viewer || gone[l.Agent] {
			return l, false
		}
		l.Caller, l.Actor, l.Integration, l.Conversation, l.Message, l.Request, l.Response = "", principal.Actor{}, "", "", "", nil, nil
	}
	if gone[l.Agent] || a.Visibility == registry.Private && a.Owner != viewer {
		l.Agent, l.Slug, l.Name = "", "", ""
	}
	return l, true
}

func TestLogsAreOfWhoCalledAndOfWhoOwns(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		users := []id.User{b.caller, b.owner, b.user(t)}
		agents, gone := map[id.Agent]registry.Agent{}, map[id.Agent]bool{}
		var list []registry.Agent
		for i := range 6 {
			a := b.add(t, users[i%3])
			agents[a.ID] = a
			list = append(list, a)
		}
		codes := []broker.Code{"", broker.AgentTimeout, broker.AgentError, broker.QuotaExceeded}
		statuses := []int{200, 408, 500, 429, 504}
		var all []broker.Log
		var conversations []id.Conversation
		for i := range 80 {
			w := b
			w.caller, w.agent, w.at = users[rand.N(3)], list[rand.N(len(list))], b.at.Add(time.Duration(rand.N(6))*time.Hour)
			o := w.mustOpen(t, w.opening())
			e := w.ending(o)
			e.Log.Kind = []string{broker.KindInvoke, broker.KindStream, broker.KindNetwork}[i%3]
			e.Log.Code, e.Log.Status = codes[i%4], statuses[rand.N(5)]
			e.Log.Success, e.Log.Refused = i%4 == 0, i%4 == 3
			w.mustClose(t, e)
			all, conversations = append(all, e.Log), append(conversations, o.Conversation)
		}
		must(t, b.DeleteAgent(t.Context(), list[0].Owner, list[0].ID, b.at))
		gone[list[0].ID] = true
		if _, err := b.UpdateAgent(t.Context(), list[1].Owner, list[1].ID, func(a registry.Agent) (registry.Agent, *registry.Content) {
			a.Visibility, a.Name = registry.Private, "secret"
			agents[a.ID] = a
			return a, nil
		}); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(all, func(x, y broker.Log) int { return cmp.Or(y.At.Compare(x.At), cmp.Compare(y.ID, x.ID)) })
		for range 150 {
			viewer := users[rand.N(3)]
			q := broker.LogQuery{Limit: 1 + rand.N(30), Offset: rand.N(20), Mine: rand.N(3) == 0, Status: []string{"", "success", "error", "timeout"}[rand.N(4)]}
			if rand.N(3) == 0 {
				q.Agent = list[rand.N(len(list))].ID
			}
			if rand.N(4) == 0 {
				q.Conversation = conversations[rand.N(len(conversations))]
			}
			if rand.N(2) == 0 {
				q.From, q.To = b.at.Add(time.Duration(rand.N(3))*time.Hour), b.at.Add(time.Duration(3+rand.N(3))*time.Hour)
			}
			want := []broker.Log{}
			for _, l := range all {
				status := "error"
				switch {
				case l.Success:
					status = "success"
				case l.Status == 408 || l.Status == 504:
					status = "timeout"
				}
				mine := l.Caller == viewer
				if seen, ok := shown(named2(l, agents), viewer, agents, gone); ok && (mine || !q.Mine && q.Conversation == "") && (q.Status == "" || q.Status == status) &&
					(q.Agent == "" || q.Agent == l.Agent) && (q.Conversation == "" || q.Conversation == l.Conversation) &&
					(q.From.IsZero() || !l.At.Before(q.From) && !l.At.After(q.To)) {
					want = append(want, seen)
				}
			}
			want = want[min(q.Offset, len(want)):]
			want = want[:min(q.Limit, len(want))]
			if got, err := b.Logs(t.Context(), viewer, q); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v: got %d rows, %v, want %d\n%+v\n%+v", q, len(got), err, len(want), got, want)
			}
		}
	})
}

// named2 is l with what its agent is called now.
func named2(l broker.Log, agents map[id.Agent]registry.Agent) broker.Log {
	l.Slug, l.Name = agents[l.Agent].Slug, agents[l.Agent].Name
	return l
}

// What others called, whatever its size, costs a reader nothing.
func TestLogsAreReadAlongTheirIndexes(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		others := []id.User{b.user(t), b.user(t)}
		var rows [][]any
		talked := id.New[id.Conversation]()
		for n := range 6000 {
			caller, owner, c := others[n%2], others[(n+1)%2], id.New[id.Conversation]()
			switch n % 500 {
			case 0:
				caller = b.caller
			case 1:
				owner = b.caller
			case 2:
				caller, c = b.caller, talked
			}
			rows = append(rows, []any{string(id.New[id.Invocation]()), "invoke", string(caller), "user", string(caller), string(b.agent.ID), string(owner), true, false, 200, 1, "",
				nil, string(c), nil, nil, nil, "r", int64(n)})
		}
		must(t, insertRows(t.Context(), b.db.Write(), insertLogs, logRow, "", rows))
		for _, analysed := range []bool{false, true} {
			if analysed {
				_, err := b.db.Write().ExecContext(t.Context(), "ANALYZE")
				must(t, err)
			}
			for _, tt := range []struct {
				q       broker.LogQuery
				indexes []string
			}{
				{broker.LogQuery{Limit: 50}, []string{"invocation_logs_by_caller", "invocation_logs_by_owner"}},
				{broker.LogQuery{Limit: 50, Offset: 100, Status: "error", Agent: b.agent.ID}, []string{"invocation_logs_by_caller", "invocation_logs_by_owner"}},
				{broker.LogQuery{Limit: 50, Mine: true}, []string{"invocation_logs_by_caller"}},
				{broker.LogQuery{Limit: 50, Conversation: talked}, []string{"invocation_logs_by_conversation"}},
			} {
				text, args := logsQuery(b.caller, tt.q)
				plan := explain(t, b.Store, text, args)
				for _, index := range tt.indexes {
					if tt.q.Conversation == "" && !b.db.Dialect().Shared() {
						index = "COVERING INDEX " + index // rows, which may be large, are read of the page only
					}
					if !strings.Contains(plan, index) {
						t.Errorf("analysed %v, %+v: not along %s:\n%s", analysed, tt.q, index, plan)
					}
				}
				if strings.Contains(plan, "SCAN invocation_logs") || strings.Contains(plan, "Seq Scan on invocation_logs") {
					t.Errorf("analysed %v, %+v: everything is read:\n%s", analysed, tt.q, plan)
				}
			}
		}
		for q, want := range map[string]int{"all": 24, "mine": 24, "talked": 12} {
			got, err := b.Logs(t.Context(), b.caller, broker.LogQuery{Limit: 100, Mine: q == "mine", Conversation: map[string]id.Conversation{"talked": talked}[q]})
			// The agent of the others' calls is not the viewer's any more.
			if err != nil || len(got) != want {
				t.Errorf("%s: got %d, %v, want %d", q, len(got), err, want)
			}
		}
	})
}
