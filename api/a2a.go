package api

import "encoding/json"

// AgentCard is a card as we serve it, readable for both generations of the A2A
// protocol: what the two write differently is there twice.
type AgentCard struct {
	ProtocolVersion      string                    `json:"protocolVersion"` // of url
	Name                 string                    `json:"name"`
	Description          string                    `json:"description"`
	URL                  string                    `json:"url"`
	PreferredTransport   string                    `json:"preferredTransport"`
	SupportedInterfaces  []AgentInterface          `json:"supportedInterfaces"`
	Version              string                    `json:"version"`
	Capabilities         AgentCapabilities         `json:"capabilities"`
	Skills               []AgentSkill              `json:"skills"`
	DefaultInputModes    []string                  `json:"defaultInputModes"`
	DefaultOutputModes   []string                  `json:"defaultOutputModes"`
	Authentication       AgentAuthentication       `json:"authentication"`
	SecuritySchemes      map[string]SecurityScheme `json:"securitySchemes"`
	Security             []map[string][]string     `json:"security"`             // any one of them; 0.3
	SecurityRequirements []SecurityRequirement     `json:"securityRequirements"` // the same; 1.0
}

// AgentInterface is one way to reach an agent.
type AgentInterface struct {
	URL             string `json:"url"`
	ProtocolBinding string `json:"protocolBinding"`
	ProtocolVersion string `json:"protocolVersion"`
}

// AgentCapabilities is what may be used of the protocol. The last three are of the
// platform only.
type AgentCapabilities struct {
	Streaming         bool     `json:"streaming"`
	PushNotifications bool     `json:"pushNotifications"`
	Networks          bool     `json:"networks,omitzero"`
	Topologies        []string `json:"topologies,omitzero"`
	Channels          []string `json:"channels,omitzero"`
}

// AgentSkill is one thing that an agent can do.
type AgentSkill struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
}

// AgentAuthentication names the ways to authenticate to us, as cards did before 0.3.
type AgentAuthentication struct {
	Schemes []string `json:"schemes"`
}

// SecurityScheme is one way to authenticate. 0.3 reads the type and what it needs, 1.0
// the member that is named after the type.
type SecurityScheme struct {
	Type   string `json:"type"`
	In     string `json:"in,omitempty"`
	Name   string `json:"name,omitempty"`
	Scheme string `json:"scheme,omitempty"`

	APIKey *APIKeyScheme `json:"apiKeySecurityScheme,omitempty"`
	HTTP   *HTTPScheme   `json:"httpAuthSecurityScheme,omitempty"`
}

// APIKeyScheme is an API key in 1.0.
type APIKeyScheme struct {
	Location string `json:"location"`
	Name     string `json:"name"`
}

// HTTPScheme is a scheme of the Authorization header in 1.0.
type HTTPScheme struct {
	Scheme string `json:"scheme"`
}

// SecurityRequirement is a set of schemes that authenticate together, in 1.0.
type SecurityRequirement struct {
	Schemes map[string][]string `json:"schemes"`
}

// AgentCards is a list of cards.
type AgentCards struct {
	Agents []AgentCard `json:"agents"`
}

// MCPServerCard says where our MCP server is.
type MCPServerCard struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	URL       string `json:"url"`
	Transport string `json:"transport"`
}

// ImportedAgent answers the import of a card.
type ImportedAgent struct {
	Success        bool     `json:"success"` // always true: a failure is an Error
	AgentID        string   `json:"agent_id"`
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	InvokeEndpoint *string  `json:"invoke_endpoint"`
	Tags           []string `json:"tags"`
}

// BatchResult is what became of one card of a batch: AgentID and Name, or Error and Code.
type BatchResult struct {
	URL     string `json:"url"`
	Success bool   `json:"success"`
	AgentID string `json:"agent_id,omitempty"`
	Name    string `json:"name,omitempty"`
	Error   string `json:"error,omitempty"`
	Code    string `json:"code,omitempty"`
}

// BatchResults are in the order of the request.
type BatchResults struct {
	Results []BatchResult `json:"results"`
}

// RefreshedAgent answers the refresh of an import.
type RefreshedAgent struct {
	Success bool   `json:"success"` // always true
	AgentID string `json:"agent_id"`
	Name    string `json:"name"`
}

// FetchedCard is somebody else's card as it was served.
type FetchedCard struct {
	Success bool   `json:"success"` // always true
	Card    Object `json:"card"`
}

// RPCResponse is a JSON-RPC 2.0 response: Result or Error. An error of the HTTP request
// itself is an Error with the members jsonrpc, id and error of this one.
type RPCResponse struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"` // the request's; null if it had none
	Result  json.RawMessage `json:"result,omitzero"`
	Error   *RPCError       `json:"error,omitzero"`
}

// RPCError is the error of a JSON-RPC response.
type RPCError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}
