package agentsclient

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

// maxRefusal is the largest 4xx body whose detail is passed on.
const maxRefusal = 64 << 10

// maxRetryAfter is the longest wait that the host may ask a client for.
const maxRetryAfter = 31 * 24 * time.Hour

// refusals gives the statuses that have one a general kind, code and text. Any other
// 4xx keeps its number and is a "bad_request".
var refusals = map[int]struct {
	kind fault.Kind
	code string
	text string
}{
	http.StatusBadRequest:            {fault.BadRequest, api.CodeBadRequest, "Bad request"},
	http.StatusForbidden:             {fault.Forbidden, api.CodeForbidden, "Forbidden"},
	http.StatusNotFound:              {fault.NotFound, api.CodeNotFound, "Not found"},
	http.StatusConflict:              {fault.Conflict, api.CodeConflict, "Conflict"},
	http.StatusRequestEntityTooLarge: {fault.TooLarge, api.CodePayloadTooLarge, "Payload too large"},
	http.StatusUnsupportedMediaType:  {fault.Unsupported, api.CodeUnsupportedMediaType, "Unsupported media type"},
	http.StatusUnprocessableEntity:   {fault.Invalid, api.CodeValidationError, ""},
	http.StatusTooManyRequests:       {fault.RateLimited, api.CodeRateLimited, "Too many requests"},
}

// codes are the stable codes of contract §1.3, the only ones that are passed on.
var codes = map[string]bool{
	"malformed_json": true, "bad_request": true, "duplicate_credentials": true, "on_behalf_of_required": true,
	"on_behalf_of_invalid": true, "user_id_invalid": true, "email_taken": true, "unsafe_url": true, "empty_patch": true,
	"network_not_active": true, "participant_not_active": true, "agent_inactive": true, "recipient_not_callable": true,
	"topology_violation": true, "card_not_found": true, "card_invalid": true, "not_authenticated": true,
	"invalid_credentials": true, "forbidden": true, "jwt_required": true, "wrong_password": true,
	"registration_closed": true, "signature_invalid": true, "rating_not_allowed": true, "agent_disabled": true,
	"not_found": true, "method_not_allowed": true, "conflict": true, "agent_already_joined": true,
	"participant_limit_reached": true, "message_not_failed": true, "entity_exists": true, "entity_paused": true,
	"turn_in_progress": true, "memory_limit_reached": true, "idempotency_in_progress": true, "payload_too_large": true,
	"headers_too_large": true, "unsupported_media_type": true, "validation_error": true, "idempotency_key_reused": true,
	"rate_limited": true, "login_throttled": true, "message_rate_limited": true, "message_quota_exceeded": true,
	"entity_quota_exceeded": true, "internal_error": true, "entity_host_error": true, "target_unreachable": true,
	"brain_error": true, "platform_halted": true, "overloaded": true, "not_ready": true, "call_timeout": true,
	"turn_timeout": true,
}

var errOurKey = errors.New("the host refused our key")

// refusal is the status map (contract §9.3): it turns every answer of the host that is
// no success into the fault for the client. body is the decoded body, at most
// maxRefusal of it, or nil if it is not JSON, was cut or was too long.
func refusal(status int, header http.Header, body []byte) *fault.Error {
	switch {
	case status == http.StatusUnauthorized:
		return unavailable(fmt.Errorf("%w: %w", personal.ErrNothingDone, errOurKey))
	case status < 400 || status > 499:
		return unavailable(fmt.Errorf("status %d", status))
	}
	f := &fault.Error{Kind: fault.Other, Status: status, Code: api.CodeBadRequest, Detail: "The request was refused"}
	if general, ok := refusals[status]; ok {
		f = &fault.Error{Kind: general.kind, Code: general.code, Detail: general.text}
	}
	if detail, code, ok := readRefusal(body); ok {
		f.RawDetail = detail
		if codes[code] {
			f.Code = code
		}
	} else if status == http.StatusUnprocessableEntity {
		f = fault.InvalidField("value_error", "the request is not valid", "body")
	}
	if status == http.StatusConflict || status == http.StatusTooManyRequests {
		f.RetryAfter = retryAfter(header)
	}
	return f
}

// unavailable is the one text for whatever is not the client's fault. The cause is
// for the log.
func unavailable(cause error) *fault.Error {
	return fault.New(fault.Upstream, api.CodeEntityHostError, "The entity service is unavailable").Because(cause)
}

// readRefusal returns the detail, a string or list, and the code of an error body.
func readRefusal(body []byte) (detail []byte, code string, ok bool) {
	if len(body) == 0 {
		return nil, "", false
	}
	err := members(body, func(name, value jsontext.Value) {
		switch kind := value.Kind(); {
		case string(name) == "detail" && (kind == '"' || kind == '['):
			detail = value.Clone()
		case string(name) == "code" && kind == '"':
			code = text(value)
		}
	})
	if err != nil || detail == nil {
		return nil, "", false
	}
	return detail, code, true
}

// retryAfter reads whole seconds; a date or nonsense is no value.
func retryAfter(h http.Header) time.Duration {
	values := h["Retry-After"]
	if len(values) != 1 {
		return 0
	}
	seconds, err := strconv.ParseUint(values[0], 10, 32)
	if err != nil || seconds > uint64(math.MaxInt64/time.Second) {
		return 0
	}
	if d := time.Duration(seconds) * time.Second; d <= maxRetryAfter {
		return d
	}
	return 0
}
