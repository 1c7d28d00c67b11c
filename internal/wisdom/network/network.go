// Package network decides about communication networks: who takes part, who may say
// what to whom, what a participant is sent and how it is known to come from us, when a
// delivery is tried again and when it is given up.
//
// What is accepted is a row with its delivery beside it, in one transaction; what is due
// is claimed by lease, one recipient at a time, so a recipient gets its messages in
// order whatever dies in between (contract §6).
//
// Not here: agents and their credentials (registry), how bytes leave (Sender, A2A and
// Host, filled in by package wisdom), the loop that runs claimed work (internal/queue),
// and SQL (store).
package network

import (
	"context"
	"errors"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// Topologies say who may send to whom (contract §6.4).
const (
	Mesh   = "mesh"
	Star   = "star"
	Ring   = "ring"
	Custom = "custom"
)

// States of networks and participants.
const (
	Active       = "active"
	Paused       = "paused"       // network: deliveries are held
	Closed       = "closed"       // network: deliveries fail
	Disconnected = "disconnected" // participant: deliveries are held
	Removed      = "removed"      // participant: deliveries fail
)

// Channels.
const (
	Call    = "call"    // synchronous
	Push    = "message" // delivered by the queue
	Mailbox = "mailbox" // read by polling only
)

// States of messages.
const (
	Pending   = "pending"
	Delivered = "delivered"
	Read      = "read"
	Failed    = "failed"
)

// MaxDepth is how many calls and automatic replies may follow from one another (contract
// §10.7).
const MaxDepth = 8

// Network is a group of participants that belongs to one user. Empty Metadata is null.
type Network struct {
	ID       id.Network
	Owner    id.User
	Name     string
	Topology string
	Metadata []byte // a JSON object
	Status   string
	Revision int64 // grows with every change of it or of its participants
	Created  time.Time
	Updated  time.Time
}

// Participant is somebody in a network. Nil and empty are null.
type Participant struct {
	ID           id.Participant
	Network      id.Network
	Owner        id.User  // of the network
	Agent        id.Agent // "": none is linked
	Kind         string   // agent, persona or orchestrator
	Name         string   // never changes
	CallbackURL  *string
	Polling      bool
	Capabilities []byte // a JSON object
	Status       string
	Position     int64 // order of joining
	Secret       Secrets
	Created      time.Time
	Updated      time.Time
}

// Secrets sign what a participant is sent, as they are kept: sealed for the participant.
type Secrets struct {
	Sealed   []byte
	KeyID    string // of the key that sealed both
	Old      []byte // signs too until OldUntil; nil: there is none
	OldUntil time.Time
}

// State is a network with those who have not been removed from it, in the order in which
// they joined, all of one moment. It is shared: nobody may change it.
type State struct {
	Network
	Participants []Participant
}

// Message is something said in a network. Nil and empty are null.
type Message struct {
	ID        id.NetworkMessage
	Network   id.Network
	Seq       int64 // in its network: 1, 2, 3, ... without a gap
	Sender    id.Participant
	Recipient id.Participant // "": everybody who reads
	Channel   string
	Content   string
	Metadata  []byte // a JSON object
	Large     bool   // Content and Metadata are there but too large for a list; see Service.Whole
	InReplyTo id.NetworkMessage
	Status    string
	Depth     int // how many calls and messages led to it
	Created   time.Time
	Updated   time.Time
}

// Entry is a message as it is shown in a context.
type Entry struct {
	Message
	SenderName, RecipientName string // RecipientName is "" without a recipient
}

// DeadLetter is a message that was given up.
type DeadLetter struct {
	Message
	Attempts   int
	LastStatus int    // of HTTP; 0: there was none
	LastError  string // a fixed text
	FailedAt   time.Time
}

// Draft is a message to be stored. Its Seq is decided there.
type Draft struct {
	Message
	// Revision is what the network's must still be: what was checked holds at the moment
	// of the commit. 0: the network must be there, nothing else.
	Revision int64
	// Queue stores the delivery beside the message; Actor and Request are kept for its log.
	Queue   bool
	Actor   principal.Actor
	Request string
	// CallUntil is when a call that is still pending has failed; zero: it is no call.
	CallUntil time.Time
	// Answers is the pending call that this is the reply to: it becomes delivered. "": none.
	Answers id.NetworkMessage
	// Once means that a message of this id may be stored already: then that one is the answer.
	Once bool
	// Log is written with it, if not nil.
	Log *Log
}

// ErrStale says that the network has changed since what a Draft was checked against.
var ErrStale = errors.New("the network has changed")

// MessageQuery selects messages of a network. Zero values do not filter.
type MessageQuery struct {
	Channel       string
	Participant   id.Participant // either end
	Before, After id.NetworkMessage
	Descending    bool
	Limit, Offset int
}

// Store keeps networks. What is unknown, deleted, or not the owner's is fault.NotFound.
// Every write is durable when it returns. An edit is atomic with the reading of what it
// changes, and may run twice.
type Store interface {
	CreateNetwork(ctx context.Context, n Network) error
	// Networks lists the owner's, newest first.
	Networks(ctx context.Context, owner id.User, limit, offset int) ([]Network, error)
	// EditNetwork also has the queue look at all its deliveries again.
	EditNetwork(ctx context.Context, owner id.User, network id.Network, edit func(Network) Network) (Network, error)
	// DeleteNetwork makes it unknown at once. Purge removes the rest.
	DeleteNetwork(ctx context.Context, owner id.User, network id.Network, at time.Time) error
	// Purge removes a bounded part of what deleted networks left behind, and tells whether
	// there may be more.
	Purge(ctx context.Context) (more bool, err error)

	// State reads a network, whoever asks: the caller compares the owner.
	State(ctx context.Context, network id.Network) (State, error)
	// Join decides whether p may join while nobody else joins: admit sees the network and
	// how many are active, and whether p's agent is among them; its error comes back. It
	// gives p its position. fault.NotFound is of the network, or of p's agent.
	Join(ctx context.Context, p Participant, admit func(n Network, active int, joined bool) error) (Participant, error)
	// Participant finds one that may have been removed.
	Participant(ctx context.Context, owner id.User, network id.Network, p id.Participant) (Participant, error)
	// EditParticipant changes one under the same protection as Join; active and joined do
	// not count p itself. The queue looks at its deliveries again.
	EditParticipant(ctx context.Context, owner id.User, network id.Network, p id.Participant,
		edit func(n Network, p Participant, active int, joined bool) (Participant, error)) (Participant, error)
	// OtherwiseSealed lists participants whose secrets another key than keyID has sealed,
	// with an id after after. Reseal replaces them if they are still those of before.
	OtherwiseSealed(ctx context.Context, keyID string, after id.Participant, limit int) ([]Participant, error)
	Reseal(ctx context.Context, p id.Participant, before, after Secrets) (bool, error)

	// Post stores a message, with its delivery, in one transaction. ErrStale, or
	// fault.NotFound without a network.
	Post(ctx context.Context, d Draft) (Message, error)
	// FailCall makes a pending call failed, if it is still there, and writes log whether or
	// not it is; nil: there is none. FailCalls fails those that have run out.
	FailCall(ctx context.Context, network id.Network, message id.NetworkMessage, at time.Time, log *Log) error
	FailCalls(ctx context.Context, now time.Time) (int, error)

	// Inbox, Messages, LastEntries and DeadLetters leave out the contents of what would make
	// a long list too large for memory; Message has them.
	Inbox(ctx context.Context, owner id.User, p id.Participant, channel string, limit int) ([]Message, error)
	// Acknowledge makes messages of the network read, cancels their deliveries, and tells
	// how many of ids are in it.
	Acknowledge(ctx context.Context, owner id.User, network id.Network, ids []id.NetworkMessage, at time.Time) (int, error)
	// Messages is fault.NotFound also if Before or After is not in the network.
	Messages(ctx context.Context, owner id.User, network id.Network, q MessageQuery) ([]Message, error)
	Message(ctx context.Context, owner id.User, network id.Network, m id.NetworkMessage) (Message, error)
	// Entries reads the messages numbered from to to, both included, in order; LastEntries
	// the last ones.
	Entries(ctx context.Context, network id.Network, from, to int64) ([]Entry, error)
	LastEntries(ctx context.Context, network id.Network, limit int) ([]Entry, error)
	// DeadLetters lists what was given up, the last first.
	DeadLetters(ctx context.Context, owner id.User, network id.Network, limit, offset int) ([]DeadLetter, error)
	// Replay queues a dead letter again, with no attempts made. message_not_failed (409) if
	// it is none.
	Replay(ctx context.Context, owner id.User, network id.Network, m id.NetworkMessage, at time.Time) (Message, error)

	Queue
}

// Queue is the deliveries of all networks, by the lanes of their recipients.
type Queue interface {
	// Claim leases up to limit lanes that are due, of which up to failing are of recipients
	// whose last delivery failed. Lanes of the owners in not are left out. No other worker
	// gets them before lease.
	Claim(ctx context.Context, c Claim) ([]Lane, error)
	// Renew makes leases longer and returns the recipients of those that are still the worker's.
	Renew(ctx context.Context, worker string, lanes []id.Participant, lease time.Time) ([]id.Participant, error)
	// Load reads the first deliveries of a lane with a Seq above after, up to limit, with the
	// states of network and recipient, all of one moment. No jobs: there are none. If limit is
	// more than WholeJobs they come without Content and Metadata.
	// fault.NotFound: the network or the recipient is gone.
	Load(ctx context.Context, l Lane, after int64, limit int) (Load, error)
	// Settle writes what came of a lane's deliveries and gives it back, in one transaction.
	Settle(ctx context.Context, s Settlement) error
}

// WholeJobs is how many jobs of one Load have their Content and Metadata, at most: together
// those of hundreds may be too large for memory.
const WholeJobs = 16

// Claim says what a worker takes.
type Claim struct {
	Worker  string // random, of one process
	Now     time.Time
	Lease   time.Time
	Limit   int
	Failing int
	Not     []id.User
}

// Lane is the queue of one recipient, as a worker has it.
type Lane struct {
	Recipient id.Participant
	Network   id.Network
	Owner     id.User
	Worker    string // with this claim of it: what another claim left does not count as this one's
	Revision  int64  // of changes that ask for a new look
	Posts     int64  // that were ever queued
	Failing   bool
}

// Load is the beginning of a lane. Network and Recipient are as they are now, without
// Metadata and Capabilities.
type Load struct {
	// Lane is as it was at that moment. Who gives back this one, and not the one that was
	// claimed, has it due again only for what came later. Its Revision is as it was given to
	// Load if that asked for a part: a delivery before it may have been queued again.
	Lane      Lane
	Network   Network
	Recipient Participant
	Jobs      []Job // by Seq
}

// Job is a message to be delivered.
type Job struct {
	Message
	SenderStatus string // of the participant
	Attempts     int    // made before
	Actor        principal.Actor
	Request      string
}

// Settlement is what came of a lane, or of a part of it.
type Settlement struct {
	Lane
	At   time.Time
	Done []Outcome // in the order of the lane
	// Keep means that the lane stays leased: only Done is written. Otherwise it is given
	// back: it is due again at Due, zero is never; or at once if its revision has grown, or
	// if Due is zero and there were more posts.
	// Of a lane that the worker has lost nothing is written but what was delivered, and logs.
	Keep    bool
	Due     time.Time
	Failing bool
}

// Ends of a delivery for now.
const (
	Succeeded Ending = iota // delivered
	Retried                 // failed, to be tried again
	GivenUp                 // failed, becomes a dead letter
	Dropped                 // there is nobody to push to any more: it stays pending, for polling
)

// Ending says what becomes of a delivery.
type Ending uint8

// Outcome is what came of one delivery.
type Outcome struct {
	Message  id.NetworkMessage
	Seq      int64
	Ending   Ending
	Attempts int    // made by now
	Status   int    // of HTTP; 0: there was none
	Error    string // a fixed text
	Logs     []Log  // of the attempts since the last settlement that are to be logged
}

// Log is a row of the invocation log of kind network: the agent was reached, or ours.
type Log struct {
	Caller    id.User // the owner of the network
	Actor     principal.Actor
	Agent     registry.Agent
	Message   id.NetworkMessage
	Channel   string
	Length    int // of the content, characters
	Success   bool
	Status    int
	Code      string // error_code of contract §5.2 and §5.4; "" on success
	LatencyMS int64
	Reached   bool // it counts in the figures of the agent
	Refused   bool // nobody was asked: Code is one of contract §5.2
	RequestID string
	At        time.Time
}

// What an attempt to send can die of, besides a 400 unsafe_url fault and the end of the
// caller's context.
var (
	ErrUnreachable = errors.New("the receiver cannot be reached") // DNS, connect, TLS, broken answer
	ErrDeadline    = errors.New("the receiver did not answer in time")
	ErrTooLarge    = errors.New("the answer of the receiver is larger than allowed")
	ErrRefused     = errors.New("the agent reported an error or a failed task") // A2A
)

// Outgoing is a POST to a third party. Its deadline is that of the context.
type Outgoing struct {
	URL    string
	Header map[string]string
	Body   []byte
	// MaxBody bounds the answer, in bytes after decompression. 0: the answer is its status,
	// and whatever body it has does not matter.
	MaxBody int64
}

// Answer is what a receiver answered, whatever its status.
type Answer struct {
	Status     int
	Body       []byte
	RetryAfter time.Duration // what the receiver asked for; 0: nothing
}

// Sender is the way to third parties: it obeys contract §16.
type Sender interface {
	Send(ctx context.Context, o Outgoing) (Answer, error)
}

// A2A sends to agents that were imported from a card (contract §8.4). Its answers have
// status 200 and the object of that section, or the status that the agent gave.
type A2A interface {
	Send(ctx context.Context, to registry.Callee, message id.NetworkMessage, requestID string, payload []byte) (Answer, error)
}

// HostDelivery is something for a hosted entity (contract §10.7).
type HostDelivery struct {
	Kind      string // Call or Push
	ID        id.NetworkMessage
	Owner     id.User // of the entity
	Entity    string
	Caller    id.User
	Depth     int
	RequestID string
	Payload   []byte // a JSON object
}

// Host is wisdom-agents: the only way to hosted entities. An answer of 200 has the body
// {"content": string or null}.
type Host interface {
	DeliverMessage(ctx context.Context, d HostDelivery) (Answer, error)
}

// Agents knows the agents that are linked to participants. What it says is at most a
// second old.
type Agents interface {
	// Linked finds an agent, also one that is gone: then it is the zero value.
	Linked(ctx context.Context, viewer id.User, agent id.Agent) (Link, error)
}

// Link is a linked agent as the owner of a network may use it: registry.Callees.
type Link = registry.Link

// Owners are the users whose networks there are.
type Owners interface {
	// Active is fault.NotFound for one who is unknown or was deactivated. At most a second
	// late.
	Active(ctx context.Context, owner id.User) error
}

// Platform can be halted by an administrator.
type Platform interface {
	// Running is a 503 platform_halted fault while the platform is halted. At most a
	// second late.
	Running(ctx context.Context) error
}

// URLs tells whether a URL may be contacted, asking name servers for at most 2 s; if not,
// 400 unsafe_url (contract §16).
type URLs interface {
	Check(ctx context.Context, rawURL string) error
}
