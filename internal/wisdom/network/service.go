package network

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// SecretPurpose is what the keys that seal webhook secrets are derived for.
const SecretPurpose = "webhook-secrets"

// Config is what a Service needs.
type Config struct {
	Store    Store
	Agents   Agents
	Platform Platform
	URLs     URLs
	Sender   Sender
	A2A      A2A
	Host     Host

	Keys      *secret.Keyring // for SecretPurpose
	Callbacks secret.String   // signs reply URLs (contract §6.7)
	BaseURL   string          // public origin, without a slash at the end

	Now clock.Now
	Log *slog.Logger

	MaxParticipants int            // active ones of a network; 0: 50
	CallTimeout     time.Duration  // of a call in all; 0: 25 s
	Attempts        int            // of a delivery in all; 0: 8
	Backoff         time.Duration  // before the second attempt, then doubled up to 300 s; 0: 2 s
	AttemptTimeout  time.Duration  // of one attempt; 0: 30 s
	ChatTimeout     time.Duration  // of one attempt at a hosted entity; 0: 60 s
	Jitter          func() float64 // in [0,1); nil: random

	// Ended is told how every attempt at a delivery and every call ended. Nil: nobody is.
	Ended func(channel string, success bool)
}

// Service decides about networks and delivers what is said in them. It is safe for
// concurrent use.
type Service struct {
	config Config
}

// New returns a Service. Run delivers.
func New(c Config) *Service {
	c.MaxParticipants = cmp.Or(c.MaxParticipants, 50)
	return &Service{c}
}

var errUnbuilt = errors.New("not built")

// NewNetwork is what a network is made from. The edge has checked the bounds of contract
// §1.2.
type NewNetwork struct {
	Name     string
	Topology string // "": mesh
	Metadata []byte
}

// Patch changes a network; nil keeps what is there.
type Patch struct {
	Name, Topology, Status *string
	Metadata               []byte
}

// NewParticipant is what a participant is made from.
type NewParticipant struct {
	Name         string
	Agent        id.Agent // "": none
	Kind         string   // "": agent
	CallbackURL  *string
	Polling      bool
	Capabilities []byte
}

// ParticipantPatch changes a participant; nil keeps what is there.
type ParticipantPatch struct {
	CallbackURL  *string // "" clears it
	Polling      *bool
	Capabilities []byte
	Status       *string
}

// Saying is something that one participant says to another.
type Saying struct {
	Sender, Recipient id.Participant // Recipient may be "" in a callback only
	Channel           string         // in a callback only
	Content           string
	Metadata          []byte            // a JSON object; nil: null
	InReplyTo         id.NetworkMessage // in a callback only; "": nothing
}

// CallResult is the answer to a call.
type CallResult struct {
	Message  id.NetworkMessage // outgoing
	Response []byte            // JSON
}

// Create makes a network of p's user.
func (s *Service) Create(ctx context.Context, p principal.Principal, n NewNetwork) (Network, error) {
	return Network{}, errUnbuilt
}

// List returns the networks of p's user, newest first.
func (s *Service) List(ctx context.Context, p principal.Principal, limit, offset int) ([]Network, error) {
	return nil, errUnbuilt
}

// Get finds a network of p's user. Fault: NotFound.
func (s *Service) Get(ctx context.Context, p principal.Principal, network id.Network) (Network, error) {
	return Network{}, errUnbuilt
}

// Edit changes a network of p's user. Fault: NotFound.
func (s *Service) Edit(ctx context.Context, p principal.Principal, network id.Network, patch Patch) (Network, error) {
	return Network{}, errUnbuilt
}

// Delete removes a network of p's user with everything in it. Fault: NotFound.
func (s *Service) Delete(ctx context.Context, p principal.Principal, network id.Network) error {
	return errUnbuilt
}

// Join adds a participant and returns the secret of its webhooks, which nobody is shown
// again. Faults, in this order: NotFound, network_not_active (400), unsafe_url (400),
// NotFound of the agent, agent_inactive (400), agent_already_joined and
// participant_limit_reached (409).
func (s *Service) Join(ctx context.Context, p principal.Principal, network id.Network, n NewParticipant) (Participant, secret.String, error) {
	return Participant{}, secret.String{}, errUnbuilt
}

