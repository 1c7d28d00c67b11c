// Package identity is the only reader of credential headers. It says what a
// request carries, line by line; what that is worth is decided elsewhere (wisdom's
// auth, the host's own check).
//
// Lines are kept apart because net/http's Header.Get sees only the first of
// several and cannot tell an empty header from an absent one, and both matter
// here. Only the canonical spelling of a name counts: X_Service_Key or
// X.Service.Key, which some servers merge with X-Service-Key, are other headers.
package identity

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Credentials are the lines of every header that can say who asks. A nil list
// means that the header is absent.
type Credentials struct {
	Authorization []string
	APIKey        []string // X-API-Key
	ServiceKey    []string // X-Service-Key
	OnBehalfOf    []string // X-On-Behalf-Of
	UserID        []string // X-User-Id: read by the host only
	Depth         []string // X-Invocation-Depth: believed on the service path only
}

// Read collects the lines. The lists belong to h and must not be changed.
func Read(h http.Header) Credentials {
	return Credentials{
		Authorization: h["Authorization"],
		APIKey:        h["X-Api-Key"],
		ServiceKey:    h["X-Service-Key"],
		OnBehalfOf:    h["X-On-Behalf-Of"],
		UserID:        h["X-User-Id"],
		Depth:         h["X-Invocation-Depth"],
	}
}

// Repeated reports whether one of the public side's four credential headers occurs
// more than once. Nobody may then choose between the lines.
func (c Credentials) Repeated() bool {
	return len(c.Authorization) > 1 || len(c.APIKey) > 1 || len(c.ServiceKey) > 1 || len(c.OnBehalfOf) > 1
}

// Bearer returns the token of the one Authorization line, if its scheme is Bearer
// in any case (RFC 6750 §2.1, RFC 9110 §11.1).
func (c Credentials) Bearer() (string, bool) {
	if len(c.Authorization) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(c.Authorization[0], " ")
	token = strings.TrimLeft(token, " ")
	if !found || token == "" || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return token, true
}

// CallDepth is how many invocations deep the request is: the one X-Invocation-Depth
// line if it is 1 to 9 decimal digits, else 0.
func (c Credentials) CallDepth() int {
	if len(c.Depth) != 1 || len(c.Depth[0]) > 9 || strings.Trim(c.Depth[0], "0123456789") != "" {
		return 0
	}
	n, err := strconv.Atoi(c.Depth[0])
	if err != nil {
		return 0
	}
	return n
}

// Format implements fmt.Formatter, so that credentials cannot be printed.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[credentials]")) }
