package store

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/conversation"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// node is b as another process sees it.
func (b brokerBench) node(t testing.TB, url string) brokerBench {
	t.Helper()
	b.Store = newStore(t, url, nil, nil)
	return b
}

func (b brokerBench) mustOpen(t testing.TB, o broker.Opening) broker.Opening {
	t.Helper()
	if ok, err := b.Open(t.Context(), o); err != nil || !ok {
		t.Fatalf("open: got %v, %v", ok, err)
	}
	return o
}

func (b brokerBench) mustClose(t testing.TB, e broker.Ending) {
	t.Helper()
	must(t, b.Close(t.Context(), e))
}

// said are the messages of a conversation, oldest first.
func (b brokerBench) said(t testing.TB, user id.User, c id.Conversation) []conversation.Message {
	t.Helper()
	messages, err := b.Messages(t.Context(), user, "", c, 100, 0)
	must(t, err)
	return messages
}

func (b brokerBench) calls(t testing.TB, agent id.Agent) registry.Figures {
	t.Helper()
	figures, err := b.CallFigures(t.Context(), []id.Agent{agent}, registry.HourOf(b.at)-1)
	must(t, err)
	return figures[agent]
}

func TestAnInvocationIsWrittenWhole(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		o := b.opening()
		o.Integration, o.ExternalUser = b.integration(t, b.caller), ptr("customer-17")
		b.mustOpen(t, o)
		e := b.ending(o)
		e.Log.At, e.Context = b.at.Add(time.Second), "ctx-1"
		b.mustClose(t, e)

		c, err := b.Conversation(t.Context(), b.caller, "", o.Conversation)
		want := conversation.Conversation{ID: o.Conversation, User: b.caller, Integration: &o.Integration, ExternalUser: ptr("customer-17"), Created: b.at, Updated: b.at}
		if err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("the conversation is %+v, %v, want %+v", c, err, want)
		}
		wantSaid := []conversation.Message{
			{ID: o.Message, Conversation: o.Conversation, Role: "user", Content: o.Content, Metadata: o.Metadata, Created: b.at},
			{ID: e.Message, Conversation: o.Conversation, Role: "assistant", Content: e.Content, Metadata: e.Metadata, Agent: &b.agent.Slug, Created: e.Log.At},
		}
		if got := b.said(t, b.caller, o.Conversation); !reflect.DeepEqual(got, wantSaid) {
			t.Errorf("the messages are %+v, want %+v", got, wantSaid)
		}
		logs, err := b.Logs(t.Context(), b.caller, broker.LogQuery{Limit: 10})
		if err != nil || !reflect.DeepEqual(logs, []broker.Log{e.Log}) {
			t.Errorf("the log is %+v, %v, want %+v", logs, err, e.Log)
		}
		if got := b.calls(t, b.agent.ID); got != (registry.Figures{Calls: 1, Successes: 1, LatencyMS: 182}) {
			t.Errorf("the figures are %+v", got)
		}
		if called, err := b.Called(t.Context(), b.caller, b.agent.ID); err != nil || !called {
			t.Errorf("the caller may rate: %v, %v", called, err)
		}
		thread, err := b.Thread(t.Context(), b.caller, o.Conversation, o.Message, b.agent.ID)
		if want := (broker.Thread{Integration: o.Integration, ExternalUser: o.ExternalUser, HasMessage: true, Context: "ctx-1"}); err != nil || !reflect.DeepEqual(thread, want) {
			t.Errorf("the thread is %+v, %v, want %+v", thread, err, want)
		}
		e = b.ending(o)
		e.Context = "ctx-2"
		b.mustClose(t, e)
		if thread, err := b.Thread(t.Context(), b.caller, o.Conversation, id.New[id.Message](), b.agent.ID); err != nil || thread.Context != "ctx-2" || thread.HasMessage {
			t.Errorf("later it is %+v, %v", thread, err)
		}
		if thread, err := b.Thread(t.Context(), b.caller, o.Conversation, "", b.owner2(t)); err != nil || thread.Context != "" || thread.HasMessage {
			t.Errorf("with another agent it is %+v, %v", thread, err)
		}
		_, err = b.Thread(t.Context(), b.owner, o.Conversation, o.Message, b.agent.ID)
		wantMissing(t, "somebody else's conversation", err)
		_, err = b.Thread(t.Context(), b.caller, id.New[id.Conversation](), o.Message, b.agent.ID)
		wantMissing(t, "no conversation", err)
	})
}

