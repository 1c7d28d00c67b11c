package httpapi

import (
	"context"
	"net/http"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

type memoriesInput struct {
	Name   string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Prefix string `query:"prefix"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"100"`
	After  string `query:"after"`
}

func (a *API) listMemories(ctx context.Context, p principal.Principal, in *memoriesInput) ([]api.Memory, error) {
	of, err := a.Memories.Find(ctx, p, in.Name)
	if err != nil {
		return nil, err
	}
	page, err := a.Memories.List(ctx, of, memory.Query{Prefix: in.Prefix, After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	list := make([]api.Memory, len(page))
	for i, m := range page {
		list[i] = wireMemory(m)
	}
	return list, nil
}

func (a *API) deleteMemories(ctx context.Context, p principal.Principal, in *named) (httpx.None, error) {
	of, err := a.Memories.Find(ctx, p, in.Name)
	if err != nil {
		return httpx.None{}, err
	}
	return httpx.None{}, a.Memories.Clear(ctx, of)
}

// keyed is the input of a route about one memory.
type keyed struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Key  string `path:"key" pattern:"^[a-z0-9][a-z0-9._-]{0,127}$"`
}

func (a *API) getMemory(ctx context.Context, p principal.Principal, in *keyed) (api.Memory, error) {
	of, err := a.Memories.Find(ctx, p, in.Name)
	if err != nil {
		return api.Memory{}, err
	}
	m, err := a.Memories.Get(ctx, of, in.Key)
	return wireMemory(m), err
}

type putMemoryInput struct {
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$"`
	Key  string `path:"key" pattern:"^[a-z0-9][a-z0-9._-]{0,127}$"`
	Body putMemoryBody
}

type putMemoryBody struct {
	Value string `json:"value" minLength:"1" maxLength:"8192"`
}

func (a *API) putMemory(ctx context.Context, p principal.Principal, in *putMemoryInput) (httpx.Reply, error) {
	of, err := a.Memories.Find(ctx, p, in.Name)
	if err != nil {
		return httpx.Reply{}, err
	}
	m, isNew, err := a.Memories.Put(ctx, of, in.Key, in.Body.Value, memory.ByUser)
	status := http.StatusOK
	if isNew {
		status = http.StatusCreated
	}
	return httpx.Reply{Status: status, JSON: wireMemory(m)}, err
}

func (a *API) deleteMemory(ctx context.Context, p principal.Principal, in *keyed) (httpx.None, error) {
	of, err := a.Memories.Find(ctx, p, in.Name)
	if err != nil {
		return httpx.None{}, err
	}
	return httpx.None{}, a.Memories.Delete(ctx, of, in.Key)
}
