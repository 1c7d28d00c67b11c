package registry

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Change is what an owner may set. Nil keeps what is stored; "" clears Category and
// PricingStrategy, {} clears InputSchema, an empty list clears Tags.
type Change struct {
	Name            *string
	Description     *string
	Endpoint        *string
	AuthType        *string
	InputSchema     []byte // a JSON object
	Tags            []string
	Category        *string
	Visibility      *string
	PricingStrategy *string
	BasePrice       *float64
	PricingEnabled  *bool
	Streaming       *bool
	Active          *bool
	Branded         bool // a brand was asked for; there are none
}

// Registration is a Change of nothing: a new agent. Name and Description are set.
type Registration struct {
	Change
	HostedEntity *string // the name of an entity of the private host
}

// check is what a schema cannot state: the rules on endpoints and hosted entities.
func (r Registration) check(p principal.Principal) error {
	switch {
	case r.HostedEntity == nil && r.Endpoint == nil:
		return fault.InvalidField("missing", "is required", "body", "endpoint")
	case r.HostedEntity != nil && !p.Delegated():
		return fault.New(fault.Forbidden, "forbidden", "hosted_entity is for the entity host only")
	}
	return r.Change.check(r.HostedEntity != nil)
}

// check is what depends on the agent.
func (c Change) check(hosted bool) error {
	if hosted {
		if err := hostedFaults(c); err != nil {
			return err
		}
	}
	if c.Branded {
		return fault.New(fault.BadRequest, "bad_request", "brand_id must be null: there are no brands")
	}
	return nil
}

// hostedFaults: a hosted entity is reached through its host, without an address or a
// credential of its own.
func hostedFaults(c Change) error {
	var problems []fault.Problem
	if c.Endpoint != nil {
		problems = append(problems, wrong("endpoint", *c.Endpoint, "a hosted entity has no endpoint"))
	}
	if c.AuthType != nil && *c.AuthType != AuthPublic {
		problems = append(problems, wrong("auth_type", *c.AuthType, "must be public for a hosted entity"))
	}
	if problems == nil {
		return nil
	}
	return fault.Problems(problems...)
}

// wrong is one problem of a body; long values are not repeated (contract §1.3).
func wrong(field, value, msg string) fault.Problem {
	p := fault.Problem{Type: "value_error", Loc: []any{"body", field}, Msg: msg}
	if text, err := json.Marshal(value); err == nil && len(text) <= 200 {
		p.Input = value
	}
	return p
}

// agent is the new agent of owner, without a slug.
func (r Registration) agent(owner id.User, now time.Time) Agent {
	a := Agent{ID: id.New[id.Agent](), Owner: owner, Version: "1.0.0", AuthType: AuthPublic, Tags: []string{}, Visibility: Public,
		Trust: SelfSigned, Active: true, HostedEntity: r.HostedEntity, Created: now}
	if r.HostedEntity != nil {
		a.Visibility, a.Trust = Private, Hosted
	}
	a = r.apply(a, now)
	a.InputSchema = r.InputSchema // {} is a schema here: there is nothing to clear
	a.Updated, a.ContentChanged = now, now
	return a
}

// renew is what a repeated registration of a hosted entity makes of its agent: it has
// what is named, and is active again unless an administrator has disabled it. What is left out stays as the owner set it in the
// meantime.
func (r Registration) renew(stored Agent, now time.Time) Agent {
	active := true
	change := r.Change
	if stored.Disabled {
		stored.OwnerActive = true // this is no reason to switch it on
	} else {
		change.Active = &active
	}
	if !emptyObject(r.InputSchema) {
		return change.apply(stored, now)
	}
	change.InputSchema = nil // {} is a schema here, as in the first registration
	a := change.apply(stored, now)
	if !sameJSON(a.InputSchema, r.InputSchema) {
		a.InputSchema, a.Updated, a.ContentChanged = r.InputSchema, now, now
	}
	return a
}

// apply returns a with the change. Updated moves if anything did, ContentChanged only
// if something that discovery reads did.
func (c Change) apply(a Agent, now time.Time) Agent {
	before := a
	set(&a.Name, c.Name)
	set(&a.Description, c.Description)
	set(&a.AuthType, c.AuthType)
	set(&a.Visibility, c.Visibility)
	set(&a.PricingEnabled, c.PricingEnabled)
	set(&a.Streaming, c.Streaming)
	if a.Disabled && c.Active != nil && !*c.Active {
		a.OwnerActive = false
	}
	set(&a.Active, c.Active) // of a disabled agent: the store refuses it
	if c.Endpoint != nil {
		a.Endpoint = c.Endpoint
	}
	if c.BasePrice != nil {
		a.BasePrice = c.BasePrice
	}
	setOrClear(&a.Category, c.Category)
	setOrClear(&a.PricingStrategy, c.PricingStrategy)
	if c.Tags != nil {
		a.Tags = unique(c.Tags)
	}
	switch {
	case c.InputSchema == nil:
	case emptyObject(c.InputSchema):
		a.InputSchema = nil
	default:
		a.InputSchema = c.InputSchema
	}
	if !sameContent(before, a) {
		a.ContentChanged = now
	}
	if !reflect.DeepEqual(before, a) {
		a.Updated = now
	}
	return a
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

func setOrClear(field **string, value *string) {
	switch {
	case value == nil:
	case *value == "":
		*field = nil
	default:
		*field = value
	}
}

// unique keeps the first of equal tags. It never returns nil.
func unique(tags []string) []string {
	kept := make([]string, 0, len(tags))
	for _, tag := range tags {
		if !slices.Contains(kept, tag) {
			kept = append(kept, tag)
		}
	}
	return kept
}

func emptyObject(text []byte) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal(text, &members) == nil && len(members) == 0
}

// sameContent compares what discovery reads. The order of tags and of members of the
// schema is no content.
func sameContent(a, b Agent) bool {
	return a.Name == b.Name && a.Description == b.Description && reflect.DeepEqual(a.Category, b.Category) &&
		slices.Equal(slices.Sorted(slices.Values(a.Tags)), slices.Sorted(slices.Values(b.Tags))) &&
		sameJSON(a.InputSchema, b.InputSchema)
}

// SameOrigin tells whether two endpoints have the same scheme, host and port: what a
// credential was given for (RFC 6454 §4). None is an origin of its own.
func SameOrigin(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return origin(*a) == origin(*b)
}

// origin is the part of a checked URL that names whom it leads to. Default ports count
// as written out.
func origin(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme] // url.Parse lower-cases schemes
	}
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") + ":" + port
}

func sameJSON(a, b []byte) bool {
	return bytes.Equal(a, b) || len(a) > 0 && len(b) > 0 && reflect.DeepEqual(decoded(a), decoded(b))
}

func decoded(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return string(text)
	}
	return v
}
