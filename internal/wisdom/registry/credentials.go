package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// CredentialPurpose is what the keys of a Vault are derived for.
const CredentialPurpose = "agent-credentials"

// ErrNoCredential says that a call to an agent cannot be authenticated: nothing is
// stored for it, or no key that is configured opens what is.
var ErrNoCredential = errors.New("no usable credential")

// Credential is what an agent wants to see from its callers.
type Credential struct {
	Type   string // AuthAPIKey or AuthBearerToken
	Value  secret.String
	Header *string // the header it is sent in; nil: the usual one of Type
	Scheme *string // the word before the value; nil: the usual one of Type, "": none
}

// Line is the header that the credential travels in (contract §5.3).
func (c Credential) Line() (name, value string) {
	name, scheme := "X-API-Key", ""
	if c.Type == AuthBearerToken {
		name, scheme = "Authorization", "Bearer"
	}
	if c.Header != nil {
		name = *c.Header
	}
	if c.Scheme != nil {
		scheme = *c.Scheme
	}
	if scheme == "" {
		return name, c.Value.Reveal()
	}
	return name, scheme + " " + c.Value.Reveal()
}

// SealedCredential is a Credential as it is kept.
type SealedCredential struct {
	Agent  id.Agent
	Type   string
	Sealed []byte // the value, for this agent and type
	KeyID  string // of the key that sealed it
	Header *string
	Scheme *string
}

// CredentialStore keeps sealed credentials, one for each agent and type.
type CredentialStore interface {
	// OwnedAgent, PutCredential and DeleteCredentials are fault.NotFound if the agent
	// is not the owner's. The agent knows afterwards which types are stored.
	OwnedAgent(ctx context.Context, owner id.User, agent id.Agent) (Agent, error)
	PutCredential(ctx context.Context, owner id.User, c SealedCredential, at time.Time) error
	DeleteCredentials(ctx context.Context, owner id.User, agent id.Agent, at time.Time) error
	// Credential is fault.NotFound if there is none of that type.
	Credential(ctx context.Context, agent id.Agent, typ string) (SealedCredential, error)
	// OtherwiseSealed lists credentials that another key than keyID has sealed, after
	// one of them, in an order of its own.
	OtherwiseSealed(ctx context.Context, keyID string, after SealedCredential, limit int) ([]SealedCredential, error)
	// Reseal replaces what is sealed in before by what is in after. False: it is not
	// what is stored any more, and nothing was written.
	Reseal(ctx context.Context, before, after SealedCredential) (bool, error)
}

// VaultConfig is what a Vault needs.
type VaultConfig struct {
	Store   CredentialStore
	Keys    *secret.Keyring
	Changed func(context.Context) // called after what an agent shows has changed
	Now     clock.Now
	Log     *slog.Logger
}

// Vault keeps the credentials of agents: only here are they ever opened, and only to be
// sent to their agent. It is safe for concurrent use.
type Vault struct{ VaultConfig }

// NewVault returns a Vault.
func NewVault(c VaultConfig) *Vault { return &Vault{c} }

// Put stores c for p's agent in place of what was stored of its type. The agent's
// updated_at stays: strangers see it.
//
// Faults: Invalid, also for a hosted entity, which is called without a credential, and
// NotFound if the agent is not p's.
func (v *Vault) Put(ctx context.Context, p principal.Principal, agent id.Agent, c Credential) error {
	if err := c.check(); err != nil {
		return err
	}
	a, err := v.Store.OwnedAgent(ctx, p.User, agent)
	if err == nil && a.HostedEntity != nil {
		return fault.InvalidField("value_error", "a hosted entity has no credentials", "body", "credential_type")
	}
	if err == nil {
		err = v.Store.PutCredential(ctx, p.User, v.seal(SealedCredential{Agent: agent, Type: c.Type, Header: c.Header, Scheme: c.Scheme}, c.Value), v.Now())
	}
	if err != nil {
		return fmt.Errorf("store a credential: %w", err)
	}
	v.Changed(ctx)
	return nil
}

// Delete removes every credential of p's agent. NotFound if it is not p's.
func (v *Vault) Delete(ctx context.Context, p principal.Principal, agent id.Agent) error {
	if err := v.Store.DeleteCredentials(ctx, p.User, agent, v.Now()); err != nil {
		return fmt.Errorf("delete credentials: %w", err)
	}
	v.Changed(ctx)
	return nil
}

// For opens the credential that a call to agent is made with. It is for those who call
// agents, whoever asked them to, and for no answer. ErrNoCredential if there is none
// that can be used.
func (v *Vault) For(ctx context.Context, agent id.Agent, typ string) (Credential, error) {
	sealed, err := v.Store.Credential(ctx, agent, typ)
	if fault.Is(err, fault.NotFound) {
		return Credential{}, fmt.Errorf("%s of agent %s: %w", typ, agent, ErrNoCredential)
	}
	if err != nil {
		return Credential{}, fmt.Errorf("read the %s of agent %s: %w", typ, agent, err)
	}
	value, err := v.open(sealed)
	if err != nil {
		return Credential{}, fmt.Errorf("%w: %w", ErrNoCredential, err)
	}
	return Credential{Type: typ, Value: value, Header: sealed.Header, Scheme: sealed.Scheme}, nil
}

func (v *Vault) seal(c SealedCredential, value secret.String) SealedCredential {
	c.Sealed, c.KeyID = v.Keys.Seal(value, string(c.Agent), c.Type), v.Keys.KeyID()
	return c
}

