// Package httpapi puts wisdom's rules on HTTP: the table of routes, one file per
// capability with its inputs and outputs, and the guard that knows who asks. It
// decides nothing itself.
package httpapi

import "github.com/IntunoAI/intuno-go/internal/httpx"

// API is the capabilities that have routes.
type API struct {
	System   System
	Auth     Auth
	Admin    Admin
	Registry Registry
	Personal Personal
	A2A      A2A
	MCP      []httpx.Route // package mcpapi, which shows the same values
	Broker   Broker

	Conversation Conversation
	Integration  Integration
	Network      Network
}

// Routes is the whole table of wisdom.
func (a *API) Routes() []httpx.Route {
	var all []httpx.Route
	for _, routes := range [][]httpx.Route{
		a.System.routes(),
		a.Auth.routes(),
		a.Admin.routes(),
		a.Registry.routes(),
		a.Personal.routes(),
		a.A2A.routes(),
		a.MCP,
		a.Broker.routes(),
		a.Conversation.routes(),
		a.Integration.routes(),
		a.Network.routes(),
	} {
		all = append(all, routes...)
	}
	return all
}