// owner2 is an agent that nobody called.
func (b brokerBench) owner2(t testing.TB) id.Agent { return b.add(t, b.owner).ID }

func TestAKnownConversationGoesOn(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		first := b.opening()
		integration := b.integration(t, b.caller)
		first.ExternalUser, first.Integration = ptr("one"), integration
		b.mustOpen(t, first)
		for i, tt := range []struct {
			sentence string
			external *string
			message  id.Message
			counted  bool
			want     string
			messages int
		}{
			{"an external user that is not given stays", nil, id.New[id.Message](), false, "one", 2},
			{"one that is given replaces it", ptr("two"), id.New[id.Message](), true, "two", 3},
			{"a message that is stored already is not stored again", nil, "", true, "two", 3},
		} {
			at := b.at.Add(time.Duration(i+1) * time.Hour)
			o := broker.Opening{User: b.caller, Conversation: first.Conversation, ExternalUser: tt.external, Message: tt.message, Content: "more", At: at}
			if tt.counted {
				o.Integration = integration
			}
			b.mustOpen(t, o)
			c, err := b.Conversation(t.Context(), b.caller, "", first.Conversation)
			if err != nil || *c.ExternalUser != tt.want || !c.Updated.Equal(at) || !c.Created.Equal(b.at) || *c.Integration != integration {
				t.Errorf("%s: got %+v, %v", tt.sentence, c, err)
			}
			if got := len(b.said(t, b.caller, first.Conversation)); got != tt.messages {
				t.Errorf("%s: got %d messages, want %d", tt.sentence, got, tt.messages)
			}
		}
		for sentence, o := range map[string]broker.Opening{
			"somebody else's": {User: b.owner, Conversation: first.Conversation, ExternalUser: ptr("x"), Message: id.New[id.Message](), At: b.at.Add(99 * time.Hour)},
			"an unknown one":  {User: b.caller, Conversation: id.New[id.Conversation](), Message: id.New[id.Message](), At: b.at},
			"one that was moved to another integration": {User: b.caller, Integration: b.integration(t, b.caller), Conversation: first.Conversation,
				ExternalUser: ptr("x"), Message: id.New[id.Message](), At: b.at.Add(99 * time.Hour)},
		} {
			if o.Integration != "" {
				_, err := b.Open(t.Context(), o)
				wantMissing(t, sentence, err)
				continue
			}
			for _, i := range []id.Integration{"", integration} {
				if o.Integration = i; i != "" && o.User == b.owner {
					o.Integration = b.integration(t, b.owner)
				}
				_, err := b.Open(t.Context(), o)
				wantMissing(t, sentence, err)
			}
		}
		foreign := b.opening()
		foreign.Integration = b.integration(t, b.owner)
		_, err := b.Open(t.Context(), foreign)
		wantMissing(t, "an integration of somebody else", err)
		b.wantRows(t, map[string]int{"conversations": 1, "conversation_messages": 3, "broker_counts": 1})
		b.wantCount(t, integration, 3, 3)
		if c, err := b.Conversation(t.Context(), b.caller, "", first.Conversation); err != nil || *c.ExternalUser != "two" {
			t.Errorf("a refused one changed it: %+v, %v", c, err)
		}
	})
}

func (b brokerBench) wantCount(t testing.TB, integration id.Integration, day, month int) {
	t.Helper()
	var d, m int
	must(t, b.db.Read().QueryRowContext(t.Context(), "SELECT in_day, in_month FROM broker_counts WHERE integration_id = $1", string(integration)).Scan(&d, &m))
	if d != day || m != month {
		t.Errorf("counted are %d in the day and %d in the month, want %d and %d", d, m, day, month)
	}
}

// Fifty callers on two processes; with both quotas, each of which binds once.
func TestAQuotaOfNAllowsN(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newBrokerBench(t, url)
		nodes := []brokerBench{b, b.node(t, url)}
		for _, tt := range []struct {
			monthly, daily *int64
			want           int64
		}{{ptr[int64](7), ptr[int64](30), 7}, {ptr[int64](30), ptr[int64](9), 9}, {nil, ptr[int64](1), 1}, {ptr[int64](20), nil, 20}, {nil, nil, 100}} {
			integration := b.integration(t, b.caller)
			var allowed atomic.Int64
			parallel(50, func(i int) {
				for range 2 {
					o := b.opening()
					o.Integration, o.Monthly, o.Daily = integration, tt.monthly, tt.daily
					ok, err := nodes[i%2].Open(t.Context(), o)
					if err != nil {
						t.Error(err)
					}
					if ok {
						allowed.Add(1)
					}
					if _, err := b.Conversation(t.Context(), b.caller, "", o.Conversation); ok != (err == nil) {
						t.Errorf("allowed %v, and the conversation: %v", ok, err)
					}
				}
			})
			if got := allowed.Load(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			b.wantCount(t, integration, int(tt.want), int(tt.want))
		}
		b.wantRows(t, map[string]int{"conversations": 137, "conversation_messages": 137})
	})
}