// Participants lists those who are active, in the order in which they joined. Fault:
// NotFound.
func (s *Service) Participants(ctx context.Context, p principal.Principal, network id.Network) ([]Participant, error) {
	return nil, errUnbuilt
}

// EditParticipant changes a participant. Faults: NotFound, unsafe_url (400), and those of
// Join if it becomes active.
func (s *Service) EditParticipant(ctx context.Context, p principal.Principal, network id.Network, who id.Participant, patch ParticipantPatch) (Participant, error) {
	return Participant{}, errUnbuilt
}

// Remove removes a participant; once more changes nothing. Fault: NotFound.
func (s *Service) Remove(ctx context.Context, p principal.Principal, network id.Network, who id.Participant) error {
	return errUnbuilt
}

// RotateSecret gives a participant a new webhook secret; the old one signs too until the
// returned time, 24 h from now. Fault: NotFound.
func (s *Service) RotateSecret(ctx context.Context, p principal.Principal, network id.Network, who id.Participant) (secret.String, time.Time, error) {
	return secret.String{}, time.Time{}, errUnbuilt
}

// Call says something and waits for the answer (contract §6.5).
func (s *Service) Call(ctx context.Context, p principal.Principal, network id.Network, say Saying) (CallResult, error) {
	return CallResult{}, errUnbuilt
}

// Send stores a message and its delivery (contract §6.6).
func (s *Service) Send(ctx context.Context, p principal.Principal, network id.Network, say Saying) (Message, error) {
	return Message{}, errUnbuilt
}

// Mail stores a message that is never pushed.
func (s *Service) Mail(ctx context.Context, p principal.Principal, network id.Network, say Saying) (Message, error) {
	return Message{}, errUnbuilt
}

// Inbox lists what a participant has not read, oldest first; "" is every channel. Fault:
// NotFound.
func (s *Service) Inbox(ctx context.Context, p principal.Principal, network id.Network, who id.Participant, channel string, limit int) ([]Message, error) {
	return nil, errUnbuilt
}

// Acknowledge makes messages read and tells how many of ids are in the network. Fault:
// NotFound.
func (s *Service) Acknowledge(ctx context.Context, p principal.Principal, network id.Network, ids []id.NetworkMessage) (int, error) {
	return 0, errUnbuilt
}

// Messages lists what was said. Fault: NotFound.
func (s *Service) Messages(ctx context.Context, p principal.Principal, network id.Network, q MessageQuery) ([]Message, error) {
	return nil, errUnbuilt
}

// Context lists the last things said, in order. Fault: NotFound.
func (s *Service) Context(ctx context.Context, p principal.Principal, network id.Network, limit int) ([]Entry, error) {
	return nil, errUnbuilt
}

// DeadLetters lists what was given up, the last first. Fault: NotFound.
func (s *Service) DeadLetters(ctx context.Context, p principal.Principal, network id.Network, limit, offset int) ([]DeadLetter, error) {
	return nil, errUnbuilt
}

// Replay begins a new round of attempts. Faults: NotFound, message_not_failed (409).
func (s *Service) Replay(ctx context.Context, p principal.Principal, network id.Network, m id.NetworkMessage) (Message, error) {
	return Message{}, errUnbuilt
}

// Verify checks the signature of a reply URL, as it stands in the query, and returns who
// holds it. The ids are those of the path. Fault: signature_invalid (403).
func (s *Service) Verify(network id.Network, who id.Participant, sig, exp string) (principal.Principal, error) {
	return principal.Principal{}, errUnbuilt
}

// Callback says something for the holder of a signed URL: p is what Verify returned
// (contract §6.7).
func (s *Service) Callback(ctx context.Context, p principal.Principal, say Saying) (Message, error) {
	return Message{}, errUnbuilt
}

// Run delivers, and does what else there is to do in the background, until ctx ends.
func (s *Service) Run(ctx context.Context) error { return errUnbuilt }
