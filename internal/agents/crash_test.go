package agents_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents"
	"github.com/IntunoAI/intuno-go/internal/agents/brain"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// With this flag the test binary is a host on that database, until it is killed.
var serveChild = flag.String("agents.serve", "", "database URL: serve instead of testing")

func TestMain(m *testing.M) {
	flag.Parse()
	if *serveChild == "" {
		os.Exit(m.Run())
	}
	if err := serve(context.Background(), *serveChild); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// serve is a host whose turns say something and then never end.
func serve(ctx context.Context, url string) error {
	cfg, _ := agents.ParseConfig(map[string]string{})
	cfg.DatabaseURL, cfg.APIKey = secret.New(url), secret.New(key)
	hang := script(func(ctx context.Context, t brain.Turn, out brain.Sink) error {
		if t.Content == "quick" {
			return out.Say(ctx, "done")
		}
		if err := out.Say(ctx, "I was about to "); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	service, err := agents.New(ctx, cfg, agents.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System,
		Brain: func(brain.Memories) brain.Brain { return hang }})
	if err != nil {
		return err
	}
	go func() { _ = service.Run(ctx) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("serving http://" + listener.Addr().String())
	return http.Serve(listener, service.Handler())
}

// child starts another process on the database.
func child(t *testing.T, url string) (base string, kill func()) {
	t.Helper()
	process := exec.Command(os.Args[0], "-agents.serve="+url)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() { // SIGKILL: nothing is cleaned up
		_ = process.Process.Kill()
		_ = process.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "serving ") {
		t.Fatalf("the child said %q, %v", line, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "serving ")), kill
}

func TestKilledDuringATurn(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		t.Parallel()
		database := url()
		base, kill := child(t, database)
		dying := &host{t: t, url: base}
		dying.create(ada, "aria")
		dying.want(dying.ask(ada, "POST", "/entities/aria/chat", `{"content":"quick"}`, "Idempotency-Key", "before"), 201)
		first, _, err := dying.stream(ada, "POST", "/entities/aria/chat", `{"content":"x"}`, 2, "Accept", "text/event-stream", "Idempotency-Key", "k")
		if err != nil || names(first) != "message.started reply.delta" {
			t.Fatalf("got %v %v", first, err)
		}
		message := messageOf(t, first[0])

		// On PostgreSQL the other process is there before, and a reader waits at it.
		shared := !strings.HasPrefix(database, "sqlite:")
		var next *host
		rest := make(chan []event, 1)
		follow := func() {
			events, _, err := next.stream(ada, "GET", "/entities/aria/chat/"+message+"/events?after=2", "", -1)
			if err != nil {
				t.Error(err)
			}
			rest <- events
		}
		if shared {
			next = open(t, hostOptions{url: database})
			go follow()
			if got := outcome(next.ask(ada, "POST", "/entities/aria/chat", `{"content":"time"}`)); got != "409 turn_in_progress" {
				t.Errorf("while the turn runs elsewhere: got %s", got)
			}
		}
		kill()
		if !shared {
			next = open(t, hostOptions{url: database})
			go follow()
		}
		select {
		case events := <-rest:
			want := fmt.Sprintf(`[{3 error {"message_id":"%s","code":"brain_error","detail":"The turn was interrupted","status":502}}]`, message)
			if got := fmt.Sprint(events); got != want {
				t.Errorf("the reader got %s, want %s", got, want)
			}
		case <-time.After(15 * time.Second):
			t.Fatal("the reader got no end")
		}
		list := next.ask(ada, "GET", "/entities/aria/chat", "").list(t)
		if len(list) != 3 || list[2]["status"] != "failed" || list[2]["error"] != "The turn was interrupted" {
			t.Errorf("got %v", list)
		}
		// The key of the interrupted message is free, that of the answered one is not.
		if got := outcome(next.ask(ada, "POST", "/entities/aria/chat", `{"content":"time"}`, "Idempotency-Key", "k")); got != "201" {
			t.Errorf("the next message: got %s, want 201", got)
		}
		if got := outcome(next.ask(ada, "POST", "/entities/aria/chat", `{"content":"quick"}`, "Idempotency-Key", "before")); got != "201 replayed" {
			t.Errorf("an answered one: got %s, want 201 replayed", got)
		}
	})
}

func TestWhatWasAnsweredSurvivesAKill(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, url func() string) {
		t.Parallel()
		database := url()
		base, kill := child(t, database)
		dying := &host{t: t, url: base}
		dying.create(ada, "gone")
		dying.create(ada, "kept")
		dying.want(dying.ask(ada, "PUT", "/entities/kept/memories/a", `{"value":"b"}`), 201)
		dying.want(dying.ask(ada, "POST", "/entities/kept/chat", `{"content":"quick"}`), 201)
		dying.want(dying.ask(ada, "POST", "/entities/kept/pause", `{"reason":"r"}`), 200)
		dying.want(dying.ask(ada, "DELETE", "/entities/gone", ""), 204)
		kill()
		next := open(t, hostOptions{url: database})
		list := next.ask(ada, "GET", "/entities", "").list(t)
		if len(list) != 1 || list[0]["name"] != "kept" || list[0]["status"] != "paused" {
			t.Errorf("got %v", list)
		}
		if n := len(next.ask(ada, "GET", "/entities/kept/chat", "").list(t)); n != 2 {
			t.Errorf("got %d messages, want 2", n)
		}
		next.want(next.ask(ada, "GET", "/entities/kept/memories/a", ""), 200)
	})
}
