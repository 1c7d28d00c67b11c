package wisdom

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	"github.com/a2aproject/a2a-go/v2/a2asrv"

	"github.com/IntunoAI/intuno-go/internal/principal"
)

// rememberer is an agent of the official module that tells the context it is asked in.
type rememberer struct{}

func (rememberer) Execute(_ context.Context, e *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		if e.Message.Parts[0].Text() == "fail" {
			if yield(a2a.NewSubmittedTask(e, e.Message), nil) {
				yield(a2a.NewStatusUpdateEvent(e, a2a.TaskStateFailed, nil), nil)
			}
			return
		}
		m := a2a.NewMessage(a2a.MessageRoleAgent, a2a.NewTextPart(e.Message.Parts[0].Text()+" in "+e.ContextID))
		m.ContextID = e.ContextID
		yield(m, nil)
	}
}

func (rememberer) Cancel(context.Context, *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(func(a2a.Event, error) bool) {}
}

// An agent of the official module is imported by its card and invoked, in both dialects:
// by the route of the broker and, through us, by A2A.
func TestAnImportedAgentIsInvokedInItsDialect(t *testing.T) {
	handler := a2asrv.NewHandler(rememberer{})
	for dialect, rpc := range map[string]http.Handler{"1.0": a2asrv.NewJSONRPCHandler(handler), "0.3": a2av0.NewJSONRPCHandler(handler)} {
		mux := http.NewServeMux()
		server := httptest.NewServer(mux)
		defer server.Close()
		versions := map[string]bool{}
		mux.HandleFunc("POST /rpc", func(w http.ResponseWriter, r *http.Request) {
			versions[r.Header.Get("A2A-Version")] = true
			rpc.ServeHTTP(w, r)
		})
		mux.HandleFunc("GET /.well-known/agent-card.json", func(w http.ResponseWriter, _ *http.Request) {
			card := map[string]any{"name": "Rememberer", "description": "Remembers.", "protocolVersion": "0.3.0", "url": server.URL + "/rpc", "version": "2.0.0", "skills": []any{}}
			if dialect == "1.0" {
				card = map[string]any{"name": "Rememberer", "description": "Remembers.", "version": "2.0.0", "skills": []any{},
					"supportedInterfaces": []any{map[string]any{"url": server.URL + "/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}}}
			}
			_ = json.NewEncoder(w).Encode(card)
		})
		w := newWorld(t, nil, "INVOKE_ENDPOINT_ALLOWED_HOSTS", server.Listener.Addr().String())
		ada := w.signUp("ada")
		slug := w.want(201, "POST", "/a2a/agents/import", `{"url":"`+server.URL+`"}`, ada.bearer()).text("agent_id")
		ask := func(message, conversation string) (answer struct {
			Success        bool
			Data           struct{ Content, ContextID, State string }
			ErrorCode      string `json:"error_code"`
			StatusCode     int    `json:"status_code"`
			ConversationID string `json:"conversation_id"`
		}) {
			in := map[string]any{"agent_id": slug, "input": map[string]string{"message": message}}
			if conversation != "" {
				in["conversation_id"] = conversation
			}
			body, _ := json.Marshal(in)
			if err := json.Unmarshal([]byte(w.want(200, "POST", "/broker/invoke", string(body), ada.bearer()).body), &answer); err != nil {
				t.Fatal(err)
			}
			return answer
		}
		first := ask("one", "")
		_, where, told := strings.Cut(first.Data.Content, "one in ")
		if !first.Success || !told || where == "" || first.Data.State != "completed" {
			t.Fatalf("%s: first: %+v", dialect, first)
		}
		if again := ask("two", first.ConversationID); again.Data.Content != "two in "+where {
			t.Errorf("%s: in the same conversation: %+v, want the context %s", dialect, again, where)
		}
		if other := ask("three", ""); !other.Success || strings.HasSuffix(other.Data.Content, where) {
			t.Errorf("%s: in another conversation: %+v", dialect, other)
		}
		if failed := ask("fail", ""); failed.Success || failed.ErrorCode != "agent_a2a_error" || failed.StatusCode != 502 {
			t.Errorf("%s: a failed task: %+v", dialect, failed)
		}
		through := w.want(200, "POST", "/a2a/agents/"+slug, `{"jsonrpc":"2.0","id":7,"method":"message/send","params":{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"four"}]}}}`, ada.bearer())
		if !strings.Contains(through.body, `"text":"four in `) || !strings.Contains(through.body, `"id":7`) {
			t.Errorf("%s: by A2A: %s", dialect, through.body)
		}
		failed := w.want(200, "POST", "/a2a/agents/"+slug, `{"jsonrpc":"2.0","id":"x","method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"fail"}]}}}`, ada.bearer())
		if !strings.Contains(failed.body, `-32603`) || !strings.Contains(failed.body, "Agent reported an error or a failed task") {
			t.Errorf("%s: a failure by A2A: %s", dialect, failed.body)
		}
		if want := map[string]string{"1.0": "1.0"}[dialect]; len(versions) != 1 || !versions[want] {
			t.Errorf("%s: A2A-Version was %v", dialect, versions)
		}
	}
}

// While the platform is halted nothing is invoked, by A2A neither: an HTTP error with the
// members of JSON-RPC.
func TestAMessageToAHaltedPlatformIsAnHTTPError(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.signUp("ada")
	slug := w.register(ada, "Weather", "Forecasts.").text("agent_id")
	if _, err := w.service.platform.Halt(t.Context(), principal.Principal{User: idOf(ada), Via: principal.JWT, Admin: true}); err != nil {
		t.Fatal(err)
	}
	r := w.want(503, "POST", "/a2a/agents/"+slug, `{"jsonrpc":"2.0","id":7,"method":"message/send","params":{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"hi"}]}}}`, ada.bearer())
	if r.text("code") != "platform_halted" || !strings.Contains(r.body, `"jsonrpc":"2.0"`) || !strings.Contains(r.body, `"id":7`) {
		t.Errorf("got %s", r.body)
	}
}
