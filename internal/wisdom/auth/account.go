package auth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// EmailPattern is what counts as an e-mail address: the dot-atom form of RFC 5321
// §4.1.2 in ASCII, in a domain of at least two labels whose last begins with a
// letter. Quoted local parts, address literals, display names and comments are
// refused. Lengths are checked beside it.
const EmailPattern = "^[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+([.][A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*" +
	"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]$"

var emailPattern = regexp.MustCompile(EmailPattern)

// Bounds in characters; maxLocal is RFC 5321 §4.5.3.1.1.
const (
	maxEmail    = 254
	maxLocal    = 64
	minPassword = 8
	maxPassword = 128
	maxName     = 64
)

// NewUser is what a registration gives.
type NewUser struct {
	Email     string
	Password  string // 8..128 characters
	FirstName *string
	LastName  *string
}

// Token is an access token as it is handed out.
type Token struct {
	Text     string
	Lifetime time.Duration
}

// Register creates an account. Faults: registration_closed (403), validation_error,
// email_taken (400), overloaded (503).
func (s *Service) Register(ctx context.Context, n NewUser) (User, error) {
	if s.closed {
		return User{}, fault.New(fault.Forbidden, "registration_closed", "Registration is closed")
	}
	return s.CreateUser(ctx, n)
}

// CreateUser is Register for the operator: it works while registration is closed.
func (s *Service) CreateUser(ctx context.Context, n NewUser) (User, error) {
	if problems := n.problems(); len(problems) > 0 {
		return User{}, fault.Problems(problems...)
	}
	release, err := s.hasher.slot(ctx)
	if err != nil {
		return User{}, err
	}
	defer release()
	// Asked only now: of many that register one address at once, those that waited
	// for a worker find it taken and cost no hash.
	fold := foldEmail(n.Email)
	switch _, err := s.store.UserByEmail(ctx, fold); {
	case err == nil:
		return User{}, emailTaken()
	case !fault.Is(err, fault.NotFound):
		return User{}, fmt.Errorf("look for the address: %w", err)
	}
	now := s.now()
	a := Account{PasswordHash: s.hasher.hash(n.Password), User: User{
		ID: id.New[id.User](), Email: domainToLower(n.Email), FirstName: n.FirstName, LastName: n.LastName,
		Active: true, Plan: Free, Created: now, Updated: now,
	}}
	if err := s.store.CreateUser(ctx, a, fold); err != nil {
		if fault.Is(err, fault.Conflict) {
			return User{}, emailTaken().Because(err)
		}
		return User{}, fmt.Errorf("create user: %w", err)
	}
	return a.User, nil
}

func (n NewUser) problems() []fault.Problem {
	var list []fault.Problem
	add := func(field, typ, msg string, ctx map[string]any) {
		list = append(list, fault.Problem{Type: typ, Loc: []any{"body", field}, Msg: msg, Ctx: ctx})
	}
	switch {
	case utf8.RuneCountInString(n.Email) > maxEmail:
		add("email", "string_too_long", "at most 254 characters", map[string]any{"max_length": maxEmail})
	case !emailPattern.MatchString(n.Email), strings.IndexByte(n.Email, '@') > maxLocal:
		add("email", "value_error", "not a valid e-mail address", nil)
	}
	if p := passwordProblem(n.Password, "password"); p != nil {
		list = append(list, *p)
	}
	for _, f := range []struct {
		field string
		name  *string
	}{{"first_name", n.FirstName}, {"last_name", n.LastName}} {
		switch {
		case f.name == nil:
		case utf8.RuneCountInString(*f.name) > maxName:
			add(f.field, "string_too_long", "at most 64 characters", map[string]any{"max_length": maxName})
		case strings.ContainsRune(*f.name, 0) || !utf8.ValidString(*f.name):
			add(f.field, "value_error", "not UTF-8 text", nil)
		}
	}
	return list
}

func passwordProblem(password, field string) *fault.Problem {
	p := &fault.Problem{Loc: []any{"body", field}}
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		p.Type, p.Msg, p.Ctx = "string_too_short", "at least 8 characters", map[string]any{"min_length": minPassword}
	case n > maxPassword:
		p.Type, p.Msg, p.Ctx = "string_too_long", "at most 128 characters", map[string]any{"max_length": maxPassword}
	default:
		return nil
	}
	return p
}

