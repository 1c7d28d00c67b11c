// Package auth holds accounts, passwords, access tokens and API keys, and decides
// for whom a request acts.
//
// Service is what the routes under /auth, the administrator's route and the
// operator's command line do. Authenticator turns the credentials of one request
// into a principal; on a warm path it asks the database nothing.
//
// Not here: HTTP and its header names (httpx, identity), SQL (store), the record of
// what services did on behalf of users (audit), and what a principal may see or
// change of other things (each capability decides that itself).
package auth

import (
	"context"
	"log/slog"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// Plan is what a user pays for.
type Plan string

// The plans. New users have Free.
const (
	Free Plan = "free"
	Pro  Plan = "pro"
)

// User is an account as its owner sees it.
type User struct {
	ID        id.User
	Email     string // as typed, its domain in lower case
	FirstName *string
	LastName  *string
	Active    bool
	Admin     bool
	Plan      Plan
	Created   time.Time
	Updated   time.Time
}

// Account is a user with what proves the password.
type Account struct {
	User
	PasswordHash string // PHC string
}

// APIKey is a key without its text.
type APIKey struct {
	ID          id.APIKey
	Name        string
	Integration *id.Integration // the integration that the key is for; nil: none
	Created     time.Time
	LastUsed    *time.Time // at most a minute behind
	Expires     *time.Time
}

// Change of a user; nil keeps what is stored.
type Change struct {
	Active *bool
	Plan   *Plan
	Admin  *bool
}

// Cursor is a place in the list of users: after the user created then, with that id.
// The zero value is the start.
type Cursor struct {
	Created time.Time
	ID      id.User
}

// Standing is what the database adds to a credential that is right in itself.
type Standing struct {
	User        id.User
	Active      bool
	Admin       bool
	TokensAfter int64 // Unix seconds: tokens issued then or before are dead
	Revoked     bool  // this token was logged out

	Key         id.APIKey      // of an API key only
	Integration id.Integration // likewise; "": none
	KeyExpires  *time.Time     // likewise
	KeyUsed     *time.Time     // likewise
}

// Attempt is one try at a password, as it is counted against an account or a peer.
type Attempt struct {
	Key    string        // hash of what it is counted against
	Mark   string        // 8 letters that tell this attempt from others
	At     time.Time     // now
	Most   int           // attempts within Window
	Window time.Duration // before At
}

// Store keeps all of this. What is unknown, or not the given user's, is
// fault.NotFound.
type Store interface {
	// CreateUser is fault.Conflict if the folded address is taken.
	CreateUser(ctx context.Context, a Account, fold string) error
	UserByID(ctx context.Context, user id.User) (Account, error)
	UserByEmail(ctx context.Context, fold string) (Account, error)
	// Users lists up to limit users after the cursor, oldest first.
	Users(ctx context.Context, after Cursor, limit int) ([]User, error)
	// UpdateUser returns the user after the change. Deactivation also ends every
	// token issued so far.
	UpdateUser(ctx context.Context, user id.User, c Change, now time.Time) (User, error)

	// IssueToken returns the time of issue for a new token, in Unix seconds: now, or
	// later if tokens issued now would count as ended. fault.NotFound if the user is
	// no longer active or hash is no longer the password's.
	IssueToken(ctx context.Context, user id.User, hash string, now time.Time) (int64, error)
	// ChangePassword replaces oldHash and ends every token issued so far.
	// fault.NotFound as for IssueToken.
	ChangePassword(ctx context.Context, user id.User, oldHash, newHash string, now time.Time) error
	// RevokeToken ends one token, once or again. The note may go after expires.
	RevokeToken(ctx context.Context, user id.User, jti string, expires time.Time) error

	// CreateAPIKey keeps the key under its digest (SHA-256, hex). fault.NotFound if its
	// integration is not the owner's, and so no key outlives its integration.
	CreateAPIKey(ctx context.Context, owner id.User, k APIKey, digest string) error
	// APIKeys lists the owner's keys, newest first.
	APIKeys(ctx context.Context, owner id.User) ([]APIKey, error)
	// IntegrationKeys lists the keys of the owner's integration, newest first.
	IntegrationKeys(ctx context.Context, owner id.User, integration id.Integration) ([]APIKey, error)
	DeleteAPIKey(ctx context.Context, owner id.User, key id.APIKey) error
	// DeleteIntegrationKey is fault.NotFound also if the key is another integration's
	// or none's.
	DeleteIntegrationKey(ctx context.Context, owner id.User, integration id.Integration, key id.APIKey) error
	// TouchAPIKey notes a use, unless one less than every before it is noted.
	TouchAPIKey(ctx context.Context, owner id.User, key id.APIKey, at time.Time, every time.Duration) error

	// TokenStanding, KeyStanding and UserStanding make one query each.
	TokenStanding(ctx context.Context, user id.User, jti string) (Standing, error)
	KeyStanding(ctx context.Context, digest string) (Standing, error)
	UserStanding(ctx context.Context, user id.User) (Standing, error)

	// CountAttempt counts the attempt and answers true, or counts nothing and
	// answers when the next one will be admitted. It is atomic for all nodes.
	CountAttempt(ctx context.Context, a Attempt) (admitted bool, retry time.Time, err error)
	// ReturnAttempt takes back what CountAttempt counted.
	ReturnAttempt(ctx context.Context, a Attempt) error
	// ClearAttempts forgets every attempt counted against key.
	ClearAttempts(ctx context.Context, key string) error

	// PurgeLogins forgets revoked tokens that ended and attempts made before the
	// given times.
	PurgeLogins(ctx context.Context, ended, attempted time.Time) error
}

// Config says how strict and how fast. The zero value runs, but issues and accepts
// no token and no service key.
type Config struct {
	Now clock.Now    // nil: the system's
	Log *slog.Logger // nil: silent

	JWTSecret     secret.String // signs access tokens; blank: there are none
	TokenLifetime time.Duration // of an access token, in whole seconds; 0: 7 days
	ServiceKeys   secret.Set    // the first is the current one
	OldServiceKey func()        // called whenever another than the first is used; may be nil

	RegistrationClosed bool
	Hashing            Hashing // cost of passwords
}

const defaultLifetime = 7 * 24 * time.Hour

// Service holds the operations on accounts. It is safe for concurrent use.
type Service struct {
	store  Store
	now    clock.Now
	log    *slog.Logger
	closed bool
	tokens *tokens
	hasher *hasher
	auth   *Authenticator
	uses   chan use
}

// New returns the service and its authenticator. Nothing runs in the background
// until Run is called.
func New(store Store, c Config) *Service {
	if c.Now == nil {
		c.Now = clock.System
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.TokenLifetime == 0 {
		c.TokenLifetime = defaultLifetime
	}
	s := &Service{
		store: store, now: c.Now, log: c.Log, closed: c.RegistrationClosed,
		tokens: newTokens(c.JWTSecret, c.TokenLifetime, c.Now),
		hasher: newHasher(c.Hashing),
		uses:   make(chan use, usesQueued),
	}
	s.auth = &Authenticator{
		store: store, now: c.Now, log: c.Log, tokens: s.tokens, uses: s.uses,
		keys: c.ServiceKeys, oldKey: c.OldServiceKey, cache: newCache(c.Now),
	}
	return s
}

// Authenticator returns the part that identifies requests. Changes made through s
// take effect on it at once, those of other processes within a second.
func (s *Service) Authenticator() *Authenticator { return s.auth }

// Forget makes every credential of the user be looked up anew, those being looked up
// included: something else than s has changed what they are worth.
func (s *Service) Forget(user id.User) { s.auth.cache.drop(user) }

// The faults of this package with fixed texts. They are functions, because a fault
// can be changed by whoever holds it.
func notAuthenticated() *fault.Error {
	return fault.New(fault.Unauthorized, "not_authenticated", "Not authenticated")
}

func invalidCredentials() *fault.Error {
	return fault.New(fault.Unauthorized, "invalid_credentials", "Incorrect e-mail or password")
}

func wrongPassword() *fault.Error {
	return fault.New(fault.Forbidden, "wrong_password", "The old password is not right")
}

func jwtRequired() *fault.Error {
	return fault.New(fault.Forbidden, "jwt_required", "An API key may not do this: sign in")
}

func emailTaken() *fault.Error {
	return fault.New(fault.BadRequest, "email_taken", "This e-mail address has an account already")
}
