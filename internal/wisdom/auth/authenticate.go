package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/identity"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// Class says which credentials may act on a route (contract §2.1).
type Class uint8

// The classes. The zero value is none of them and lets nobody pass.
const (
	_                Class = iota
	Public                 // credentials are not looked at
	AnyUser                // a token, else an API key
	AnyUserBearerKey       // as AnyUser; an API key may stand where the token would (contract §12)
	JWT                    // a token
	KeyMgmt                // a token; 403 for an API key
	Delegable              // as AnyUser, or a service key on behalf of a user
	Admin                  // the token of an administrator
)

// ErrServiceKey is in the chain of the fault by which a service key is refused, so
// that a record of the refusal can be made.
var ErrServiceKey = errors.New("service key refused")

// rotationLogEvery is how often the use of an old service key is logged.
const rotationLogEvery = time.Minute

// Authenticator turns the credentials of a request into a principal. It is safe for
// concurrent use; Service makes it.
type Authenticator struct {
	store  Store
	now    clock.Now
	log    *slog.Logger
	tokens *tokens
	keys   secret.Set
	oldKey func()
	cache  *cache
	uses   chan<- use
	logged atomic.Int64 // when the use of an old service key was logged last, in microseconds
}

// Authenticate decides for whom a request to a route of that class acts. Faults:
// duplicate_credentials, on_behalf_of_required and on_behalf_of_invalid (400),
// not_authenticated (401), jwt_required and forbidden (403), not_found (404, the
// target of a delegation). What a credential is worth in the database may be up to
// 900 ms old, when it ends is looked at every time.
func (a *Authenticator) Authenticate(ctx context.Context, class Class, c identity.Credentials) (principal.Principal, error) {
	switch class {
	case Public:
		return principal.Principal{}, nil
	case AnyUser, AnyUserBearerKey, JWT, KeyMgmt, Delegable, Admin:
	default:
		return principal.Principal{}, fmt.Errorf("access class %d does not exist", class)
	}
	// A wrong service key beats everything, repeated headers included.
	if class == Delegable && len(c.ServiceKey) == 1 {
		return a.delegate(ctx, c)
	}
	if c.Repeated() {
		return principal.Principal{}, repeated()
	}
	p, err := a.byToken(ctx, c)
	if err != nil || p.Via != principal.Anonymous {
		if err == nil && class == Admin && !p.Admin {
			err = fault.New(fault.Forbidden, "forbidden", "Administrators only")
		}
		return only(p, err)
	}
	if class == JWT || class == Admin {
		return principal.Principal{}, notAuthenticated()
	}
	p, err = a.byKeys(ctx, class, c)
	switch {
	case err != nil:
	case p.Via == principal.Anonymous:
		err = notAuthenticated()
	case class == KeyMgmt:
		err = jwtRequired()
	}
	return only(p, err)
}

// only keeps a principal from leaving together with an error.
func only(p principal.Principal, err error) (principal.Principal, error) {
	if err != nil {
		return principal.Principal{}, err
	}
	return p, nil
}

func repeated() *fault.Error {
	return fault.New(fault.BadRequest, "duplicate_credentials", "A credential header occurs more than once")
}

// Active tells whether what a user has given out, and what names no other credential, still
// holds: fault.NotFound if there is no such user, or the user was deactivated. At most a
// second late.
func (a *Authenticator) Active(ctx context.Context, user id.User) error {
	e, err := a.active(ctx, user)
	if err == nil && e.who.User == "" {
		err = fault.Missing("User")
	}
	return err
}

// active finds a user to act for; who is zero for one who is unknown or inactive.
func (a *Authenticator) active(ctx context.Context, user id.User) (*entry, error) {
	return a.cache.get(ctx, cacheKey{kindUser, sha256.Sum256([]byte(user))}, func(ctx context.Context) (*entry, error) {
		st, err := a.store.UserStanding(ctx, user)
		if err != nil || !st.Active {
			return &entry{owner: user}, absent(err)
		}
		return &entry{owner: user, who: principal.Principal{User: user, Via: principal.Delegation}}, nil
	})
}

// delegate is the service path (contract §2.3), in the order of its table.
func (a *Authenticator) delegate(ctx context.Context, c identity.Credentials) (principal.Principal, error) {
	none := principal.Principal{}
	if a.keys.Empty() {
		return none, notAuthenticated().Because(ErrServiceKey)
	}
	index := a.keys.Index(c.ServiceKey[0])
	if index < 0 {
		return none, notAuthenticated().Because(ErrServiceKey)
	}
	if index > 0 {
		a.noteOldKey(index)
	}
	if c.Repeated() {
		return none, repeated()
	}
	if len(c.OnBehalfOf) == 0 || strings.TrimSpace(c.OnBehalfOf[0]) == "" {
		return none, fault.New(fault.BadRequest, "on_behalf_of_required", "X-On-Behalf-Of is required beside X-Service-Key")
	}
	user, ok := id.Parse[id.User](c.OnBehalfOf[0])
	if !ok {
		return none, fault.New(fault.BadRequest, "on_behalf_of_invalid", "X-On-Behalf-Of must be a user's UUID")
	}
	e, err := a.active(ctx, user)
	if err != nil {
		return none, err
	}
	if e.who.Via == principal.Anonymous {
		return none, fault.Missing("User")
	}
	p := e.who
	p.Depth = c.CallDepth()
	return p, nil
}

