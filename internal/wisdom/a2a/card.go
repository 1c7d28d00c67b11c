package a2a

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	spec03 "github.com/a2aproject/a2a-go/a2a"
	spec "github.com/a2aproject/a2a-go/v2/a2a"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

const (
	maxDepth  = 64  // levels of a card, as of a request (contract §1.2)
	maxSkills = 256 // of one card
	maxMember = 200 // characters of a member's path that a fault repeats
)

// card is what contract §8.3 reads of an agent card, of both generations of the
// protocol and of what was there before. Where a member is of the standard, its type
// is the official module's; what is not named here is not looked at. null is absent.
type card struct {
	Name               string                 `json:"name"`
	Description        string                 `json:"description"`
	Version            string                 `json:"version"`
	ProtocolVersion    spec.ProtocolVersion   `json:"protocolVersion"`
	URL                string                 `json:"url"`
	PreferredTransport spec.TransportProtocol `json:"preferredTransport"`
	Supported          []spec.AgentInterface  `json:"supportedInterfaces"`
	Additional         []additional           `json:"additionalInterfaces"`
	Capabilities       spec.AgentCapabilities `json:"capabilities"`
	Skills             []skill                `json:"skills"`
	SecuritySchemes    map[string]scheme      `json:"securitySchemes"`

	// Of no standard, or of one before 0.3.
	Authentication struct {
		Schemes []string `json:"schemes"`
	} `json:"authentication"`
	InvokeEndpoint string `json:"invoke_endpoint"`
	Endpoint       string `json:"endpoint"`
}

// skill is the members of a skill that both generations write alike. The module's type
// would refuse a card for securityRequirements, which 1.0 writes in two ways.
type skill struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	Examples    []string `json:"examples"`
	InputModes  []string `json:"inputModes"`
	OutputModes []string `json:"outputModes"`
}

// additional is an interface of 0.3. Some name the version that is spoken there.
type additional struct {
	spec03.AgentInterface
	ProtocolVersion spec.ProtocolVersion `json:"protocolVersion"`
}

// scheme is a security scheme: of 0.3, which names its type, or of 1.0, which has one
// member per type. The modules' own types are no use here: they refuse the whole card
// for a type they do not know, and for an OAuth2 scheme with two flows, which 0.3 allows.
type scheme struct {
	Type   string `json:"type"`
	In     string `json:"in"`     // of apiKey
	Scheme string `json:"scheme"` // of http

	APIKey *spec.APIKeySecurityScheme   `json:"apiKeySecurityScheme"`
	HTTP   *spec.HTTPAuthSecurityScheme `json:"httpAuthSecurityScheme"`
	OAuth2 *struct{}                    `json:"oauth2SecurityScheme"`
	OpenID *struct{}                    `json:"openIdConnectSecurityScheme"`
}

// readCard reads what a server answered. ok is whether it is a card at all: a JSON
// object with the member name or skills. A card that is not as it should be is a
// card_invalid fault.
func readCard(text []byte) (c card, ok bool, err error) {
	if !looksLikeCard(text) {
		return card{}, false, nil
	}
	if err := checkText(text); err != nil {
		return card{}, true, err
	}
	if err := jsonv2.Unmarshal(text, &c); err != nil {
		return card{}, true, oddMember(err)
	}
	if len(c.Skills) > maxSkills {
		return card{}, true, invalid("skills has %d items; at most %d are accepted", len(c.Skills), maxSkills)
	}
	return c, true, nil
}

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.BadRequest, "card_invalid", "the agent card cannot be used: "+format, args...)
}

// looksLikeCard takes whatever a lenient reader would take for a card, so that a
// mistake in a card is told and not passed over.
func looksLikeCard(text []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' {
		return false
	}
	named := false
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return false
		}
		named = named || name.String() == "name" || name.String() == "skills"
		if d.SkipValue() != nil {
			return false
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	_, err := d.ReadToken()
	return named && errors.Is(err, io.EOF)
}

// checkText holds a card to the JSON of contract §1.2.
func checkText(text []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		tok, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, jsontext.ErrDuplicateName):
			return invalid("a member occurs twice")
		case err != nil:
			return invalid("its text is not valid UTF-8")
		case d.StackDepth() > maxDepth:
			return invalid("it is nested deeper than %d levels", maxDepth)
		case tok.Kind() == '"' && strings.ContainsRune(tok.String(), 0):
			return invalid("a string contains the character U+0000")
		}
	}
}

// oddMember tells which member of a card has another type than it should.
func oddMember(err error) error {
	var odd *jsonv2.SemanticError
	if !errors.As(err, &odd) {
		return invalid("it cannot be read").Because(err)
	}
	return invalid("%s %s", memberName(odd.JSONPointer), wanted(odd.GoType)).Because(err)
}

// memberName spells a pointer as programs do: skills[3].name.
func memberName(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		switch {
		case strings.Trim(token, "0123456789") == "" && token != "":
			fmt.Fprintf(&b, "[%s]", token)
		case b.Len() > 0:
			b.WriteByte('.')
			fallthrough
		default:
			b.WriteString(token)
		}
	}
	return cut(b.String(), maxMember)
}

func wanted(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil {
		switch t.Kind() {
		case reflect.String:
			return "must be a string"
		case reflect.Bool:
			return "must be true or false"
		case reflect.Slice:
			return "must be a list of the items that the A2A standard names"
		case reflect.Struct, reflect.Map:
			return "must be an object"
		}
	}
	return "has another type than the A2A standard gives it"
}
