// Package principal says who asks. A Principal is made by one place only, the
// authentication of a request, and from then on is a parameter of every rule: it
// never travels in a context.
package principal

import (
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// Via is the credential by which a request acts.
type Via uint8

// The ways to act. Anonymous is the zero value: a forgotten principal owns nothing.
const (
	Anonymous  Via = iota
	JWT            // a verified access token
	APIKey         // a verified API key
	Delegation     // a service key acting on behalf of a user
	Host           // wisdom asking wisdom-agents for a user
	Callback       // a signed URL that was given to a participant of a network
)

// Service is the one service that may act for users.
const Service = "wisdom-agents"

// Principal is the user for whom a request acts, and by what right.
type Principal struct {
	User        id.User
	Via         Via
	Key         id.APIKey      // the API key, if Via is APIKey
	Integration id.Integration // that the API key is for; "": none
	Token       string         // the token's jti, if Via is JWT
	Expires     time.Time      // when the token ends, if Via is JWT
	Admin       bool           // the user has the admin flag; never true for Delegation
	Depth       int            // call depth (X-Invocation-Depth), only on the service path
	Request     string         // the request id, for records that must name their request

	Network     id.Network     // that a signed URL is for, if Via is Callback; then User is ""
	Participant id.Participant // the same
}

// Actor is what acted, as it is recorded beside the subject.
type Actor struct {
	Type string // "user", "api_key" or "service"
	ID   string
}

// Actor returns what acted: the user, one of the user's keys, or the service. A signed
// URL names nobody: whoever records what came of it says for whom it was given out.
func (p Principal) Actor() Actor {
	switch p.Via {
	case Callback:
		return Actor{}
	case APIKey:
		return Actor{"api_key", string(p.Key)}
	case Delegation:
		return Actor{"service", Service}
	case Host:
		return Actor{"service", "wisdom"}
	default:
		return Actor{"user", string(p.User)}
	}
}

// Delegated reports whether a service acts for the user.
func (p Principal) Delegated() bool { return p.Via == Delegation }