func (v *Vault) open(c SealedCredential) (secret.String, error) {
	value, err := v.Keys.Open(c.Sealed, string(c.Agent), c.Type)
	if err != nil {
		return value, fmt.Errorf("open the %s of agent %s: %w", c.Type, c.Agent, err)
	}
	return value, nil
}

const (
	resealBatch = 100
	resealEvery = time.Hour // processes with the keys of before may still store some
	resealRetry = 5 * time.Second
)

// Run seals once more, with the current key, what another has sealed, at once and then
// every hour until ctx ends. It tells when that is done, and what cannot be opened.
func (v *Vault) Run(ctx context.Context) error {
	first, failing, unreadable := true, false, 0
	for {
		wait := resealEvery
		done, err := v.resealAll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if !failing {
				v.Log.Error("credentials cannot be sealed with the current key", "error", err)
			}
			failing, wait = true, resealRetry
		case first || failing || done.resealed > 0 || done.unreadable != unreadable:
			v.tell(done)
			first, failing, unreadable = false, false, done.unreadable
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (v *Vault) tell(done resealing) {
	if done.unreadable > 0 {
		v.Log.Error("some credentials cannot be opened: is a key missing from CREDENTIALS_ENCRYPTION_KEY?", "key_id", v.Keys.KeyID(),
			"resealed", done.resealed, "unreadable", done.unreadable, "example", done.example)
		return
	}
	v.Log.Info("every credential is sealed with the current key", "key_id", v.Keys.KeyID(), "resealed", done.resealed)
}

type resealing struct {
	resealed   int
	unreadable int
	example    error // why one of the unreadable ones is
}

// resealAll goes through the credentials that another key has sealed. Several processes
// may do so at once, while others are stored.
func (v *Vault) resealAll(ctx context.Context) (done resealing, err error) {
	var after SealedCredential
	for {
		list, err := v.Store.OtherwiseSealed(ctx, v.Keys.KeyID(), after, resealBatch)
		if err != nil {
			return done, fmt.Errorf("list credentials: %w", err)
		}
		if len(list) == 0 {
			return done, nil
		}
		for _, c := range list {
			value, err := v.open(c)
			if err != nil {
				done.unreadable, done.example = done.unreadable+1, err
				continue
			}
			written, err := v.Store.Reseal(ctx, c, v.seal(c, value))
			if err != nil {
				return done, fmt.Errorf("store a credential: %w", err)
			}
			if written {
				done.resealed++
			}
		}
		after = list[len(list)-1]
	}
}

// Bounds of a credential, contract §4.3, in characters. A header's name is as long as
// any name may be (§1.2).
const (
	maxCredential = 8192
	maxHeaderName = 255
	maxAuthScheme = 64
)

// reservedHeaders are not for credentials: they steer the connection, say what the
// body is, or mean something to us (contract §4.3). * stands for any end.
var reservedHeaders = []string{
	"host", "connection", "content-*", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "expect", "accept*", "cookie", "proxy-*",
	"forwarded", "x-forwarded-*", "x-request-id", "x-service-key", "x-on-behalf-of", "x-user-id", "user-agent", "webhook-*", "sec-*",
}

// check is the rules of contract §4.3. What it says never repeats the value.
func (c Credential) check() error {
	var problems []fault.Problem
	if c.Type != AuthAPIKey && c.Type != AuthBearerToken {
		problems = append(problems, fault.Problem{Type: "literal_error", Loc: []any{"body", "credential_type"}, Msg: "must be one of api_key, bearer_token"})
	}
	value := c.Value.Reveal()
	if n := utf8.RuneCountInString(value); n == 0 || n > maxCredential || strings.ContainsFunc(value, unicode.IsControl) {
		problems = append(problems, fault.Problem{Type: "value_error", Loc: []any{"body", "value"},
			Msg: fmt.Sprintf("must have 1 to %d characters and no control characters", maxCredential)})
	}
	switch {
	case c.Header == nil:
	case !isToken(*c.Header) || len(*c.Header) > maxHeaderName:
		problems = append(problems, wrong("auth_header", *c.Header, "must be the name of a header"))
	case reserved(*c.Header):
		problems = append(problems, wrong("auth_header", *c.Header, "is a header that cannot carry a credential"))
	}
	if c.Scheme != nil && *c.Scheme != "" && (!isToken(*c.Scheme) || len(*c.Scheme) > maxAuthScheme) {
		problems = append(problems, wrong("auth_scheme", *c.Scheme, fmt.Sprintf("must be one word of at most %d characters, or empty", maxAuthScheme)))
	}
	if problems == nil {
		return nil
	}
	return fault.Problems(problems...)
}

// isToken tells whether s is a token of HTTP (RFC 9110 §5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !isLetterOrDigit(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func isLetterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// reserved tells whether a header must not carry a credential. Many servers take
// X_User_Id and X.User.Id for X-User-Id, so every mark counts as a hyphen.
func reserved(header string) bool {
	name := strings.Map(func(r rune) rune {
		if !isLetterOrDigit(r) {
			return '-'
		}
		return unicode.ToLower(r)
	}, header)
	return slices.ContainsFunc(reservedHeaders, func(pattern string) bool {
		start, any := strings.CutSuffix(pattern, "*")
		return any && strings.HasPrefix(name, start) || name == pattern
	})
}
