package a2a

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	spec "github.com/a2aproject/a2a-go/v2/a2a"
	jsonv2 "github.com/go-json-experiment/json"

	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// Bounds of an agent (contract §1.2), lengths in characters. Of versions nothing is
// said there.
const (
	maxName        = 255
	maxDescription = 8192
	maxVersion     = 64
	maxTags        = 32
	maxTag         = 64
	maxSchema      = 64 << 10 // bytes of JSON
)

const (
	defaultName    = "A2A agent"
	defaultVersion = "1.0.0"
)

// The generations of the protocol.
const (
	Dialect03 = "0.3"
	Dialect10 = "1.0"
)

// imported is the agent that the card describes (contract §8.3). given is its endpoint
// if the card names none.
func (c *card) imported(given string) registry.Imported {
	endpoint, version := c.endpoint(given)
	name := cut(line(c.Name), maxName)
	name = cmp.Or(strings.TrimSpace(name), defaultName)
	return registry.Imported{
		Name:        name,
		Description: cmp.Or(c.description(), name),
		Version:     cmp.Or(strings.TrimSpace(cut(line(c.Version), maxVersion)), defaultVersion),
		Endpoint:    withoutSlash(endpoint),
		Dialect:     dialect(version),
		AuthType:    c.authType(),
		Tags:        c.tags(),
		InputSchema: c.inputSchema(),
		Streaming:   c.Capabilities.Streaming,
	}
}

// endpoint is where the agent takes JSON-RPC, and the version of the protocol there.
func (c *card) endpoint(given string) (url string, version spec.ProtocolVersion) {
	for _, i := range c.Supported {
		if i.ProtocolBinding == spec.TransportProtocolJSONRPC && i.URL != "" {
			return i.URL, cmp.Or(i.ProtocolVersion, c.ProtocolVersion)
		}
	}
	if c.URL != "" && (c.PreferredTransport == "" || c.PreferredTransport == spec.TransportProtocolJSONRPC) {
		return c.URL, c.ProtocolVersion
	}
	for _, i := range c.Additional {
		if string(i.Transport) == string(spec.TransportProtocolJSONRPC) && i.URL != "" {
			return i.URL, cmp.Or(i.ProtocolVersion, c.ProtocolVersion)
		}
	}
	return cmp.Or(c.InvokeEndpoint, c.Endpoint, given), c.ProtocolVersion
}

// withoutSlash removes the slash at the end of a path; one at the end of a query stays.
func withoutSlash(endpoint string) string {
	path, query := cutQuery(endpoint)
	return strings.TrimSuffix(path, "/") + query
}

func dialect(version spec.ProtocolVersion) string {
	if strings.HasPrefix(string(version), "1.") {
		return Dialect10
	}
	return Dialect03
}

// description ends with what the skills do: discovery reads it. It may be empty.
func (c *card) description() string {
	var skills []string
	for _, s := range c.Skills {
		if text := cmp.Or(strings.TrimSpace(s.Description), strings.TrimSpace(s.Name)); text != "" {
			skills = append(skills, text)
		}
	}
	text := strings.TrimSpace(c.Description)
	if len(skills) > 0 {
		text = strings.TrimPrefix(text+" | ", " | ") + "Skills: " + strings.Join(skills, "; ")
	}
	return cut(text, maxDescription)
}

// authType is the strongest way in that we know how to use.
func (c *card) authType() string {
	bearer, key := false, false
	for _, name := range c.Authentication.Schemes {
		switch strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name)) {
		case "bearer", "oauth2", "oauth", "openidconnect", "openid", "oidc":
			bearer = true
		case "apikey":
			key = true
		}
	}
	for _, s := range c.SecuritySchemes {
		switch {
		case s.Type == "oauth2", s.Type == "openIdConnect", s.OAuth2 != nil, s.OpenID != nil,
			s.Type == "http" && strings.EqualFold(s.Scheme, "bearer"), s.HTTP != nil && strings.EqualFold(s.HTTP.Scheme, "bearer"):
			bearer = true
		case s.Type == "apiKey" && s.In == "header", s.APIKey != nil && s.APIKey.Location == spec.APIKeySecuritySchemeLocationHeader:
			key = true
		}
	}
	switch {
	case bearer:
		return registry.AuthBearerToken
	case key:
		return registry.AuthAPIKey
	}
	return registry.AuthPublic
}

// tags are those of every import and the names of the skills, cut to 64 characters; of
// more than an agent may have, the last skills' are left out.
func (c *card) tags() []string {
	tags := []string{"a2a", "external"}
	most := maxTags
	if c.Capabilities.Streaming {
		most--
	}
	for _, s := range c.Skills {
		tag := strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) || unicode.IsControl(r) {
				return '-'
			}
			return r
		}, strings.ToLower(strings.TrimSpace(s.Name)))
		tag = cut(tag, maxTag)
		if len(tags) < most && tag != "" && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	if c.Capabilities.Streaming && !slices.Contains(tags, "streaming") {
		tags = append(tags, "streaming")
	}
	return tags
}

type (
	schema struct {
		Type       string     `json:"type"`
		Properties properties `json:"properties"`
		Required   []string   `json:"required"`
	}
	properties struct {
		Message property  `json:"message"`
		Skill   *property `json:"skill,omitempty"`
	}
	property struct {
		Type string   `json:"type"`
		Enum []string `json:"enum,omitempty"`
	}
)

// inputSchema is what an invocation takes. The ids of the skills are left out where
// they do not fit: any text is then a skill, and the agent decides.
func (c *card) inputSchema() []byte {
	s := schema{Type: "object", Properties: properties{Message: property{Type: "string"}}, Required: []string{"message"}}
	var ids []string
	for _, skill := range c.Skills {
		if skill.ID != "" && !slices.Contains(ids, skill.ID) {
			ids = append(ids, skill.ID)
		}
	}
	if len(ids) > 0 {
		s.Properties.Skill = &property{Type: "string", Enum: ids}
	}
	text, err := jsonv2.Marshal(s)
	if err != nil || len(text) > maxSchema {
		s.Properties.Skill = &property{Type: "string"}
		text, _ = jsonv2.Marshal(s) // constants only
	}
	return text
}

// line is s without control characters: a name is shown in lists and logs.
func line(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
}

// cut returns the first most characters of s.
func cut(s string, most int) string {
	if len(s) <= most || utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most])
}
