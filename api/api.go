// Package api holds what travels on the wire: the JSON shapes of requests and
// responses and the stable error codes. It depends on the standard library only,
// so that the Go SDK can share it, and it decides nothing.
package api

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Time is a timestamp as the API writes it: RFC 3339, UTC, always six fractional
// digits. It reads RFC 3339 with any offset, of the years 0 to 9999 in UTC.
type Time time.Time

// rfc3339 is the grammar of RFC 3339 §5.6; time.Parse also takes one-digit hours,
// decimal commas and offsets of a day and more.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

const timeLayout = "2006-01-02T15:04:05.000000Z"

// At converts t.
func At(t time.Time) Time { return Time(t) }

// AtPtr converts a nullable time.
func AtPtr(t *time.Time) *Time {
	if t == nil {
		return nil
	}
	at := Time(*t)
	return &at
}

// Std converts back to the standard library's type.
func (t Time) Std() time.Time { return time.Time(t) }

// String is the wire form.
func (t Time) String() string { return time.Time(t).UTC().Format(timeLayout) }

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, timeLayout), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Time) UnmarshalText(b []byte) error {
	if !rfc3339.Match(b) {
		return fmt.Errorf("timestamp %q is not RFC 3339", b)
	}
	parsed, err := time.Parse(time.RFC3339Nano, strings.ToUpper(string(b)))
	if err != nil {
		return fmt.Errorf("timestamp %q is not RFC 3339: %w", b, err)
	}
	if year := parsed.UTC().Year(); year < 0 || year > 9999 {
		return fmt.Errorf("timestamp %q: the year has more than four digits in UTC", b)
	}
	*t = Time(parsed)
	return nil
}

// Seconds is a timestamp as a JSON number of Unix seconds, with exactly six fractional
// digits: contract §1.2 has one such member. A float64 would lose the fraction of a whole
// second.
type Seconds time.Time

// Std converts back to the standard library's type.
func (s Seconds) Std() time.Time { return time.Time(s) }

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) {
	us := time.Time(s).UnixMicro()
	if us < 0 {
		return fmt.Appendf(nil, "-%d.%06d", -us/1e6, -us%1e6), nil
	}
	return fmt.Appendf(nil, "%d.%06d", us/1e6, us%1e6), nil
}

// UnmarshalJSON implements json.Unmarshaler. A number of any precision is rounded to
// microseconds, which a float64 tells apart until the year 2242.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	seconds, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.Abs(seconds) > 1<<38 {
		return fmt.Errorf("%q is not a number of Unix seconds", b)
	}
	*s = Seconds(time.UnixMicro(int64(math.Round(seconds * 1e6))).UTC())
	return nil
}

// Object is a free-form JSON object, kept as its JSON text. Empty means null.
type Object []byte

// MarshalJSON implements json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) {
	if len(o) == 0 {
		return []byte("null"), nil
	}
	return o, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Object) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*o = nil
		return nil
	}
	if len(b) == 0 || b[0] != '{' {
		return fmt.Errorf("want a JSON object or null")
	}
	*o = append((*o)[:0], b...)
	return nil
}

// Stable error codes: the `code` member of every error body. A client switches on
// these and on the HTTP status, never on the text of `detail`.
const (
	CodeMalformedJSON           = "malformed_json"
	CodeBadRequest              = "bad_request"
	CodeDuplicateCredentials    = "duplicate_credentials"
	CodeOnBehalfOfRequired      = "on_behalf_of_required"
	CodeOnBehalfOfInvalid       = "on_behalf_of_invalid"
	CodeUserIDInvalid           = "user_id_invalid"
	CodeEmailTaken              = "email_taken"
	CodeUnsafeURL               = "unsafe_url"
	CodeEmptyPatch              = "empty_patch"
	CodeCardNotFound            = "card_not_found"
	CodeCardInvalid             = "card_invalid"
	CodeNotAuthenticated        = "not_authenticated"
	CodeInvalidCredentials      = "invalid_credentials"
	CodeForbidden               = "forbidden"
	CodeJWTRequired             = "jwt_required"
	CodeWrongPassword           = "wrong_password"
	CodeRegistrationClosed      = "registration_closed"
	CodeRatingNotAllowed        = "rating_not_allowed"
	CodeNotFound                = "not_found"
	CodeMethodNotAllowed        = "method_not_allowed"
	CodeConflict                = "conflict"
	CodeEntityExists            = "entity_exists"
	CodeEntityPaused            = "entity_paused"
	CodeTurnInProgress          = "turn_in_progress"
	CodeMemoryLimitReached      = "memory_limit_reached"
	CodeIdempotencyInProgress   = "idempotency_in_progress"
	CodeIdempotencyKeyReused    = "idempotency_key_reused"
	CodePayloadTooLarge         = "payload_too_large"
	CodeUnsupportedMediaType    = "unsupported_media_type"
	CodeValidationError         = "validation_error"
	CodeRateLimited             = "rate_limited"
	CodeLoginThrottled          = "login_throttled"
	CodeMessageRateLimited      = "message_rate_limited"
	CodeMessageQuotaExceeded    = "message_quota_exceeded"
	CodeEntityQuotaExceeded     = "entity_quota_exceeded"
	CodeInternalError           = "internal_error"
	CodeEntityHostError         = "entity_host_error"
	CodeBrainError              = "brain_error"
	CodePlatformHalted          = "platform_halted"
	CodeNetworkNotActive        = "network_not_active"
	CodeParticipantNotActive    = "participant_not_active"
	CodeAgentInactive           = "agent_inactive"
	CodeRecipientNotCallable    = "recipient_not_callable"
	CodeTopologyViolation       = "topology_violation"
	CodeSignatureInvalid        = "signature_invalid"
	CodeAgentAlreadyJoined      = "agent_already_joined"
	CodeParticipantLimitReached = "participant_limit_reached"
	CodeMessageNotFailed        = "message_not_failed"
	CodeTargetUnreachable       = "target_unreachable"
	CodeCallTimeout             = "call_timeout"
	CodeAgentDisabled           = "agent_disabled"
	CodeOverloaded              = "overloaded"
	CodeNotReady                = "not_ready"
	CodeTurnTimeout             = "turn_timeout"
)

// Error is the body of every answer that is not a success. Detail is a string, or
// for validation_error a list of problems.
type Error struct {
	Detail    any    `json:"detail"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}
