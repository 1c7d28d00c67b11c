package network

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/recent"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/underway"
)

// SecretPurpose is what the keys that seal webhook secrets are derived for.
const SecretPurpose = "webhook-secrets"

// Config is what a Service needs.
type Config struct {
	Store    Store
	Agents   Agents
	Owners   Owners
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
	Poll            time.Duration  // between two looks for what is due, if nobody here has made it so; 0: 500 ms

	// Ended is told how every attempt at a delivery and every call ended. Nil: nobody is.
	Ended func(channel string, success bool)
}

// Service decides about networks and delivers what is said in them. It is safe for
// concurrent use.
type Service struct {
	config   Config
	states   *recent.Cache[State] // by id, without what no check and no delivery needs
	windows  *windows
	underway underway.Calls
	slots    *underway.Slots[id.Participant] // of calls
	carrier  *carrier
}

// statesKept bounds the networks that are remembered.
const statesKept = 4096

// New returns a Service. Run delivers.
func New(c Config) *Service {
	c.MaxParticipants = cmp.Or(c.MaxParticipants, 50)
	c.CallTimeout = cmp.Or(c.CallTimeout, 25*time.Second)
	c.Attempts = cmp.Or(c.Attempts, 8)
	c.Backoff = cmp.Or(c.Backoff, 2*time.Second)
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 30*time.Second)
	c.ChatTimeout = cmp.Or(c.ChatTimeout, 60*time.Second)
	c.Poll = cmp.Or(c.Poll, 500*time.Millisecond)
	s := &Service{config: c, states: recent.New[State](c.Now, statesKept), windows: newWindows(c.Store.Entries),
		slots: underway.NewSlots[id.Participant](callsAtOnce)}
	s.carrier = newCarrier(s)
	return s
}
