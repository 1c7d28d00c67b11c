package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// publicAgents are the slugs of the agents that a user of the API sees, by name.
func publicAgents(t *testing.T, url, token string) map[string]string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/registry/agents", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var list []struct {
		Name  string
		Agent string `json:"agent_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, a := range list {
		found[a.Name] = a.Agent
	}
	return found
}

// Three starts on one data directory: with the demo agents, with them again at another
// port, and without.
func TestServeBringsDemoAgentsUnlessToldNotTo(t *testing.T) {
	dir := t.TempDir()
	const ada = `{"email":"ada@example.org","password":"correct horse"}`
	calculator := ""
	for i, args := range [][]string{nil, nil, {"--no-demo"}} {
		c := startChild(t, nil, append(serveArgs(dir), args...)...)
		url := c.readBanner(t)
		if i == 0 {
			if status, answer := post(t, url+"/auth/register", "", ada); status != 201 {
				t.Fatalf("register: %d %v", status, answer)
			}
		}
		_, login := post(t, url+"/auth/login", "", ada)
		token, _ := login["access_token"].(string)
		agents := publicAgents(t, url, token)
		asked := calculator
		if asked == "" {
			asked = agents["Calculator"]
		}
		_, invoked := post(t, url+"/broker/invoke", token, `{"agent_id":"`+asked+`","input":{"message":"what is 17.5 % of 240?"}}`)
		if i == 2 {
			if len(agents) != 0 || invoked["error_code"] != "agent_not_found" {
				t.Errorf("with --no-demo there are %v: %v", agents, invoked)
			}
		} else {
			if data, _ := invoked["data"].(map[string]any); len(agents) != 4 || data["result"] != "42" {
				t.Errorf("start %d: %v: %v", i+1, agents, invoked)
			}
			if calculator != "" && agents["Calculator"] != calculator {
				t.Errorf("start %d: the calculator is %s, was %s", i+1, agents["Calculator"], calculator)
			}
			calculator = agents["Calculator"]
		}
		c.signal(t, syscall.SIGTERM)
		if code := c.exit(t); code != 0 {
			t.Errorf("start %d: exit code %d:\n%s", i+1, code, c.logs)
		}
		rest := make([]byte, 4096)
		n, _ := c.out.Read(rest)
		if asks := strings.Contains(string(rest[:n]), "17.5 % of 240"); asks != (i < 2) {
			t.Errorf("start %d: the banner asks: %v", i+1, asks)
		}
	}
}
