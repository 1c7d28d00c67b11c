package httpx

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// IdempotencyKey is the input type of the Idempotency-Key header: 1..255 visible
// ASCII characters, or "" when the header is absent. Anything else is a 400.
type IdempotencyKey string

// Peer is an input type that receives the address of the client, without port.
type Peer string

// param is one value of a request outside the body.
type param struct {
	in         string // path, query, header or peer
	name       string
	field      int
	position   int // of a path parameter among the parameters of the path
	schema     *huma.Schema
	pattern    *regexp.Regexp
	fallback   string // default of a query parameter
	hasDefault bool
	must       bool // a query parameter with the tag required:"true"
	pointer    bool // nil if absent
}

type bodyPlan struct {
	field    int
	schema   *huma.Schema
	optional bool
}

// plan reads the tags of the input struct once, when the table is built.
func (r *Route) plan(s *schemas) error {
	positions := map[string]int{}
	for _, seg := range strings.Split(r.Pattern, "/") {
		if strings.HasPrefix(seg, "{") {
			positions[strings.Trim(seg, "{}")] = len(positions)
		}
	}
	if r.input.Kind() != reflect.Struct {
		return fmt.Errorf("%s %s: the input is not a struct", r.Method, r.Pattern)
	}
	for i := range r.input.NumField() {
		f := r.input.Field(i)
		if f.Name == "Body" {
			r.body = &bodyPlan{field: i, schema: s.of(f.Type), optional: f.Type.Kind() == reflect.Pointer}
			if err := s.compile(r.body.schema, map[*huma.Schema]bool{}); err != nil {
				return err
			}
			continue
		}
		p, err := newParam(f, i, s)
		if err != nil {
			return fmt.Errorf("%s %s: field %s: %w", r.Method, r.Pattern, f.Name, err)
		}
		if p.in == "path" {
			position, ok := positions[p.name]
			if !ok {
				return fmt.Errorf("%s %s: the pattern has no {%s}", r.Method, r.Pattern, p.name)
			}
			p.position = position
			delete(positions, p.name)
		}
		r.params = append(r.params, p)
	}
	if len(positions) > 0 {
		return fmt.Errorf("%s %s: the input does not read every path parameter", r.Method, r.Pattern)
	}
	return nil
}

func newParam(f reflect.StructField, index int, s *schemas) (param, error) {
	p := param{field: index}
	for _, in := range []string{"path", "query", "header"} {
		if name, ok := f.Tag.Lookup(in); ok {
			p.in, p.name = in, name
		}
	}
	if f.Type == reflect.TypeFor[Peer]() {
		p.in = "peer"
		return p, nil
	}
	if p.in == "" {
		return p, fmt.Errorf("no path, query or header tag")
	}
	p.schema = huma.SchemaFromField(s.registry, f, "")
	if p.schema.Type == huma.TypeArray {
		s.tuneItems(p.schema.Items, f.Tag)
		p.schema.Nullable = false
	}
	p.fallback, p.hasDefault = f.Tag.Lookup("default")
	p.pointer = f.Type.Kind() == reflect.Pointer
	p.must = f.Tag.Get("required") == "true"
	if p.schema.Pattern != "" {
		re, err := s.pattern(p.schema.Pattern)
		if err != nil {
			return p, err
		}
		p.pattern = re
	}
	return p, nil
}

// call is one request on its way through a route.
type call struct {
	server *Server
	route  *Route
	http   *http.Request
	w      http.ResponseWriter
	values []string // of the path parameters
	peer   string
	id     string
	body   []byte
	parsed bool // body is one well-formed JSON value
}

// pathFound checks the patterns of path values: a miss is an unknown path.
func (c *call) pathFound() bool {
	for i := range c.route.params {
		p := &c.route.params[i]
		if p.in == "path" && p.pattern != nil && !p.pattern.MatchString(c.values[p.position]) {
			return false
		}
	}
	return true
}

// bind fills the input struct, or returns one fault with every problem.
func (c *call) bind(in reflect.Value) error {
	v := &validator{schemas: c.server.schemas, closed: c.server.options.ClosedBodies}
	tree, err := c.parseBody()
	if err != nil {
		return err
	}
	var query map[string][]string
	if c.http.URL.RawQuery != "" {
		if query, err = parseQuery(c.http.URL.RawQuery); err != nil {
			return err
		}
	}
	for i := range c.route.params {
		if err := c.bindParam(&c.route.params[i], in, query, v); err != nil {
			return err
		}
	}
	if c.route.body != nil {
		if err := c.bindBody(in, tree, v); err != nil {
			return err
		}
	}
	return v.err()
}

func (c *call) parseBody() (any, error) {
	if c.route.body == nil || len(c.body) == 0 {
		return nil, nil
	}
	tree, err := parseJSON(c.body)
	if err != nil {
		return nil, fault.New(fault.BadRequest, api.CodeMalformedJSON,
			"the body is not well-formed JSON (one value, UTF-8, no member name twice, at most %d levels deep)", maxDepth).Because(err)
	}
	c.parsed = true
	return tree, nil
}

