package intuno

import (
	"context"
	"net/url"

	"github.com/IntunoAI/intuno-go/api"
)

// Private names two participants who have a network of their own.
type Private struct {
	Caller, Target string // names, which the two are found by

	// Of a network that has to be made:
	CallerType    string // default "agent"; a "persona" polls
	TargetAgentID string // the agent's id that Target is linked to; "": none
	// CallbackBaseURL is where both get webhooks, unless the caller is no agent:
	// CallbackBaseURL/agents/NAME/callback. "": nowhere.
	CallbackBaseURL string
}

// Channel is a network of two.
type Channel struct {
	NetworkID, CallerID, TargetID string
	// CallerSecret and TargetSecret are the webhook secrets, if the network was made.
	CallerSecret, TargetSecret string
}

// EnsureNetwork finds the active network of two participants by its name and theirs, and
// makes it if there is none: a second call finds the same ids. Callers that do so at the
// same time may make one each.
func (c *Client) EnsureNetwork(ctx context.Context, private Private) (Channel, error) {
	name := "private-" + private.Caller + "-" + private.Target
	for network, err := range c.AllNetworks(ctx, Page{}) {
		if err != nil {
			return Channel{}, err
		}
		if network.Name != name || network.Status != "active" {
			continue
		}
		found, err := c.channelOf(ctx, network.ID, private)
		if err != nil || found.CallerID != "" && found.TargetID != "" {
			return found, err
		}
	}
	metadata, err := Object(map[string]any{"purpose": "Channel: " + private.Caller + " <-> " + private.Target, "auto_created": true})
	if err != nil {
		return Channel{}, err
	}
	network, err := c.CreateNetwork(ctx, api.NewNetwork{Name: name, Metadata: metadata})
	if err != nil {
		return Channel{}, err
	}
	callback := func(name string) *string {
		if private.CallbackBaseURL == "" {
			return nil
		}
		u := private.CallbackBaseURL + "/agents/" + url.PathEscape(name) + "/callback"
		return &u
	}
	first := api.NewParticipant{Name: private.Caller, ParticipantType: private.CallerType, PollingEnabled: private.CallerType == "persona"}
	if private.CallerType == "" || private.CallerType == "agent" {
		first.CallbackURL = callback(private.Caller)
	}
	caller, err := c.JoinNetwork(ctx, network.ID, first)
	if err != nil {
		return Channel{}, err
	}
	second := api.NewParticipant{Name: private.Target, CallbackURL: callback(private.Target)}
	if private.TargetAgentID != "" {
		second.AgentID = &private.TargetAgentID
	}
	target, err := c.JoinNetwork(ctx, network.ID, second)
	if err != nil {
		return Channel{}, err
	}
	return Channel{network.ID, caller.ID, target.ID, caller.WebhookSecret, target.WebhookSecret}, nil
}

// channelOf looks for the two in a network. An id stays empty if one is not there.
func (c *Client) channelOf(ctx context.Context, network string, private Private) (Channel, error) {
	participants, err := c.Participants(ctx, network)
	if err != nil {
		return Channel{}, err
	}
	found := Channel{NetworkID: network}
	for _, p := range participants {
		switch {
		case p.Status != "active":
		case p.Name == private.Caller && found.CallerID == "":
			found.CallerID = p.ID
		case p.Name == private.Target && found.TargetID == "":
			found.TargetID = p.ID
		}
	}
	return found, nil
}
