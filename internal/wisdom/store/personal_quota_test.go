package store_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

func personalNode(t *testing.T, s personal.Store, host personal.Host, settle time.Duration) *personal.Service {
	t.Helper()
	limits := personal.Limits{Entities: 1, PerMinute: 1000, PerMonth: 1000}
	node, err := personal.New(personal.Config{Free: limits, Pro: limits, Settle: settle, Store: s, Host: host, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func body(name string) []byte { return []byte(`{"name":"` + name + `"}`) }

func asUser(user id.User) principal.Principal {
	return principal.Principal{User: user, Via: principal.JWT}
}

// Done-when 5 of the foundation: 50 concurrent creates with cap 1, 100 rounds, a host
// that takes 50 ms, two nodes on one PostgreSQL and one on SQLite.
func TestOneOfFiftyConcurrentCreatesWins(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		stores := twoNodes(t, open())
		host := newEntityHost(50*time.Millisecond, 1)
		nodes := [2]*personal.Service{personalNode(t, stores[0], host, 0), personalNode(t, stores[1], host, 0)}
		const rounds, together = 100, 10
		var round atomic.Int64
		var workers sync.WaitGroup
		for range together {
			workers.Go(func() {
				for round.Add(1) <= rounds && !t.Failed() {
					quotaRound(t, nodes, addUser(t, stores[0]).ID)
				}
			})
		}
		workers.Wait()
		if len(host.broken) > 0 {
			t.Errorf("over the cap: %v", host.broken)
		}
	})
}

func quotaRound(t *testing.T, nodes [2]*personal.Service, user id.User) {
	ctx, p := t.Context(), asUser(user)
	var won atomic.Value
	var wins, over atomic.Int64
	errs := parallel(50, func(i int) error {
		name := fmt.Sprintf("e%d", i%40) // some ask for the same name
		_, err := nodes[i%2].Create(ctx, p, body(name), "")
		switch {
		case err == nil:
			wins.Add(1)
			won.Store(name)
			return nil
		case fault.HasCode(err, "entity_quota_exceeded"):
			over.Add(1)
			return nil
		}
		return err
	})
	if err := errors.Join(errs...); err != nil || wins.Load() != 1 || over.Load() != 49 {
		t.Errorf("got %d created and %d over the quota, %v, want 1 and 49", wins.Load(), over.Load(), err)
		return
	}
	usage, err := nodes[1].Usage(ctx, p)
	if err != nil || usage.Entities != 1 {
		t.Errorf("got usage %+v, %v, want one entity", usage, err)
	}
	if err := nodes[1].Delete(ctx, p, won.Load().(string)); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := nodes[0].Create(ctx, p, body("next"), ""); err != nil {
		t.Errorf("create after the delete: %v", err)
	}
}

// stuckHost tells that a create arrived and never answers.
type stuckHost struct{ entityHost }

// Do implements personal.Host.
func (*stuckHost) Do(ctx context.Context, _ personal.Call) (personal.Answer, error) {
	fmt.Fprintln(os.Stdout, "sent")
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
	}
	return personal.Answer{}, errors.New("not killed")
}

const crashSettle = 600 * time.Millisecond

// TestCrashingNode is the process that TestAKilledNodeLeavesASlotThatSettles kills; by
// itself it does nothing.
func TestCrashingNode(t *testing.T) {
	if flag.NArg() != 2 {
		return
	}
	s, _ := authStore(t, flag.Arg(0))
	_, err := personalNode(t, s, &stuckHost{}, crashSettle).Create(t.Context(), asUser(id.User(flag.Arg(1))), body("aria"), "once")
	t.Errorf("still alive: %v", err)
}

// kill -9 between the reservation and the answer, 20 times on each engine.
func TestAKilledNodeLeavesASlotThatSettles(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		const crashes, together = 20, 4
		host := newEntityHost(0, 1)
		url := open()
		s, _ := authStore(t, url)
		node := personalNode(t, s, host, crashSettle)
		var round atomic.Int64
		var workers sync.WaitGroup
		for range together {
			workers.Go(func() {
				for n := round.Add(1); n <= crashes; n = round.Add(1) {
					crashRound(t, url, node, host, addUser(t, s).ID, n%2 == 0)
				}
			})
		}
		ctx, stop := context.WithCancel(t.Context())
		settling := make(chan error, 1)
		go func() { settling <- node.Run(ctx) }()
		workers.Wait()
		stop()
		if err := <-settling; err != nil {
			t.Errorf("settler: %v", err)
		}
		if len(host.broken) > 0 {
			t.Errorf("over the cap: %v", host.broken)
		}
	})
}

// crashRound kills a node while its create is with the host, which makes the entity
// or not, and sees what a living node makes of it.
func crashRound(t *testing.T, url string, node *personal.Service, host *entityHost, user id.User, made bool) {
	ctx, p := t.Context(), asUser(user)
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestCrashingNode$", "--", url, string(user))
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Errorf("start node: %v", err)
		return
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "sent") {
			break
		}
	}
	if _, err := node.Create(ctx, p, body("bob"), ""); !fault.HasCode(err, "entity_quota_exceeded") {
		t.Errorf("create beside one in flight: got %v, want the quota", err)
	}
	if made {
		host.mu.Lock()
		host.add(user, "aria")
		host.mu.Unlock()
	}
	_ = child.Process.Kill() // SIGKILL
	if err := child.Wait(); child.ProcessState.ExitCode() != -1 {
		t.Errorf("the node was not killed: %v", err)
	}
	want := 0
	if made {
		want = 1
	}
	if !settles(t, node, user, want) {
		return
	}
	if made {
		if err := node.Delete(ctx, p, "aria"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := node.Create(ctx, p, body("bob"), ""); err != nil {
		t.Errorf("create after the crash is settled: %v", err)
	}
}

// settles waits until the user's one slot is gone, or confirmed.
func settles(t *testing.T, node *personal.Service, user id.User, want int) bool {
	deadline := time.Now().Add(20 * time.Second)
	for {
		slots, err := node.Store.Slots(t.Context(), user)
		if err == nil && len(slots) == want && (want == 0 || slots[0].State == personal.Confirmed && slots[0].Holders == 0) {
			return true
		}
		if time.Now().After(deadline) {
			t.Errorf("got slots %+v, %v, want %d settled", slots, err, want)
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
}