func TestQuotasAreOfCalendarDaysAndMonths(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		integration := b.integration(t, b.caller)
		monthly, daily := ptr[int64](3), ptr[int64](2)
		for _, tt := range []struct {
			at         string
			want       bool
			day, month int
		}{
			{"2026-04-30T00:00:00Z", true, 1, 1},
			{"2026-04-29T23:59:59.999999Z", true, 2, 2}, // a clock that is late counts in the window that has begun
			{"2026-04-30T23:59:59.999999Z", false, 2, 2},
			{"2026-05-01T01:00:00+02:00", false, 2, 2}, // still April in UTC
			{"2026-05-01T00:00:00Z", true, 1, 1},
			{"2026-05-01T12:00:00Z", true, 2, 2},
			{"2026-05-02T00:00:00Z", true, 1, 3},
			{"2026-05-02T00:00:01Z", false, 1, 3},
			{"2026-05-03T00:00:00Z", false, 1, 3}, // the month is full; the row stays as it was
			{"2026-06-01T00:00:00Z", true, 1, 1},
			{"2027-06-01T00:00:00Z", true, 1, 1},
		} {
			o := b.opening()
			o.Integration, o.Monthly, o.Daily = integration, monthly, daily
			var err error
			if o.At, err = time.Parse(time.RFC3339, tt.at); err != nil {
				t.Fatal(err)
			}
			if over, err := b.OverQuota(t.Context(), b.caller, integration, monthly, daily, o.At); err != nil || over == tt.want {
				t.Errorf("%s: over quota %v, %v", tt.at, over, err)
			}
			if ok, err := b.Open(t.Context(), o); err != nil || ok != tt.want {
				t.Errorf("%s: got %v, %v, want %v", tt.at, ok, err, tt.want)
			}
			b.wantCount(t, integration, tt.day, tt.month)
		}
		if over, err := b.OverQuota(t.Context(), b.owner, integration, ptr[int64](1), nil, b.at); err != nil || over {
			t.Errorf("a stranger learns of the counts: %v, %v", over, err)
		}
	})
}

func TestAnOpeningIsTakenBack(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		integration := b.integration(t, b.caller)
		undo := func(o broker.Opening) {
			e := b.ending(o)
			e.Undo, e.Message, e.Reached, e.Log.Conversation, e.Log.Message, e.Log.Refused = &o, "", false, "", "", true
			b.mustClose(t, e)
		}
		o := b.opening()
		o.Integration, o.Daily = integration, ptr[int64](1)
		undo(b.mustOpen(t, o))
		b.wantRows(t, map[string]int{"conversations": 0, "conversation_messages": 0, "invocation_logs": 1, "agent_hours": 0})
		b.wantCount(t, integration, 0, 0)

		o = b.opening() // there is room again
		o.Integration, o.Daily = integration, ptr[int64](1)
		b.mustOpen(t, o)
		more := broker.Opening{User: b.caller, Conversation: o.Conversation, Message: id.New[id.Message](), Content: "more", At: b.at}
		b.mustOpen(t, more)
		undo(o) // something else was said in it
		if got := b.said(t, b.caller, o.Conversation); len(got) != 1 || got[0].ID != more.Message {
			t.Errorf("got %+v, want the other message", got)
		}
		undo(more) // it was there before
		b.wantRows(t, map[string]int{"conversations": 1, "conversation_messages": 0, "invocation_logs": 3})

		for _, tt := range []struct {
			sentence             string
			before, given, since *string
			want                 string
		}{
			{"the external user that was given is that of before", ptr("one"), ptr("two"), nil, "one"},
			{"or none, as before", nil, ptr("two"), nil, "<nil>"},
			{"one that was not given stays", ptr("one"), nil, nil, "one"},
			{"one that somebody else gave since stays", ptr("one"), ptr("two"), ptr("three"), "three"},
		} {
			known := b.opening()
			known.ExternalUser = tt.before
			b.mustOpen(t, known)
			say := func(external *string) broker.Opening {
				thread, err := b.Thread(t.Context(), b.caller, known.Conversation, "", b.agent.ID)
				must(t, err)
				return b.mustOpen(t, broker.Opening{User: b.caller, Conversation: known.Conversation, ExternalUser: external, ExternalUserBefore: thread.ExternalUser,
					Message: id.New[id.Message](), Content: "more", At: b.at})
			}
			said := say(tt.given)
			if tt.since != nil {
				say(tt.since)
			}
			undo(said)
			c, err := b.Conversation(t.Context(), b.caller, "", known.Conversation)
			got := "<nil>"
			if c.ExternalUser != nil {
				got = *c.ExternalUser
			}
			if err != nil || got != tt.want {
				t.Errorf("%s: got %s, %v, want %s", tt.sentence, got, err, tt.want)
			}
		}

		o.Message, o.Conversation, o.At = id.New[id.Message](), id.New[id.Conversation](), b.at
		b.mustOpen(t, o)
		next := b.opening()
		next.Integration, next.At = integration, b.at.AddDate(0, 0, 1)
		b.mustOpen(t, next)
		undo(o) // its day has passed, its month has not
		b.wantCount(t, integration, 1, 1)
		stranger := next
		stranger.User = b.owner
		undo(stranger)
		b.wantCount(t, integration, 1, 1)
		if got := b.said(t, b.caller, next.Conversation); len(got) != 1 {
			t.Errorf("a stranger took a message back")
		}
	})
}

