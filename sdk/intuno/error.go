package intuno

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/api"
)

// Kinds of refusals, for errors.Is. Each is one HTTP status.
var (
	ErrBadRequest       = errors.New("bad request")               // 400
	ErrUnauthorized     = errors.New("unauthorized")              // 401
	ErrForbidden        = errors.New("forbidden")                 // 403
	ErrNotFound         = errors.New("not found")                 // 404: unknown, or not yours
	ErrMethodNotAllowed = errors.New("method not allowed")        // 405
	ErrConflict         = errors.New("conflict")                  // 409
	ErrTooLarge         = errors.New("too large")                 // 413
	ErrUnsupported      = errors.New("unsupported media type")    // 415
	ErrInvalid          = errors.New("invalid")                   // 422
	ErrRateLimited      = errors.New("rate limited")              // 429
	ErrHeadersTooLarge  = errors.New("headers too large")         // 431
	ErrInternal         = errors.New("internal error")            // 500
	ErrUpstream         = errors.New("upstream without answer")   // 502
	ErrUnavailable      = errors.New("temporarily not available") // 503
	ErrTimeout          = errors.New("timeout at the server")     // 504
)

// ErrAnswer is an answer that cannot be understood: a redirect, no JSON, JSON of another
// shape, or more than 10 MiB. The call may have had its effect.
var ErrAnswer = errors.New("unusable answer")

// ErrArgument is an argument that cannot be sent. Nothing was sent.
var ErrArgument = errors.New("unusable argument")

// kinds is the status of every kind.
var kinds = []struct {
	err    error
	status int
}{
	{ErrBadRequest, http.StatusBadRequest}, {ErrUnauthorized, http.StatusUnauthorized}, {ErrForbidden, http.StatusForbidden},
	{ErrNotFound, http.StatusNotFound}, {ErrMethodNotAllowed, http.StatusMethodNotAllowed}, {ErrConflict, http.StatusConflict},
	{ErrTooLarge, http.StatusRequestEntityTooLarge}, {ErrUnsupported, http.StatusUnsupportedMediaType}, {ErrInvalid, http.StatusUnprocessableEntity},
	{ErrRateLimited, http.StatusTooManyRequests}, {ErrHeadersTooLarge, http.StatusRequestHeaderFieldsTooLarge}, {ErrInternal, http.StatusInternalServerError},
	{ErrUpstream, http.StatusBadGateway}, {ErrUnavailable, http.StatusServiceUnavailable}, {ErrTimeout, http.StatusGatewayTimeout},
}

// Error is an answer of the server that is no success.
type Error struct {
	Status     int           // of HTTP
	Code       string        // stable: a constant Code... of package api; empty if the answer had none
	Detail     string        // for people; never parse it
	Problems   []api.Problem // of a validation_error
	RequestID  string        // by which the operator finds the request
	RetryAfter time.Duration // 0: not said

	// Members are the further members of the body, such as limit and used.
	Members map[string]json.RawMessage

	op string // method and route
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("intuno: ")
	if e.op != "" {
		b.WriteString(e.op + ": ")
	}
	b.WriteString(strconv.Itoa(e.Status))
	if e.Code != "" {
		b.WriteString(" " + oneLine(e.Code))
	}
	if e.Detail != "" {
		b.WriteString(": " + oneLine(e.Detail))
	}
	for _, p := range e.Problems {
		b.WriteString("; " + oneLine(fmt.Sprint(p.Loc)) + " " + oneLine(p.Msg))
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + oneLine(e.RequestID) + ")")
	}
	return b.String()
}

// Is makes errors.Is tell the kinds.
func (e *Error) Is(target error) bool {
	for _, kind := range kinds {
		if target == kind.err { //nolint:errorlint // Is compares one error with one
			return e.Status == kind.status
		}
	}
	return target == ErrAnswer && e.Status >= 300 && e.Status <= 399 //nolint:errorlint // the same
}

// oneLine quotes text that could pass for something else in a log.
func oneLine(s string) string {
	const most = 1000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	if quoted := strconv.Quote(s); quoted[1:len(quoted)-1] != s && strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return quoted
	}
	return s
}

// refusal makes an error of an answer that is no success. The body may be anything.
func refusal(op string, response *http.Response, body []byte) *Error {
	e := &Error{Status: response.StatusCode, RequestID: response.Header.Get("X-Request-ID"), RetryAfter: retryAfter(response.Header), op: op}
	if e.Status >= 300 && e.Status <= 399 {
		e.Detail = "the server answered with a redirect, which is never followed"
		return e
	}
	if json.Unmarshal(body, &e.Members) != nil {
		e.Members = nil // not from our server
		e.Detail = http.StatusText(e.Status)
		return e
	}
	take := func(name string, into any) bool {
		value, ok := e.Members[name]
		if !ok || string(value) == "null" || json.Unmarshal(value, into) != nil {
			return false
		}
		delete(e.Members, name)
		return true
	}
	take("code", &e.Code)
	take("request_id", &e.RequestID)
	if !take("detail", &e.Detail) && take("detail", &e.Problems) {
		e.Detail = "the request is not valid"
	}
	if e.Detail == "" {
		e.Detail = http.StatusText(e.Status)
	}
	if len(e.Members) == 0 {
		e.Members = nil
	}
	return e
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3). A date counts from the one of the
// answer, so that the clock of this machine does not matter.
func retryAfter(h http.Header) time.Duration {
	const most = 1 << 31 // seconds; more would overflow
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), most)) * time.Second
	}
	then, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(then.Sub(now), 0)
}

// InvokeError is an invocation that did not succeed: the agent failed, or the broker
// refused to ask it.
type InvokeError struct {
	Response api.InvokeResponse
}

// Error implements error.
func (e *InvokeError) Error() string {
	text := "intuno: invocation: " + strconv.Itoa(e.Response.StatusCode)
	if e.Response.ErrorCode != nil {
		text += " " + oneLine(*e.Response.ErrorCode)
	}
	if e.Response.Error != nil {
		text += ": " + oneLine(*e.Response.Error)
	}
	return text
}

// Code is the stable code of a refusal or of an invocation that did not succeed, and
// empty for every other error.
func Code(err error) string {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	var failed *InvokeError
	if errors.As(err, &failed) && failed.Response.ErrorCode != nil {
		return *failed.Response.ErrorCode
	}
	return ""
}
