package a2a

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

const given = "https://given.example.org/agent/"

// read is the agent of a card that can be used.
func read(t *testing.T, text string) registry.Imported {
	t.Helper()
	c, ok, err := readCard([]byte(text))
	if err != nil || !ok {
		t.Fatalf("%.200s: %v, %v", text, ok, err)
	}
	return c.imported(given)
}

func TestACardOf03BecomesAnAgent(t *testing.T) {
	got := read(t, `{"protocolVersion": "0.3.0", "name": " Weather\nOracle ", "description": "Forecasts. ", "version": "2.1", "url": "https://w.example.org/rpc/",
	 "preferredTransport": "JSONRPC", "capabilities": {"streaming": true}, "defaultInputModes": [], "supportsAuthenticatedExtendedCard": false,
	 "skills": [{"id": "now", "name": "Current Weather", "description": "What it is like", "tags": ["x"]}, {"id": "soon", "name": "Forecast", "tags": []}, null],
	 "securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X-Key"}}, "security": [{"k": []}], "iconUrl": 5}`)
	want := registry.Imported{Name: "Weather Oracle", Description: "Forecasts. | Skills: What it is like; Forecast", Version: "2.1", Endpoint: "https://w.example.org/rpc",
		Dialect: "0.3", AuthType: "api_key", Tags: []string{"a2a", "external", "current-weather", "forecast", "streaming"}, Streaming: true,
		InputSchema: []byte(`{"type":"object","properties":{"message":{"type":"string"},"skill":{"type":"string","enum":["now","soon"]}},"required":["message"]}`)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestACardOf10BecomesAnAgent(t *testing.T) {
	got := read(t, `{"name": "Planner", "description": "Plans.", "version": "1", "capabilities": {"extensions": null},
	 "supportedInterfaces": [{"url": "grpc.example.org:443", "protocolBinding": "GRPC", "protocolVersion": "1.0"}, {"url": "https://p.example.org/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
	 "securitySchemes": {"o": {"oauth2SecurityScheme": {"flows": {}}}}, "skills": []}`)
	want := registry.Imported{Name: "Planner", Description: "Plans.", Version: "1", Endpoint: "https://p.example.org/a2a", Dialect: "1.0", AuthType: "bearer_token",
		Tags: []string{"a2a", "external"}, InputSchema: []byte(`{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]}`)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestACardThatSaysNothingBecomesADefaultAgent(t *testing.T) {
	got := read(t, `{"skills": null, "name": null, "url": null, "capabilities": null, "authentication": null, "securitySchemes": null}`)
	want := registry.Imported{Name: "A2A agent", Description: "A2A agent", Version: "1.0.0", Endpoint: "https://given.example.org/agent", Dialect: "0.3", AuthType: "public",
		Tags: []string{"a2a", "external"}, InputSchema: []byte(`{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]}`)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestTheEndpointIsTheFirstThatTakesJSONRPC(t *testing.T) {
	const (
		interfaces = `"supportedInterfaces": [{"url": "https://rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}, {"protocolBinding": "JSONRPC"}, {"url": "https://rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.1"}]`
		others     = `"supportedInterfaces": [{"url": "https://rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}]`
		additional = `"additionalInterfaces": [{"url": "https://grpc", "transport": "GRPC"}, {"url": "https://more", "transport": "JSONRPC"}]`
	)
	for _, tc := range []struct{ members, endpoint, dialect string }{
		{interfaces + `, "url": "https://main"`, "https://rpc", "1.0"},
		{others + `, "url": "https://main"`, "https://main", "0.3"},
		{others, "https://given.example.org/agent", "0.3"},
		{`"supportedInterfaces": [{"url": "https://rpc", "protocolBinding": "JSONRPC"}], "protocolVersion": "1.0"`, "https://rpc", "1.0"},
		{`"supportedInterfaces": [{"url": "https://rpc", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}], "protocolVersion": "1.0"`, "https://rpc", "0.3"},
		{`"url": "https://main", "protocolVersion": "1.0.0"`, "https://main", "1.0"},
		{`"url": "https://main", "preferredTransport": "JSONRPC", "protocolVersion": "0.2.6"`, "https://main", "0.3"},
		{`"url": "https://main", "preferredTransport": "GRPC", ` + additional, "https://more", "0.3"},
		// 0.3 lets the main URL be listed again, with what else it takes.
		{`"url": "https://main", "preferredTransport": "GRPC", "additionalInterfaces": [{"url": "https://main", "transport": "JSONRPC"}]`, "https://main", "0.3"},
		{`"url": "https://main", "preferredTransport": "GRPC", "invoke_endpoint": "https://invoke", "endpoint": "https://end"`, "https://invoke", "0.3"},
		{`"endpoint": "https://end//", "protocolVersion": "10.0"`, "https://end/", "0.3"},
		{`"url": "", "protocolVersion": "1"`, "https://given.example.org/agent", "0.3"},
	} {
		got := read(t, `{"name": "a", `+tc.members+`}`)
		if got.Endpoint != tc.endpoint || got.Dialect != tc.dialect {
			t.Errorf("%s: got %s, %s, want %s, %s", tc.members, got.Endpoint, got.Dialect, tc.endpoint, tc.dialect)
		}
	}
}

func TestABearerSchemeBeatsAKeyInAHeader(t *testing.T) {
	for _, tc := range []struct{ members, want string }{
		{`"securitySchemes": {}`, "public"},
		{`"securitySchemes": {"a": {"type": "http", "scheme": "Bearer"}}`, "bearer_token"},
		{`"securitySchemes": {"a": {"type": "http", "scheme": "basic"}}`, "public"},
		{`"securitySchemes": {"a": {"type": "apiKey", "in": "query", "name": "k"}}`, "public"},
		{`"securitySchemes": {"a": {"type": "apiKey", "in": "header", "name": "k"}, "b": {"type": "openIdConnect", "openIdConnectUrl": "https://x"}}`, "bearer_token"},
		{`"securitySchemes": {"a": {"type": "oauth2", "flows": {"implicit": {"scopes": {}}, "password": {"scopes": {}}}}}`, "bearer_token"},
		{`"securitySchemes": {"a": {"type": "mutualTLS"}, "b": {"type": "of the future"}, "c": {}, "d": null}`, "public"},
		{`"securitySchemes": {"a": {"httpAuthSecurityScheme": {"scheme": "BEARER"}}}`, "bearer_token"},
		{`"securitySchemes": {"a": {"apiKeySecurityScheme": {"location": "header", "name": "k"}}}`, "api_key"},
		{`"securitySchemes": {"a": {"apiKeySecurityScheme": {"location": "cookie", "name": "k"}}, "b": {"mtlsSecurityScheme": {}}}`, "public"},
		{`"securitySchemes": {"a": {"openIdConnectSecurityScheme": {"openIdConnectUrl": "https://x"}}}`, "bearer_token"},
		{`"authentication": {"schemes": ["Bearer"]}`, "bearer_token"},
		{`"authentication": {"schemes": ["apiKey", "OAuth2"]}`, "bearer_token"},
		{`"authentication": {"schemes": ["api_key"]}`, "api_key"},
		{`"authentication": {"schemes": ["basic"]}, "securitySchemes": {"a": {"type": "apiKey", "in": "header", "name": "k"}}`, "api_key"},
		{`"authentication": {}`, "public"},
	} {
		if got := read(t, `{"name": "a", `+tc.members+`}`).AuthType; got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.members, got, tc.want)
		}
	}
}

func TestLongTextsAreCutByCharacters(t *testing.T) {
	got := read(t, fmt.Sprintf(`{"name": "%s", "description": "%s", "version": "%s", "skills": [{"id": "a", "name": "%s"}]}`,
		strings.Repeat("é", 300), strings.Repeat("ü", 9000), strings.Repeat("1", 100), strings.Repeat("Ö", 100)))
	for name, length := range map[string][2]int{"name": {utf8.RuneCountInString(got.Name), 255}, "description": {utf8.RuneCountInString(got.Description), 8192},
		"version": {utf8.RuneCountInString(got.Version), 64}, "tag": {utf8.RuneCountInString(got.Tags[2]), 64}} {
		if length[0] != length[1] {
			t.Errorf("%s has %d characters, want %d", name, length[0], length[1])
		}
	}
	if got.Tags[2] != strings.Repeat("ö", 64) {
		t.Errorf("tag %q", got.Tags[2])
	}
}

func TestManySkillsFillTheTagsAndTheLastPlaceIsForStreaming(t *testing.T) {
	var skills []string
	for i := range maxSkills {
		skills = append(skills, fmt.Sprintf(`{"id": "s%d", "name": "Skill %d"}`, i, i/2))
	}
	got := read(t, `{"capabilities": {"streaming": true}, "skills": [`+strings.Join(skills, ",")+`]}`)
	if len(got.Tags) != 32 || got.Tags[2] != "skill-0" || got.Tags[30] != "skill-28" || got.Tags[31] != "streaming" {
		t.Errorf("tags %q", got.Tags)
	}
	var schema struct {
		Properties struct{ Skill struct{ Enum []string } }
	}
	if err := json.Unmarshal(got.InputSchema, &schema); err != nil || len(schema.Properties.Skill.Enum) != maxSkills {
		t.Errorf("%d skills in the schema, want %d (%v)", len(schema.Properties.Skill.Enum), maxSkills, err)
	}
}

func TestIDsThatDoNotFitLeaveTheSkillOpen(t *testing.T) {
	got := read(t, fmt.Sprintf(`{"skills": [{"id": "%s", "name": "a"}, {"id": "b", "name": "b"}]}`, strings.Repeat("x", maxSchema)))
	want := `{"type":"object","properties":{"message":{"type":"string"},"skill":{"type":"string"}},"required":["message"]}`
	if string(got.InputSchema) != want {
		t.Errorf("got %.200s\nwant %s", got.InputSchema, want)
	}
}

func TestAnOddCardIsRefusedAndToldWhere(t *testing.T) {
	skills := func(n int) string { return `[` + strings.TrimSuffix(strings.Repeat(`{},`, n), ",") + `]` }
	for _, tc := range []struct{ text, want string }{
		{`{"name": 5}`, "name must be a string"},
		{`{"name": ["a"]}`, "name must be a string"},
		{`{"name": "a", "description": {}}`, "description must be a string"},
		{`{"name": "a", "version": 1.0}`, "version must be a string"},
		{`{"skills": {"a": 1}}`, "skills must be a list"},
		{`{"skills": "a"}`, "skills must be a list"},
		{`{"skills": [{"name": "a"}, "b"]}`, "skills[1] must be an object"},
		{`{"skills": [{"name": 1}]}`, "skills[0].name must be a string"},
		{`{"skills": [{"tags": "a"}]}`, "skills[0].tags must be a list"},
		{`{"skills": [{"inputModes": {}}]}`, "skills[0].inputModes must be a list"},
		{`{"name": "a", "capabilities": []}`, "capabilities must be an object"},
		{`{"name": "a", "capabilities": {"streaming": "yes"}}`, "capabilities.streaming must be true or false"},
		{`{"name": "a", "url": {}}`, "url must be a string"},
		{`{"name": "a", "supportedInterfaces": {}}`, "supportedInterfaces must be a list"},
		{`{"name": "a", "supportedInterfaces": [{"url": 1}]}`, "supportedInterfaces[0].url must be a string"},
		{`{"name": "a", "additionalInterfaces": ["https://x"]}`, "additionalInterfaces[0] must be an object"},
		{`{"name": "a", "securitySchemes": []}`, "securitySchemes must be an object"},
		{`{"name": "a", "securitySchemes": {"b c": {"type": 1}}}`, "securitySchemes.b c.type must be a string"},
		{`{"name": "a", "authentication": ["bearer"]}`, "authentication must be an object"},
		{`{"name": "a", "authentication": {"schemes": "bearer"}}`, "authentication.schemes must be a list"},
		{`{"name": "a", "invoke_endpoint": 1}`, "invoke_endpoint must be a string"},
		{`{"name": "a", "name": "b"}`, "a member occurs twice"},
		{`{"name": "a", "x": [{"y": 1, "\u0079": 2}]}`, "a member occurs twice"},
		{"{\"name\": \"a\xff\"}", "not valid UTF-8"},
		{`{"name": "\ud800"}`, "not valid UTF-8"},
		{`{"name": "a\u0000b"}`, "U+0000"},
		{`{"name": "a", "x": {"\u0000": 1}}`, "U+0000"},
		{`{"name": "a", "x": ` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "deeper than 64 levels"},
		{`{"skills": ` + skills(maxSkills+1) + `}`, "skills has 257 items; at most 256"},
		{`{"skills": ` + skills(10_000) + `}`, "skills has 10000 items; at most 256"},
	} {
		_, ok, err := readCard([]byte(tc.text))
		f := fault.As(err)
		if !ok || f == nil || f.Code != "card_invalid" || !strings.Contains(f.Detail, tc.want) {
			t.Errorf("%.80s: %v, %v, want %q", tc.text, ok, err, tc.want)
		}
		if f != nil && (strings.Contains(f.Detail, "json") || strings.Contains(f.Detail, "Go ")) {
			t.Errorf("%.80s: the text names a library: %s", tc.text, f.Detail)
		}
	}
	if c, ok, err := readCard([]byte(`{"name": "a", "x": ` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`)); !ok || err != nil || c.Name != "a" {
		t.Errorf("64 levels: %v, %v", ok, err)
	}
}

func TestWhatIsNoCardIsPassedOver(t *testing.T) {
	for _, text := range []string{"", " ", "null", "[]", "5", `"name"`, "{}", `{"Name": "a"}`, `{"title": "a"}`, `[{"name": "a"}]`, `{"name": "a"`, `{"name": "a"} x`, `{"name": "a"}{}`,
		`{"name"}`, "<html>", "\ufeff" + `{"name": "a"}`, strings.Repeat("[", 100_000), `{"name": ` + strings.Repeat("[", 100_000), `{"a": {"name": "b"}}`} {
		if _, ok, err := readCard([]byte(text)); ok || err != nil {
			t.Errorf("%.40q: %v, %v, want no card", text, ok, err)
		}
	}
}

// Each of these cards is usable, and read differently by a parser of the module of 1.0:
// refused, or taken for something else. When that changes, so may the decision not to
// use them (docs/adr/0012).
func TestWhyTheModulesParsersAreNotUsed(t *testing.T) {
	both, strict := a2av0.NewAgentCardParser(), agentcard.DefaultCardParser
	for _, text := range []string{
		`{"name": "a", "securitySchemes": {"s": {"type": "of the future"}}}`,
		`{"name": "a", "securitySchemes": {"s": {"type": "oauth2", "flows": {"implicit": {"scopes": {}}, "password": {"scopes": {}}}}}}`,
	} {
		for name, parse := range map[string]agentcard.Parser{"both": both, "strict": strict} {
			if _, err := parse([]byte(text)); err == nil {
				t.Errorf("the parser %s now takes %s", name, text)
			}
		}
		read(t, text)
	}
	c, err := both([]byte(`{"name": "a", "url": "https://main", "protocolVersion": "0.3.0"}`))
	if err != nil || len(c.SupportedInterfaces) != 0 {
		t.Errorf("the parser now has the URL of a card without preferredTransport: %+v, %v", c, err)
	}
	c, err = both([]byte(`{"NAME": "a", "name": "b", "Name": "c"}`))
	if err != nil || c.Name != "c" {
		t.Errorf("the parser now tells members apart: %+v, %v", c, err)
	}
}
