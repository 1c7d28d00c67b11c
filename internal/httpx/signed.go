package httpx

import (
	"context"
	"net/url"
	"reflect"
	"strings"

	"github.com/IntunoAI/intuno-go/internal/principal"
)

// authenticate asks the guard. A route of the class Signed first insists on the path and
// the query parameters that are signed: without them there is nothing to verify, and the
// answer is a 422 that names them all.
func (c *call) authenticate(ctx context.Context, asked *Request) (principal.Principal, error) {
	if c.route.Access == Signed {
		asked.Path, asked.Query = map[string]string{}, lenientQuery(c.http.URL.RawQuery)
		if err := c.checkSigned(asked); err != nil {
			return principal.Principal{}, err
		}
	}
	return c.server.options.Guard.Authenticate(ctx, *asked)
}

func (c *call) checkSigned(asked *Request) error {
	v := &validator{schemas: c.server.schemas}
	in := reflect.New(c.route.input).Elem()
	for i := range c.route.params {
		p := &c.route.params[i]
		switch {
		case p.in == "path":
			asked.Path[p.name] = c.values[p.position]
			c.bindText(p, in.Field(p.field), c.values[p.position], v)
		case p.in == "query" && p.must && len(asked.Query[p.name]) == 0:
			v.missing(p)
		}
	}
	return v.err()
}

// lenientQuery reads a query string in which a value may be anything: what does not
// decode stays as it was sent, and so it cannot pass for a signature. A request that is
// admitted has its query read again, strictly.
func lenientQuery(raw string) map[string][]string {
	query := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(key); err == nil {
			key = decoded
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			value = decoded
		}
		if pair != "" {
			query[key] = append(query[key], value)
		}
	}
	return query
}