func TestWhatIsGoneIsLeftOutOfAnEnding(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		for _, tt := range []struct {
			sentence                     string
			conversation, agent          bool // deleted
			messages, hours, caller, ctx int
		}{
			{"nothing", false, false, 2, 1, 1, 1},
			{"the conversation", true, false, 0, 1, 1, 0},
			{"the agent", false, true, 2, 0, 0, 0},
			{"both", true, true, 0, 0, 0, 0},
		} {
			b := b
			b.agent, b.caller = b.add(t, b.owner), b.user(t)
			o := b.mustOpen(t, b.opening())
			if tt.conversation {
				must(t, b.DeleteConversation(t.Context(), b.caller, "", o.Conversation))
			}
			if tt.agent {
				must(t, b.DeleteAgent(t.Context(), b.owner, b.agent.ID, b.at))
			}
			e := b.ending(o)
			e.Context = "ctx"
			b.mustClose(t, e)
			for _, c := range []struct {
				text string
				arg  any
				want int
			}{
				{"SELECT COUNT(*) FROM conversation_messages WHERE conversation_id = $1", string(o.Conversation), tt.messages},
				{"SELECT COUNT(*) FROM agent_hours WHERE agent_id = $1", string(b.agent.ID), tt.hours},
				{"SELECT COUNT(*) FROM agent_callers WHERE agent_id = $1", string(b.agent.ID), tt.caller},
				{"SELECT COUNT(*) FROM conversation_contexts WHERE conversation_id = $1", string(o.Conversation), tt.ctx},
				{"SELECT COUNT(*) FROM invocation_logs WHERE id = $1", string(e.Log.ID), 1},
			} {
				var got int
				must(t, b.db.Read().QueryRowContext(t.Context(), c.text, c.arg).Scan(&got))
				if got != c.want {
					t.Errorf("%s is gone: %s: got %d, want %d", tt.sentence, c.text, got, c.want)
				}
			}
			logs, err := b.Logs(t.Context(), b.caller, broker.LogQuery{Limit: 10})
			if err != nil || len(logs) != 1 || (logs[0].Conversation == "") != tt.conversation || (logs[0].Message == "") != tt.conversation || (logs[0].Agent == "") != tt.agent ||
				(logs[0].Slug == "") != tt.agent || (logs[0].Name == "") != tt.agent {
				t.Errorf("%s is gone: the log is %+v, %v", tt.sentence, logs, err)
			}
		}
	})
}

// The clock of the node that asked is ahead of that of the node that answers.
func TestAnAnswerIsLaterThanItsQuestion(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		for _, behind := range []time.Duration{0, time.Microsecond, time.Hour, -time.Microsecond} {
			for range 5 { // ids, which come second, are random
				o := b.mustOpen(t, b.opening())
				e := b.ending(o)
				e.Log.At = b.at.Add(-behind)
				b.mustClose(t, e)
				if got := b.said(t, b.caller, o.Conversation); len(got) != 2 || got[0].Role != "user" || !got[1].Created.Equal(b.at.Add(time.Microsecond)) {
					t.Errorf("%v behind: got %+v", behind, got)
				}
			}
		}
		o := b.opening()
		o.Message = ""
		b.mustOpen(t, o)
		e := b.ending(o)
		b.mustClose(t, e)
		if got := b.said(t, b.caller, o.Conversation); len(got) != 1 || !got[0].Created.Equal(b.at) {
			t.Errorf("without a question: got %+v", got)
		}
	})
}