// foldEmail is the form in which addresses are compared. Addresses are ASCII, so
// only ASCII is folded: nothing else may turn into somebody's address.
func foldEmail(email string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, email)
}

func domainToLower(email string) string {
	at := strings.LastIndexByte(email, '@')
	return email[:at] + foldEmail(email[at:])
}

// Login checks a password and issues a token. peer is the client's address. The
// answer and the time it takes are the same for an unknown address, a wrong password
// and an inactive user. Faults: invalid_credentials (401), login_throttled (429),
// overloaded (503).
func (s *Service) Login(ctx context.Context, email, password, peer string) (Token, error) {
	try, err := s.admit(ctx, foldEmail(email), peer)
	if err != nil {
		return Token{}, err
	}
	a, err := s.store.UserByEmail(ctx, foldEmail(email))
	if fault.Is(err, fault.NotFound) {
		a = Account{PasswordHash: s.hasher.dummy}
	} else if err != nil {
		return Token{}, try.notMade(ctx, fmt.Errorf("look up account: %w", err))
	}
	right, err := s.hasher.check(ctx, a.PasswordHash, password)
	if err != nil {
		return Token{}, try.notMade(ctx, err)
	}
	if !right || !a.Active {
		return Token{}, invalidCredentials()
	}
	if err := try.succeeded(ctx); err != nil {
		return Token{}, err
	}
	issued, err := s.store.IssueToken(ctx, a.ID, a.PasswordHash, s.now())
	if fault.Is(err, fault.NotFound) { // the password was changed, or the user deactivated, meanwhile
		return Token{}, invalidCredentials().Because(err)
	}
	if err != nil {
		return Token{}, fmt.Errorf("note issue of token: %w", err)
	}
	text, err := s.tokens.issue(a.ID, issued)
	if err != nil {
		return Token{}, fmt.Errorf("sign token: %w", err)
	}
	return Token{Text: text, Lifetime: s.tokens.lifetime}, nil
}

// Logout ends the token by which p asks.
func (s *Service) Logout(ctx context.Context, p principal.Principal) error {
	if p.Via != principal.JWT {
		return jwtRequired()
	}
	if err := s.store.RevokeToken(ctx, p.User, p.Token, p.Expires); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	s.auth.cache.drop(p.User)
	return nil
}

// ChangePassword replaces the password and ends every token of the user; API keys
// stay. Faults: validation_error, wrong_password (403), login_throttled (429: wrong
// passwords count as failed logins), overloaded (503).
func (s *Service) ChangePassword(ctx context.Context, p principal.Principal, old, replacement, peer string) error {
	if p.Via != principal.JWT {
		return jwtRequired()
	}
	if problem := passwordProblem(replacement, "new_password"); problem != nil {
		return fault.Problems(*problem)
	}
	a, err := s.store.UserByID(ctx, p.User)
	if err != nil {
		return fmt.Errorf("look up account: %w", err)
	}
	try, err := s.admit(ctx, foldEmail(a.Email), peer)
	if err != nil {
		return err
	}
	release, err := s.hasher.slot(ctx)
	if err != nil {
		return try.notMade(ctx, err)
	}
	defer release()
	if !s.hasher.matches(a.PasswordHash, old) {
		return wrongPassword()
	}
	if err := try.succeeded(ctx); err != nil {
		return err
	}
	err = s.store.ChangePassword(ctx, p.User, a.PasswordHash, s.hasher.hash(replacement), s.now())
	if fault.Is(err, fault.NotFound) { // somebody else changed it first
		return wrongPassword().Because(err)
	}
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	s.auth.cache.drop(p.User)
	return nil
}

// Me returns the user for whom p acts.
func (s *Service) Me(ctx context.Context, p principal.Principal) (User, error) {
	a, err := s.store.UserByID(ctx, p.User)
	if err != nil {
		return User{}, fmt.Errorf("read user: %w", err)
	}
	return a.User, nil
}

// errNoSecret says that tokens are off.
var errNoSecret = errors.New("there is no secret to sign tokens with")
