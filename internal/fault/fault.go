// Package fault is the vocabulary of errors that a caller is meant to see.
//
// Rules return a *fault.Error where they know what went wrong and what the
// caller can do about it; every other error is untyped and reaches a client only
// as "Internal error". The package knows nothing about HTTP: httpx maps a Kind to
// a status, and sdk/intuno maps it back.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the class of a fault. The zero value is Internal, so a forgotten kind
// hides its text instead of showing it.
type Kind uint8

// The closed list of kinds, each with the HTTP status that httpx gives it.
const (
	Internal         Kind = iota // 500
	BadRequest                   // 400
	Unauthorized                 // 401
	Forbidden                    // 403
	NotFound                     // 404
	MethodNotAllowed             // 405
	Conflict                     // 409
	TooLarge                     // 413
	Unsupported                  // 415
	Invalid                      // 422
	RateLimited                  // 429
	HeadersTooLarge              // 431
	Upstream                     // 502
	Unavailable                  // 503
	Timeout                      // 504
	Other                        // any other 4xx that an upstream answered; see Error.Status
)

// Problem is one item of a 422 answer.
type Problem struct {
	Type  string         `json:"type"`          // stable, e.g. "string_too_long"
	Loc   []any          `json:"loc"`           // path to the value; starts with body, query, path or header
	Msg   string         `json:"msg"`           // what to change
	Input any            `json:"input"`         // the offending value; nil where it is secret or large
	Ctx   map[string]any `json:"ctx,omitempty"` // the bound that was broken
}

// Error is a fault that a caller may see. Detail is shown as it is, so it must
// never carry a secret, an internal host name or another user's data.
type Error struct {
	Kind       Kind
	Code       string         // stable, machine readable: the codes of package api
	Detail     string         // fixed human text
	Problems   []Problem      // only for Invalid: shown instead of Detail
	RawDetail  []byte         // JSON of a peer's 4xx detail, passed on as it is; overrides Detail
	Status     int            // only for Other: the status to answer
	RetryAfter time.Duration  // > 0 adds a Retry-After header, rounded up to whole seconds
	Replayed   bool           // the refusal of an earlier request with the same Idempotency-Key
	Extra      map[string]any // further members of the error body
	cause      error
}

// New returns a fault with a fixed text.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Missing is the one fault for whatever is unknown or belongs to somebody else:
// both must look alike, so neither names the object's id.
func Missing(what string) *Error {
	return New(NotFound, "not_found", "%s not found", what)
}

// InvalidField is a 422 with one problem, for rules that a schema cannot state.
// The input is not repeated: callers use it for values that may be secret too.
func InvalidField(typ, msg string, loc ...any) *Error {
	return Problems(Problem{Type: typ, Loc: loc, Msg: msg})
}

// Problems is a 422 that lists every problem of a request at once.
func Problems(list ...Problem) *Error {
	return &Error{Kind: Invalid, Code: "validation_error", Detail: "the request is not valid", Problems: list}
}

// After sets Retry-After. It returns e, for chaining.
func (e *Error) After(d time.Duration) *Error { e.RetryAfter = d; return e }

// With adds a member to the error body. It returns e, for chaining.
func (e *Error) With(key string, value any) *Error {
	if e.Extra == nil {
		e.Extra = map[string]any{}
	}
	e.Extra[key] = value
	return e
}

// Because keeps err for the log. It is never shown. It returns e, for chaining.
func (e *Error) Because(err error) *Error { e.cause = err; return e }

// Error is the text for logs, cause included.
func (e *Error) Error() string {
	text := e.Code + ": " + e.Detail
	for _, p := range e.Problems {
		text += fmt.Sprintf("; %v: %s", p.Loc, p.Msg)
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the hidden cause.
func (e *Error) Unwrap() error { return e.cause }

// As returns the fault in err's chain, or nil when err is nil or untyped.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Is reports whether err's chain carries a fault of that kind.
func Is(err error, kind Kind) bool {
	e := As(err)
	return e != nil && e.Kind == kind
}

// HasCode reports whether err's chain carries a fault with that code.
func HasCode(err error, code string) bool {
	e := As(err)
	return e != nil && e.Code == code
}
