package store

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// brokerBench is a database with a caller, and with an agent of somebody else.
type brokerBench struct {
	*Store
	caller, owner id.User
	agent         registry.Agent
	at            time.Time
	commits       *atomic.Int64
}

// newStore is a process at a database.
func newStore(t testing.TB, url string, now clock.Now, count func(string)) *Store {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: Migrations(), Service: "wisdom", Now: now, Count: count})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return New(db)
}

func newBrokerBench(t testing.TB, url string) brokerBench {
	t.Helper()
	b := brokerBench{at: time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC), commits: &atomic.Int64{}}
	b.Store = newStore(t, url, nil, func(text string) {
		if strings.EqualFold(text, "commit") {
			b.commits.Add(1)
		}
	})
	b.caller, b.owner = b.user(t), b.user(t)
	b.agent = b.add(t, b.owner)
	return b
}

func (b brokerBench) user(t testing.TB) id.User {
	t.Helper()
	user := id.New[id.User]()
	account := auth.Account{User: auth.User{ID: user, Email: string(user) + "@example.org", Active: true, Plan: auth.Free, Created: b.at, Updated: b.at}, PasswordHash: "x"}
	if err := b.CreateUser(t.Context(), account, account.Email); err != nil {
		t.Fatal(err)
	}
	return user
}

func (b brokerBench) add(t testing.TB, owner id.User) registry.Agent {
	t.Helper()
	agent := id.New[id.Agent]()
	a := registry.Agent{ID: agent, Slug: "agent-" + string(agent[:8]), Owner: owner, Name: "Agent " + string(agent[:8]), Version: "1.0.0", Endpoint: ptr("https://a.example/x"),
		AuthType: registry.AuthPublic, Tags: []string{}, Visibility: registry.Public, Trust: registry.SelfSigned, Active: true, Created: b.at, Updated: b.at, ContentChanged: b.at}
	if err := b.CreateAgent(t.Context(), a, registry.Content{}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (b brokerBench) integration(t testing.TB, user id.User) id.Integration {
	t.Helper()
	integration := id.New[id.Integration]()
	if _, err := b.db.Write().ExecContext(t.Context(), "INSERT INTO integrations (id, user_id, name, created_us, updated_us) VALUES ($1, $2, 'i', 1, 1)", string(integration), string(user)); err != nil {
		t.Fatal(err)
	}
	return integration
}

// opening is one in a new conversation.
func (b brokerBench) opening() broker.Opening {
	return broker.Opening{User: b.caller, Conversation: id.New[id.Conversation](), New: true, Message: id.New[id.Message](), Content: "how is the weather?",
		Metadata: []byte(`{"query":"how is the weather?"}`), At: b.at}
}

// ending is that of o, which reached the agent and went well.
func (b brokerBench) ending(o broker.Opening) broker.Ending {
	return broker.Ending{Message: id.New[id.Message](), Content: "sun", Metadata: []byte(`{"forecast":"sun"}`), Reached: true,
		Log: broker.Log{ID: id.New[id.Invocation](), Kind: broker.KindInvoke, Caller: o.User, Actor: principal.Actor{Type: "user", ID: string(o.User)},
			Agent: b.agent.ID, AgentOwner: b.agent.Owner, Slug: b.agent.Slug, Name: b.agent.Name, Success: true, Status: 200, LatencyMS: 182, Integration: o.Integration,
			Conversation: o.Conversation, Message: o.Message, Request: o.Metadata, Response: []byte(`{"forecast":"sun"}`), RequestID: "r-1", At: o.At}}
}

// engines runs a benchmark on both, with commits that survive a power cut.
func engines(b *testing.B, body func(b *testing.B, url string)) {
	b.Run("sqlite", func(b *testing.B) { body(b, testkit.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { body(b, testkit.DurablePostgres(b)) })
}

// One iteration is what one invocation writes.
func BenchmarkOpenClose(b *testing.B) {
	engines(b, func(b *testing.B, url string) {
		world := newBrokerBench(b, url)
		agents := []registry.Agent{world.agent}
		for range 9 {
			agents = append(agents, world.add(b, world.owner))
		}
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
				var users []id.User
				for range callers {
					users = append(users, world.user(b))
				}
				var left atomic.Int64
				left.Store(int64(b.N))
				before := world.commits.Load()
				b.ResetTimer()
				var group sync.WaitGroup
				for i := range callers {
					group.Go(func() {
						for n := left.Add(-1); n >= 0; n = left.Add(-1) {
							mine := world
							mine.caller, mine.agent, mine.at = users[i], agents[int(n)%len(agents)], world.at.Add(time.Duration(n)*time.Millisecond)
							o := mine.opening()
							if ok, err := mine.Open(b.Context(), o); err != nil || !ok {
								b.Error(ok, err)
							}
							if err := mine.Close(b.Context(), mine.ending(o)); err != nil {
								b.Error(err)
							}
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "invocations/s")
				b.ReportMetric(float64(world.commits.Load()-before)/float64(b.N), "commits/op")
			})
		}
	})
}