// noteOldKey counts the use of a service key that is about to be retired, and logs
// it once a minute at most.
func (a *Authenticator) noteOldKey(index int) {
	if a.oldKey != nil {
		a.oldKey()
	}
	now, last := a.now().UnixMicro(), a.logged.Load()
	if now-last >= rotationLogEvery.Microseconds() && a.logged.CompareAndSwap(last, now) {
		a.log.Warn("a service key other than the first is in use", "position", index+1)
	}
}

// byToken returns the principal of a valid Bearer token, else an anonymous one. An
// error means that it could not be found out.
func (a *Authenticator) byToken(ctx context.Context, c identity.Credentials) (principal.Principal, error) {
	text, ok := c.Bearer()
	if !ok || len(text) > maxToken {
		return principal.Principal{}, nil
	}
	key := cacheKey{kindToken, sha256.Sum256([]byte(text))}
	e := a.cache.fresh(key)
	if e == nil {
		said, ok := a.tokens.read(text)
		if !ok { // no reason to ask the database, nor to remember
			return principal.Principal{}, nil
		}
		var err error
		if e, err = a.cache.get(ctx, key, func(ctx context.Context) (*entry, error) { return a.loadToken(ctx, said) }); err != nil {
			return principal.Principal{}, err
		}
	}
	return e.principal(a.now()), nil
}

func (a *Authenticator) loadToken(ctx context.Context, said claims) (*entry, error) {
	user := id.User(said.Subject)
	e := &entry{owner: user, ends: said.expires()}
	st, err := a.store.TokenStanding(ctx, user, said.ID)
	if err != nil || !st.Active || st.Revoked || said.Issued <= st.TokensAfter {
		return e, absent(err)
	}
	e.who = principal.Principal{User: user, Via: principal.JWT, Token: said.ID, Expires: e.ends, Admin: st.Admin}
	return e, nil
}

// byKeys is byToken for the API key that stands where the token would, if class allows
// that, and else for X-API-Key: what is no valid key does not stop the fall-through.
func (a *Authenticator) byKeys(ctx context.Context, class Class, c identity.Credentials) (principal.Principal, error) {
	if text, ok := c.Bearer(); ok && class == AnyUserBearerKey {
		if p, err := a.byKey(ctx, text); err != nil || p.Via != principal.Anonymous {
			return p, err
		}
	}
	if len(c.APIKey) != 1 {
		return principal.Principal{}, nil
	}
	return a.byKey(ctx, c.APIKey[0])
}

// byKey is byToken for an API key.
func (a *Authenticator) byKey(ctx context.Context, text string) (principal.Principal, error) {
	if !keyShaped(text) {
		return principal.Principal{}, nil
	}
	digest := sha256.Sum256([]byte(text))
	e, err := a.cache.get(ctx, cacheKey{kindAPIKey, digest}, func(ctx context.Context) (*entry, error) {
		return a.loadKey(ctx, hex.EncodeToString(digest[:]))
	})
	if err != nil {
		return principal.Principal{}, err
	}
	now := a.now()
	p := e.principal(now)
	if p.Via != principal.Anonymous && now.Sub(e.used) >= useNotedEvery && e.noted.CompareAndSwap(false, true) {
		select {
		case a.uses <- use{p.User, p.Key, now}:
		default: // the worker is behind: a later request will tell it
		}
	}
	return p, nil
}

func (a *Authenticator) loadKey(ctx context.Context, digest string) (*entry, error) {
	st, err := a.store.KeyStanding(ctx, digest)
	e := &entry{owner: st.User}
	if err != nil || !st.Active {
		return e, absent(err)
	}
	if st.KeyExpires != nil {
		e.ends = *st.KeyExpires
	}
	if st.KeyUsed != nil {
		e.used = *st.KeyUsed
	}
	e.who = principal.Principal{User: st.User, Via: principal.APIKey, Key: st.Key, Integration: st.Integration}
	return e, nil
}

// absent makes of "not found" the answer that nobody acts, which can be remembered.
func absent(err error) error {
	if err == nil || fault.Is(err, fault.NotFound) {
		return nil
	}
	return fmt.Errorf("look up credential: %w", err)
}