func (c *call) bindBody(in reflect.Value, tree any, v *validator) error {
	plan := c.route.body
	target := in.Field(plan.field)
	if len(c.body) == 0 {
		if !plan.optional {
			v.add("missing", []any{"body"}, nil, true, nil, "a JSON body is required")
		}
		return nil
	}
	if tree == nil && plan.optional {
		return nil // the body null means no body
	}
	v.noNUL(tree, []any{"body"})
	v.value(plan.schema, tree, []any{"body"}, false)
	if len(v.problems) > 0 {
		return nil
	}
	if err := jsonv2.Unmarshal(c.body, target.Addr().Interface()); err != nil {
		return fault.Problems(fault.Problem{Type: "value_error", Loc: []any{"body"}, Msg: "cannot be read"}).Because(err)
	}
	return nil
}

func (c *call) bindParam(p *param, in reflect.Value, query map[string][]string, v *validator) error {
	target := in.Field(p.field)
	switch p.in {
	case "peer":
		target.SetString(c.peer)
	case "path":
		c.bindText(p, target, c.values[p.position], v)
	case "header":
		return c.bindHeader(p, target)
	case "query":
		values := query[p.name]
		if target.Kind() == reflect.Slice {
			for i, value := range values {
				v.value(p.schema.Items, value, []any{"query", p.name, i}, false)
			}
			v.noNULs(values, p.name)
			target.Set(reflect.ValueOf(values))
			return nil
		}
		if len(values) > 0 {
			c.bindText(p, target, values[len(values)-1], v)
		} else if p.hasDefault {
			c.bindText(p, target, p.fallback, v)
		} else if p.schema.Type != "" && p.required() {
			v.missing(p)
		}
	}
	return nil
}

// required reports whether an absent query parameter is a problem: those that say so
// are, and numbers without a default; everything else has a usable zero value.
func (p *param) required() bool {
	return p.must || !p.pointer && (p.schema.Type == huma.TypeInteger || p.schema.Type == huma.TypeNumber)
}

func (v *validator) missing(p *param) {
	v.add("missing", []any{p.in, p.name}, nil, true, nil, "is required")
}

func (v *validator) noNULs(values []string, name string) {
	for i, value := range values {
		v.noNUL(value, []any{"query", name, i})
	}
}

// bindText reads one path or query value as the field's type.
func (c *call) bindText(p *param, target reflect.Value, text string, v *validator) {
	loc := []any{p.in, p.name}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	switch target.Kind() {
	case reflect.String:
		v.noNUL(text, loc)
		if p.in == "query" || p.pattern == nil { // a path pattern was checked by pathFound
			v.value(p.schema, text, loc, false)
		}
		if p.schema.Format == "uuid" {
			text = strings.ToLower(text)
		}
		target.SetString(text)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			v.add("int_parsing", loc, text, false, nil, "must be an integer")
			return
		}
		v.number(p.schema, jsontext.Value(strconv.FormatInt(n, 10)), loc, false)
		target.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !jsontext.Value(text).IsValid() { // Go also reads 0x1p0, 1_0 and Inf
			v.add("value_error", loc, text, false, nil, "must be a number")
			return
		}
		v.number(p.schema, jsontext.Value(strconv.FormatFloat(f, 'g', -1, 64)), loc, false)
		target.SetFloat(f)
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "1":
			target.SetBool(true)
		case "false", "0":
			target.SetBool(false)
		default:
			v.add("bool_parsing", loc, text, false, nil, "must be true or false")
		}
	}
}

func (c *call) bindHeader(p *param, target reflect.Value) error {
	values := c.http.Header[http.CanonicalHeaderKey(p.name)]
	if target.Type() == reflect.TypeFor[IdempotencyKey]() {
		if len(values) == 0 {
			return nil
		}
		if len(values) > 1 || !visibleASCII(values[0], 255) {
			return fault.New(fault.BadRequest, api.CodeBadRequest, "Idempotency-Key must be one header line of 1 to 255 visible ASCII characters")
		}
		target.SetString(values[0])
		return nil
	}
	if target.Kind() == reflect.Slice { // every line by itself; nil if the header is absent
		target.Set(reflect.ValueOf(values))
		return nil
	}
	target.SetString(strings.Join(values, ", "))
	return nil
}

func visibleASCII(s string, most int) bool {
	return len(s) >= 1 && len(s) <= most && strings.IndexFunc(s, func(r rune) bool { return r < '!' || r > '~' }) < 0
}

// parseQuery reads a query string. Unlike net/url it takes ";" for an ordinary
// character, as browsers do.
func parseQuery(raw string) (map[string][]string, error) {
	query := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		k, err1 := url.QueryUnescape(key)
		val, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil || !utf8.ValidString(k) || !utf8.ValidString(val) {
			return nil, fault.New(fault.BadRequest, api.CodeBadRequest, "the query string is not percent-encoded UTF-8")
		}
		query[k] = append(query[k], val)
	}
	return query, nil
}

// begin opens the audit record of a delegated change. The returned function closes it.
func (c *call) begin(ctx context.Context, p principal.Principal) (func(context.Context, int, error), error) {
	return c.server.beginAudit(ctx, c, p)
}
