package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// python returns an interpreter that has what python/requirements.txt pins. It is
// installed once per checkout, Python and list of pins, below .cache.
var python = sync.OnceValues(func() (string, error) {
	about, err := exec.Command("python3", "-c", "import sys; print(sys.version_info >= (3, 10), sys.executable, sys.version)").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(about), "True") {
		return "", fmt.Errorf("the tests need Python 3.10 or newer with venv (Debian: python3-venv); python3 says: %s (%v)", about, err)
	}
	pins, err := os.ReadFile("python/requirements.txt")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(about, pins...))
	venv, err := filepath.Abs(filepath.Join("../.cache/python", hex.EncodeToString(sum[:8])))
	if err != nil {
		return "", err
	}
	interpreter := filepath.Join(venv, "bin", "python")
	if exec.Command(interpreter, "-c", "import intuno_sdk").Run() == nil {
		return interpreter, nil
	}
	return interpreter, install(venv)
})

// install makes the virtual environment, first under another name: what is there under
// its own is whole.
func install(venv string) error {
	if err := os.MkdirAll(filepath.Dir(venv), 0o755); err != nil {
		return err
	}
	making, err := os.MkdirTemp(filepath.Dir(venv), "making-")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"python3", "-m", "venv", making},
		{filepath.Join(making, "bin", "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
			"--only-binary", ":all:", "--require-hashes", "-r", "python/requirements.txt"},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return errors.Join(fmt.Errorf("install the Python SDK: %v: %w: %s", args, err, out), os.RemoveAll(making))
		}
	}
	if err := os.RemoveAll(venv); err != nil {
		return err
	}
	return os.Rename(making, venv)
}

// sdkAgents are the agents that the SDK calls in the test: one that answers, one that
// answers with a list, one that fails, a webhook, and one that is imported by its card. The card's
// description is new each time that it is read.
func sdkAgents(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		var input struct{ Message string }
		_ = json.NewDecoder(r.Body).Decode(&input)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": "you said: " + input.Message})
	})
	mux.HandleFunc("POST /list", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[1, "two", null]`) })
	mux.HandleFunc("POST /hook", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /fail", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusInternalServerError)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	var read atomic.Int64
	mux.HandleFunc("GET /a2a/.well-known/agent-card.json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"protocolVersion": "0.3.0", "name": "Card Reader", "description": "Reads cards, %d so far.", "version": "2.1.0",
			"url": "%s/a2a/rpc", "preferredTransport": "JSONRPC", "capabilities": {}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
			"skills": [{"id": "read", "name": "Reading Cards", "description": "Reads any card.", "tags": ["cards"]}]}`, read.Add(1), s.URL)
	})
	mux.HandleFunc("POST /a2a/rpc", func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			ID, Method string
			Params     struct {
				Message struct{ Parts []struct{ Text string } }
			}
		}
		if json.NewDecoder(r.Body).Decode(&request) != nil || request.Method != "message/send" || len(request.Params.Message.Parts) == 0 {
			http.Error(w, "not a message", http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, `{"jsonrpc": "2.0", "id": %q, "result": {"kind": "task", "id": "task-1", "contextId": "context-1", "status": {"state": "completed"},
			"artifacts": [{"artifactId": "a", "parts": [{"kind": "text", "text": %q}]}]}}`, request.ID, "the agent of the card heard: "+request.Params.Message.Parts[0].Text)
	})
	return s
}

// TestThePublishedPythonSDKWorks runs python/run.py: every method of the SDK as it is
// published, with every kind of credential, its helper modules and its MCP server.
func TestThePublishedPythonSDKWorks(t *testing.T) {
	interpreter, err := python()
	if err != nil {
		t.Fatal(err)
	}
	agents, addr, data := sdkAgents(t), freeAddr(t), t.TempDir()
	p := start(t, "http://"+addr, "/ready", []string{"RATE_LIMIT_PER_MINUTE=0", allowLoopback},
		"serve", "--data", data, "--addr", addr, "--agents-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0")
	s := &stack{wisdoms: []*process{p}, admin: []string{"DATA_DIR=" + data}}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, "-B", "python/run.py")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "INTUNO_BASE_URL=" + p.url,
		"AGENTS_SERVICE_API_KEY=" + generatedSecret(s, "AGENTS_SERVICE_API_KEY"), "TEST_AGENTS_URL=" + agents.URL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%v\n%s", err, p.log)
	}
}
