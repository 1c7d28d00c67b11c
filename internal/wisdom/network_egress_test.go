package wisdom

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
)

// fickle resolves every name to a public address, until it turns: then to this machine.
type fickle struct{ turned atomic.Bool }

func (f *fickle) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if f.turned.Load() {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

// newFickleWorld is a wisdom whose networks believe the resolver.
func newFickleWorld(t *testing.T, url string, resolver *fickle) *world {
	t.Helper()
	cfg, faults := ParseConfig(map[string]string{"DATABASE_URL": url, "JWT_SECRET_KEY": jwtKey, "INTUNO_AGENTS_API_KEY": hostKey, "INTUNO_AGENTS_BASE_URL": "http://127.0.0.1:1",
		"RATE_LIMIT_PER_MINUTE": "0", "NETWORK_DELIVERY_MAX_ATTEMPTS": "3", "NETWORK_DELIVERY_BACKOFF_SECONDS": "0.02"})
	if faults = append(faults, cfg.Check()...); len(faults) > 0 {
		t.Fatal(faults)
	}
	service, err := New(t.Context(), cfg, Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Version: "test",
		Hashing: auth.Hashing{MemoryKiB: 64, Passes: 1, Lanes: 1, Workers: 4}})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := egress.New(egress.Config{Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	service.outbound = egress.NewClient(policy, nil)
	networks, err := service.newNetworks(policy, newCounters(nil))
	if err != nil {
		t.Fatal(err)
	}
	service.api.Network.Service = networks
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- networks.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := service.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &world{t: t, service: service, handler: service.Handler(), log: &strings.Builder{}}
}

// TestACallbackWhoseNameTurnsInwardsIsNotCalled joins with a name that leads to a public
// address when it is checked, and to this machine when it is dialled: in the queue, in its
// retries, in a replay and in a call.
func TestACallbackWhoseNameTurnsInwardsIsNotCalled(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, open func() string) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var connections atomic.Int32
		canary := &http.Server{ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}}
		stopped := make(chan struct{})
		go func() { defer close(stopped); _ = canary.Serve(listener) }()
		t.Cleanup(func() { _ = canary.Close(); <-stopped })

		resolver := &fickle{}
		w := newFickleWorld(t, open(), resolver)
		ada := w.signUp("ada")
		network := "/networks/" + w.want(201, "POST", "/networks", `{"name":"lobby"}`, ada.bearer()).text("id")
		sender := w.want(201, "POST", network+"/participants", `{"name":"ada"}`, ada.bearer()).text("id")
		url := fmt.Sprintf(`"http://rebind.example:%d/"`, listener.Addr().(*net.TCPAddr).Port)
		joined := w.want(201, "POST", network+"/participants", `{"name":"turncoat","callback_url":`+url+`}`, ada.bearer()).text("id")

		resolver.turned.Store(true)
		for _, r := range []reply{
			w.send("POST", network+"/participants", `{"name":"late","callback_url":`+url+`}`, ada.bearer()),
			w.send("PATCH", network+"/participants/"+joined, `{"callback_url":`+url+`}`, ada.bearer()),
		} {
			if r.status != 400 || r.text("code") != "unsafe_url" {
				t.Errorf("by now it is answered %d %s", r.status, r.body)
			}
		}
		body := fmt.Sprintf(`{"sender_participant_id":%q,"recipient_participant_id":%q,"content":"Hello"}`, sender, joined)
		if r := w.send("POST", network+"/call", body, ada.bearer()); r.status != 502 || r.text("code") != "target_unreachable" {
			t.Errorf("a call is answered %d %s", r.status, r.body)
		}
		message := w.want(201, "POST", network+"/messages/send", body, ada.bearer()).text("id")
		for range 2 {
			dead := ""
			for deadline := time.Now().Add(10 * time.Second); dead == "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
				if list := w.want(200, "GET", network+"/dead-letters", "", ada.bearer()).body; strings.Contains(list, message) {
					dead = list
				}
			}
			if !strings.Contains(dead, `"attempts":3`) || !strings.Contains(dead, `"last_status_code":null`) || strings.Contains(dead, "127.0.0.1") {
				t.Fatalf("given up: %s", dead)
			}
			w.want(202, "POST", network+"/dead-letters/"+message+"/replay", "", ada.bearer())
		}
		if n := connections.Load(); n > 0 {
			t.Errorf("%d connections to this machine", n)
		}
	})
}
