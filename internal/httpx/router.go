package httpx

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// router finds a route by the escaped path. net/http's ServeMux cannot serve this
// contract: it answers unclean paths with redirects and hands %2f, NUL and
// ill-formed UTF-8 to handlers.
type router struct{ root node }

type node struct {
	literal map[string]*node
	param   *node
	routes  map[string]*Route // by method
}

// maxSegments bounds a path; the longest pattern has 6 segments.
const maxSegments = 16

func (rt *router) add(r *Route) error {
	n := &rt.root
	for _, seg := range strings.Split(strings.Trim(r.Pattern, "/"), "/") {
		if strings.HasPrefix(seg, "{") {
			if n.param == nil {
				n.param = &node{}
			}
			n = n.param
			continue
		}
		if n.literal == nil {
			n.literal = map[string]*node{}
		}
		if n.literal[seg] == nil {
			n.literal[seg] = &node{}
		}
		n = n.literal[seg]
	}
	if n.routes == nil {
		n.routes = map[string]*Route{}
	}
	if n.routes[r.Method] != nil {
		return fmt.Errorf("route %s %s is in the table twice", r.Method, r.Pattern)
	}
	n.routes[r.Method] = r
	return nil
}

// find returns the route and the values of its parameters in path order. Without a
// route, allow lists the methods of the path, or is empty for an unknown path. A
// literal segment wins over a parameter, for good: there is no way back.
func (rt *router) find(method, escaped string) (r *Route, values []string, allow []string) {
	segments, ok := splitPath(escaped)
	if !ok {
		return nil, nil, nil
	}
	n := &rt.root
	for _, seg := range segments {
		if next := n.literal[seg]; next != nil {
			n = next
			continue
		}
		if n.param == nil {
			return nil, nil, nil
		}
		values = append(values, seg)
		n = n.param
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if r := n.routes[method]; r != nil {
		return r, values, nil
	}
	for m := range n.routes {
		allow = append(allow, m)
		if m == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	return nil, nil, allow
}

// splitPath decodes each segment of an escaped path once. It refuses whatever
// could mean something else to the next reader: empty and dot segments, and
// segments that decode to a separator, a control character or ill-formed UTF-8.
// One trailing slash is ignored.
func splitPath(escaped string) ([]string, bool) {
	if !strings.HasPrefix(escaped, "/") {
		return nil, false
	}
	escaped = strings.TrimSuffix(escaped[1:], "/")
	if strings.Count(escaped, "/") >= maxSegments {
		return nil, false
	}
	segments := strings.Split(escaped, "/")
	for i, seg := range segments {
		decoded, err := url.PathUnescape(seg)
		if err != nil || decoded == "" || decoded == "." || decoded == ".." || !utf8.ValidString(decoded) ||
			strings.ContainsAny(decoded, `/\`) || strings.ContainsFunc(decoded, unicode.IsControl) {
			return nil, false
		}
		segments[i] = decoded
	}
	return segments, true
}

// escapedPath is the path as the client sent it. The request line is read instead
// of URL.EscapedPath, which re-encodes an unusual path from its decoded form and
// so turns %2f into a separator.
func escapedPath(r *http.Request) string {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") {
		target = r.URL.EscapedPath() // absolute form, or "*"
	}
	path, _, _ := strings.Cut(target, "?")
	return path
}
