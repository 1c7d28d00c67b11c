package sqldb

import (
	"net/url"
	"strings"
)

const redacted = "xxxxx"

// Redact returns a database URL fit for a log: without its password. Where it cannot
// tell the password from the rest (one that is not percent-encoded can look like a
// host or a path) it keeps only the scheme.
func Redact(raw string) string {
	if strings.HasPrefix(raw, sqliteScheme) {
		return raw
	}
	scheme, _, ok := strings.Cut(raw, "://")
	if !ok || strings.ContainsAny(scheme, ":@= ") {
		return redacted
	}
	u, query, ok := split(raw)
	if !ok {
		return scheme + "://" + redacted
	}
	for key := range query {
		if strings.Contains(strings.ToLower(key), "pass") {
			query.Set(key, redacted)
			u.RawQuery = query.Encode()
		}
	}
	return u.Redacted()
}

// split parses a URL. ok is false when it is not certain which part is the password:
// one with an unescaped slash, question mark or number sign ends the host early and
// leaves an "@" behind.
func split(raw string) (u *url.URL, query url.Values, ok bool) {
	u, err := url.Parse(raw)
	if err != nil || strings.Contains(raw, "#") || strings.Contains(u.Path+u.RawQuery, "@") {
		return nil, nil, false
	}
	query, err = url.ParseQuery(u.RawQuery)
	return u, query, err == nil
}
