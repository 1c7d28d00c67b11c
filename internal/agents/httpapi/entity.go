package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

type createInput struct {
	Key  httpx.IdempotencyKey `header:"Idempotency-Key"`
	Body createBody
}

type createBody struct {
	Name          string              `json:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	DisplayName   *string             `json:"display_name,omitempty" nullable:"false" minLength:"1" maxLength:"128"`
	Instructions  *string             `json:"instructions,omitempty" nullable:"false" maxLength:"32768"`
	Model         httpx.Opt[string]   `json:"model,omitzero" nullable:"true" minLength:"1" maxLength:"128"`
	Temperature   httpx.Opt[float64]  `json:"temperature,omitzero" nullable:"true" minimum:"0" maximum:"2"`
	Tools         httpx.Opt[[]string] `json:"tools,omitzero" nullable:"false" uniqueItems:"true" itemEnum:"discover_agents,invoke_agent,import_a2a_agent,networks,memory,clock"`
	MemoryEnabled *bool               `json:"memory_enabled,omitempty" nullable:"false"`
}

// once is the request's Idempotency-Key with a digest of its body. Two bodies have
// one digest if they are the same JSON: members are the ones that were sent, in a
// fixed order, and numbers are values, not spellings.
func once(key httpx.IdempotencyKey, members map[string]any) (entity.Once, error) {
	if key == "" {
		return entity.Once{}, nil
	}
	text, err := httpx.JSON(members)
	if err != nil {
		return entity.Once{}, fmt.Errorf("digest of the body: %w", err)
	}
	digest := sha256.Sum256(text)
	return entity.Once{Key: string(key), Fingerprint: hex.EncodeToString(digest[:])}, nil
}

// members are what the body has: an absent member and null differ.
func (b *createBody) members() map[string]any {
	m := map[string]any{"name": b.Name}
	put(m, "display_name", b.DisplayName)
	put(m, "instructions", b.Instructions)
	put(m, "memory_enabled", b.MemoryEnabled)
	putOpt(m, "model", b.Model)
	putOpt(m, "temperature", b.Temperature)
	putOpt(m, "tools", b.Tools)
	return m
}

func put[T any](m map[string]any, name string, v *T) {
	if v != nil {
		m[name] = *v
	}
}

func putOpt[T any](m map[string]any, name string, v httpx.Opt[T]) {
	if v.Null {
		m[name] = nil
	} else if v.Set {
		m[name] = v.Value
	}
}

func optional[T any](v httpx.Opt[T]) *T {
	if !v.Set || v.Null {
		return nil
	}
	return &v.Value
}

func (a *API) createEntity(ctx context.Context, p principal.Principal, in *createInput) (httpx.Reply, error) {
	b := &in.Body
	key, err := once(in.Key, b.members())
	if err != nil {
		return httpx.Reply{}, err
	}
	created, err := a.Entities.Create(ctx, p, entity.Draft{Name: b.Name, DisplayName: b.DisplayName, Instructions: b.Instructions,
		Model: optional(b.Model), Temperature: optional(b.Temperature), Tools: b.Tools.Value, MemoryEnabled: b.MemoryEnabled}, key)
	switch {
	case err != nil:
		return httpx.Reply{}, err
	case created.Refusal != nil:
		return httpx.Reply{}, repeat(created.Refusal)
	case created.Replayed:
		return httpx.Reply{Status: http.StatusCreated, Raw: created.Answer, Header: replayed()}, nil
	}
	return httpx.Reply{Raw: created.Answer}, nil
}

func (a *API) listEntities(ctx context.Context, p principal.Principal, _ *struct{}) ([]api.Entity, error) {
	found, err := a.Entities.List(ctx, p)
	if err != nil {
		return nil, err
	}
	list := make([]api.Entity, len(found))
	for i, e := range found {
		list[i] = wireEntity(e)
	}
	return list, nil
}

func (a *API) getEntity(ctx context.Context, p principal.Principal, in *named) (api.Entity, error) {
	e, err := a.Entities.Get(ctx, p, in.Name)
	return wireEntity(e), err
}

type patchInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Body patchBody
}

type patchBody struct {
	DisplayName   *string             `json:"display_name,omitempty" nullable:"false" minLength:"1" maxLength:"128"`
	Instructions  *string             `json:"instructions,omitempty" nullable:"false" maxLength:"32768"`
	Model         httpx.Opt[string]   `json:"model,omitzero" nullable:"true" minLength:"1" maxLength:"128"`
	Temperature   httpx.Opt[float64]  `json:"temperature,omitzero" nullable:"true" minimum:"0" maximum:"2"`
	Tools         httpx.Opt[[]string] `json:"tools,omitzero" nullable:"false" uniqueItems:"true" itemEnum:"discover_agents,invoke_agent,import_a2a_agent,networks,memory,clock"`
	MemoryEnabled *bool               `json:"memory_enabled,omitempty" nullable:"false"`
}

func (a *API) patchEntity(ctx context.Context, p principal.Principal, in *patchInput) (api.Entity, error) {
	b := &in.Body
	e, err := a.Entities.Patch(ctx, p, in.Name, entity.Patch{DisplayName: b.DisplayName, Instructions: b.Instructions,
		Model:       entity.Nullable[string]{Set: b.Model.Set, Value: optional(b.Model)},
		Temperature: entity.Nullable[float64]{Set: b.Temperature.Set, Value: optional(b.Temperature)},
		Tools:       optional(b.Tools), MemoryEnabled: b.MemoryEnabled})
	return wireEntity(e), err
}

func (a *API) deleteEntity(ctx context.Context, p principal.Principal, in *named) (httpx.None, error) {
	return httpx.None{}, a.Entities.Delete(ctx, p, in.Name)
}

type pauseInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Body *pauseBody
}

type pauseBody struct {
	Reason *string `json:"reason,omitempty" nullable:"true" maxLength:"280"`
}

func (a *API) pauseEntity(ctx context.Context, p principal.Principal, in *pauseInput) (api.Entity, error) {
	var reason *string
	if in.Body != nil {
		reason = in.Body.Reason
	}
	e, err := a.Entities.Pause(ctx, p, in.Name, reason)
	return wireEntity(e), err
}

func (a *API) resumeEntity(ctx context.Context, p principal.Principal, in *named) (api.Entity, error) {
	e, err := a.Entities.Resume(ctx, p, in.Name)
	return wireEntity(e), err
}