// Callers, an owner who deletes agents, and users who delete conversations, on two
// processes: whatever has returned is there, nothing is lost and nothing fails.
func TestInvocationsOfManyShareCommitsAndAreAllThere(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		const callers, rounds = 50, 4
		url := open()
		b := newBrokerBench(t, url)
		nodes := []brokerBench{b, b.node(t, url)}
		kept, going := b.agent, make([]registry.Agent, callers)
		for i := range going {
			going[i] = b.add(t, b.owner)
		}
		busy := b.integration(t, b.caller)
		b.commits.Store(0)
		var deleted atomic.Int64
		parallel(callers, func(i int) {
			for round := range rounds {
				mine, other := nodes[(i+round)%2], nodes[(i+round+1)%2]
				if mine.agent = kept; round == 1 {
					mine.agent = going[i]
				}
				o := b.opening()
				o.Integration = busy
				mine.mustOpen(t, o)
				if len(other.said(t, b.caller, o.Conversation)) != 1 {
					t.Error("an opening is not there when its caller is told")
				}
				var group sync.WaitGroup
				if round == 1 {
					group.Go(func() { must(t, other.DeleteAgent(t.Context(), b.owner, going[i].ID, b.at)) })
				}
				if round == 2 {
					deleted.Add(1)
					group.Go(func() { must(t, other.DeleteConversation(t.Context(), b.caller, "", o.Conversation)) })
				}
				mine.mustClose(t, mine.ending(o))
				group.Wait()
			}
		})
		left := callers*rounds - int(deleted.Load())
		b.wantRows(t, map[string]int{"invocation_logs": callers * rounds, "conversations": left, "conversation_messages": 2 * left, "agent_hours": 1})
		if got := b.calls(t, kept.ID); got.Calls != callers*(rounds-1) {
			t.Errorf("got %d calls, want %d", got.Calls, callers*(rounds-1))
		}
		b.wantCount(t, busy, callers*rounds, callers*rounds)
		if n := b.commits.Load(); n >= callers*rounds { // of one node: half of the calls are its own, two writes each
			t.Errorf("%d commits: callers do not share", n)
		}
	})
}

func TestAnEndingIsWrittenHoweverMuchIsWaiting(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		o := b.mustOpen(t, b.opening())
		b.invocations = sqldb.NewBatch(writesPerBatch, 0, batchesAbreast, b.writeInvocations) // nothing may wait
		b.mustClose(t, b.ending(o))
		wantOverloaded := func(what string, err error) {
			t.Helper()
			if f := fault.As(err); f == nil || f.Code != "overloaded" {
				t.Errorf("%s: got %v, want overloaded", what, err)
			}
		}
		_, err := b.Open(t.Context(), b.opening())
		wantOverloaded("an opening", err)
		e := b.ending(o)
		e.Log.Refused = true
		wantOverloaded("a refusal, for which nothing was opened", b.Close(t.Context(), e))
		e.Undo = &o
		b.mustClose(t, e)
	})
}

// Two processes that speak in the same conversations, count for the same integrations and
// take back what they wrote wait for each other, never in a circle.
func TestTwoProcessesDoNotDeadlock(t *testing.T) {
	const callers, rounds = 24, 20
	url := testkit.Postgres(t)
	b := newBrokerBench(t, url)
	nodes := []brokerBench{b, b.node(t, url)}
	var integrations []id.Integration
	var known []broker.Opening
	for range 3 {
		integrations = append(integrations, b.integration(t, b.caller))
	}
	for i := range 6 {
		o := b.opening()
		o.Integration = integrations[i%3]
		known = append(known, b.mustOpen(t, o))
	}
	parallel(callers, func(i int) {
		mine := nodes[i%2]
		for round := range rounds {
			o := mine.opening()
			o.Integration = integrations[(i+round)%3]
			if round%3 != 0 {
				o.New, o.ExternalUser, o.Conversation = false, ptr("x"), known[(i+round)%3+3*(round/3%2)].Conversation
			}
			mine.mustOpen(t, o)
			e := mine.ending(o)
			e.Context = "ctx"
			if (i+round)%4 == 0 {
				e.Undo, e.Message, e.Context, e.Reached, e.Log.Conversation, e.Log.Message, e.Log.Refused = &o, "", "", false, "", "", true
			}
			mine.mustClose(t, e)
		}
	})
	var deadlocks int
	must(t, b.db.Read().QueryRowContext(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks))
	if deadlocks != 0 {
		t.Errorf("got %d deadlocks: each stops a process for a second", deadlocks)
	}
	b.wantRows(t, map[string]int{"invocation_logs": callers * rounds})
}

