package wisdom

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
)

func TestTheSenderKeepsTheBoundsAndSaysWhatItDiedOf(t *testing.T) {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice when the client leaves
		switch r.URL.Path {
		case "/quiet":
			_, _ = io.WriteString(w, "data: 1\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/hang":
			<-r.Context().Done()
		case "/header":
			w.Header().Set("X-Long", strings.Repeat("x", 64<<10))
		case "/refuse":
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "no")
		default:
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		}
	}))
	defer agent.Close()
	allowed, err := egress.ParseAllowedHosts("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := egress.New(egress.Config{Allowed: allowed})
	if err != nil {
		t.Fatal(err)
	}
	sender := agentSender{egress.NewClient(policy, nil)}
	defer sender.client.Close()
	left, leave := context.WithCancel(t.Context())
	leave()
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	errTake := errors.New("nobody takes it")
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		out    broker.Outgoing
		stream bool
		status int
		err    error
	}{
		{"a whole", t.Context(), broker.Outgoing{URL: agent.URL}, false, 200, nil},
		{"a stream", t.Context(), broker.Outgoing{URL: agent.URL}, true, 200, nil},
		{"as large as allowed", t.Context(), broker.Outgoing{URL: agent.URL, MaxBody: 1000}, false, 200, nil},
		{"larger", t.Context(), broker.Outgoing{URL: agent.URL, MaxBody: 999}, false, 0, broker.ErrTooLarge},
		{"a stream larger than allowed", t.Context(), broker.Outgoing{URL: agent.URL, MaxBody: 999}, true, 0, broker.ErrTooLarge},
		{"a long header", t.Context(), broker.Outgoing{URL: agent.URL + "/header"}, false, 0, broker.ErrTooLarge},
		{"a refusal instead of a stream", t.Context(), broker.Outgoing{URL: agent.URL + "/refuse"}, true, 404, nil},
		{"no header in time", t.Context(), broker.Outgoing{URL: agent.URL + "/hang", Idle: 30 * time.Millisecond}, true, 0, broker.ErrDeadline},
		{"silence in a stream", t.Context(), broker.Outgoing{URL: agent.URL + "/quiet", Idle: 30 * time.Millisecond}, true, 200, broker.ErrDeadline},
		{"the deadline", soon, broker.Outgoing{URL: agent.URL + "/hang"}, false, 0, broker.ErrDeadline},
		{"the caller left", left, broker.Outgoing{URL: agent.URL}, false, 0, context.Canceled},
		{"nobody there", t.Context(), broker.Outgoing{URL: "http://127.0.0.1:1/"}, false, 0, broker.ErrUnreachable},
		{"nobody takes it", t.Context(), broker.Outgoing{URL: agent.URL + "/take"}, true, 200, errTake},
	} {
		tt.out.Body = []byte("{}")
		var status int
		var err error
		if tt.stream {
			status, _, err = sender.Stream(tt.ctx, tt.out, func([]byte) error {
				if errors.Is(tt.err, errTake) {
					return errTake
				}
				return nil
			})
		} else {
			status, _, err = sender.Send(tt.ctx, tt.out)
		}
		if !errors.Is(err, tt.err) || tt.err == nil && err != nil || status != tt.status {
			t.Errorf("%s: got %d, %v, want %d, %v", tt.name, status, err, tt.status, tt.err)
		}
	}
	if _, _, err := sender.Send(t.Context(), broker.Outgoing{URL: "http://10.0.0.1/", Body: []byte("{}")}); !fault.HasCode(err, "unsafe_url") {
		t.Errorf("an address inside: got %v", err)
	}
}