func TestLimitsAreThoseOfTheUsersIntegration(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		url := open()
		b := newBrokerBench(t, url)
		clock := testkit.NewClock(b.at)
		var reads atomic.Int64
		b.Store = newStore(t, url, clock.Now, func(string) { reads.Add(1) })
		integration, agent := b.integration(t, b.caller), id.New[id.Agent]()
		set := func(monthly int) {
			_, err := b.db.Write().ExecContext(t.Context(), `INSERT INTO broker_configs (integration_id, user_id, monthly_quota, max_retries, backoff_s, timeout_s, allowed_agents)
				VALUES ($1, $2, $3, 3, 0.5, 12.5, $4) ON CONFLICT (integration_id) DO UPDATE SET monthly_quota = excluded.monthly_quota`,
				string(integration), string(b.caller), monthly, fmt.Sprintf("[%q]", agent))
			must(t, err)
		}
		get := func(user id.User, want broker.Limits) {
			t.Helper()
			if got, err := b.Limits(t.Context(), user, integration); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
		want := broker.Limits{Monthly: ptr[int64](10), MaxRetries: 3, Backoff: 500 * time.Millisecond, Timeout: 12500 * time.Millisecond, Allowed: []id.Agent{agent}}
		get(b.caller, broker.Limits{})
		set(10)
		get(b.caller, broker.Limits{}) // of another process: within a second
		clock.Add(900 * time.Millisecond)
		get(b.caller, want)
		get(b.owner, broker.Limits{})
		reads.Store(0)
		for range 20 {
			get(b.caller, want)
			if got, err := b.Limits(t.Context(), b.caller, ""); err != nil || !reflect.DeepEqual(got, broker.Limits{}) {
				t.Errorf("without integration: got %+v, %v", got, err)
			}
			if over, err := b.OverQuota(t.Context(), b.caller, integration, nil, nil, b.at); err != nil || over {
				t.Errorf("without quota: got %v, %v", over, err)
			}
		}
		if n := reads.Load(); n != 0 {
			t.Errorf("%d statements for what is known", n)
		}
	})
}

// A caller who has left does not leave half an invocation behind.
func TestOneWhoLeavesHasOpenedAllOrNothing(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		integration := b.integration(t, b.caller)
		parallel(40, func(i int) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
			defer cancel()
			o := b.opening()
			o.Integration = integration
			if _, err := b.Open(ctx, o); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
		b.mustOpen(t, b.opening()) // whatever was on its way is done before
		var conversations, messages, counted int
		must(t, b.db.Read().QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM conversations), (SELECT COUNT(*) FROM conversation_messages), "+
			"COALESCE((SELECT in_day FROM broker_counts), 0)").Scan(&conversations, &messages, &counted))
		if conversations != messages || counted != conversations-1 {
			t.Errorf("got %d conversations, %d messages, %d counted", conversations, messages, counted)
		}
	})
}

// Openings that cannot be, in one batch with others.
func TestOneThatFailsDoesNotFailItsBatch(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		b := newBrokerBench(t, open())
		taken := b.mustOpen(t, b.opening())
		var conflicts, missing atomic.Int64
		parallel(60, func(i int) {
			o := b.opening()
			switch {
			case i%10 == 0:
				o.Conversation = taken.Conversation
			case i%10 == 5:
				o.User = id.New[id.User]() // refers to nobody
			}
			ok, err := b.Open(t.Context(), o)
			switch {
			case fault.Is(err, fault.Conflict):
				conflicts.Add(1)
			case fault.Is(err, fault.NotFound):
				missing.Add(1)
			case err != nil || !ok:
				t.Errorf("%d: %v, %v", i, ok, err)
			}
		})
		if c, m := conflicts.Load(), missing.Load(); c != 6 || m != 6 {
			t.Errorf("got %d conflicts and %d missing, want 6 and 6", c, m)
		}
		b.wantRows(t, map[string]int{"conversations": 49, "conversation_messages": 49})
	})
}
