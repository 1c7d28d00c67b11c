package httpx

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// maxInput is the largest JSON text of a value that a 422 repeats.
const maxInput = 200

// validator collects every problem of one request.
type validator struct {
	schemas  *schemas
	closed   bool // unknown members are problems (wisdom-agents)
	problems []fault.Problem
}

// add records a problem. The value is repeated only where it is neither secret
// nor large.
func (v *validator) add(typ string, loc []any, input any, secret bool, ctx map[string]any, format string, args ...any) {
	p := fault.Problem{Type: typ, Loc: slices.Clone(loc), Msg: fmt.Sprintf(format, args...), Ctx: ctx}
	if !secret {
		p.Input = shownInput(input)
	}
	v.problems = append(v.problems, p)
}

func shownInput(input any) any {
	if jsonSize(input) > maxInput {
		return nil
	}
	return input
}

// jsonSize is the length of x as compact JSON, in bytes.
func jsonSize(x any) int {
	var b bytes.Buffer
	if err := encodeJSON(&b, x); err != nil {
		return math.MaxInt
	}
	return b.Len()
}

// err is nil without problems.
func (v *validator) err() error {
	if len(v.problems) == 0 {
		return nil
	}
	return fault.Problems(v.problems...)
}

var kindNames = map[string]struct{ typ, msg string }{
	huma.TypeString:  {"string_type", "must be a string"},
	huma.TypeInteger: {"int_type", "must be an integer"},
	huma.TypeNumber:  {"value_error", "must be a number"},
	huma.TypeBoolean: {"bool_parsing", "must be true or false"},
	huma.TypeObject:  {"object_type", "must be a JSON object"},
	huma.TypeArray:   {"list_type", "must be a list"},
}

// value checks x against schema. Secret values (writeOnly) are never repeated.
func (v *validator) value(schema *huma.Schema, x any, loc []any, secret bool) {
	schema = v.schemas.resolve(schema)
	secret = secret || schema.WriteOnly
	if x == nil {
		if schema.Type != "" && !schema.Nullable {
			v.wrongType(schema, x, loc, secret)
		}
		return
	}
	switch schema.Type {
	case huma.TypeString:
		if s, ok := x.(string); ok {
			v.text(schema, s, loc, secret)
			return
		}
	case huma.TypeInteger, huma.TypeNumber:
		if n, ok := x.(jsontext.Value); ok {
			v.number(schema, n, loc, secret)
			return
		}
	case huma.TypeBoolean:
		if _, ok := x.(bool); ok {
			return
		}
	case huma.TypeArray:
		if list, ok := x.([]any); ok {
			v.list(schema, list, loc, secret)
			return
		}
	case huma.TypeObject:
		if object, ok := x.(map[string]any); ok {
			v.object(schema, object, loc, secret)
			return
		}
	default:
		return
	}
	v.wrongType(schema, x, loc, secret)
}

func (v *validator) wrongType(schema *huma.Schema, x any, loc []any, secret bool) {
	for _, prop := range schema.Properties {
		secret = secret || prop.WriteOnly // what stands in place of the object may be its secret
	}
	name := kindNames[schema.Type]
	v.add(name.typ, loc, x, secret, nil, "%s", name.msg)
}

func (v *validator) text(schema *huma.Schema, s string, loc []any, secret bool) {
	n := utf8.RuneCountInString(s)
	switch {
	case schema.MinLength != nil && n < *schema.MinLength:
		v.add("string_too_short", loc, s, secret, map[string]any{"min_length": *schema.MinLength},
			"at least %d %s", *schema.MinLength, plural(*schema.MinLength, "character"))
	case schema.MaxLength != nil && n > *schema.MaxLength:
		v.add("string_too_long", loc, s, secret, map[string]any{"max_length": *schema.MaxLength},
			"at most %d %s", *schema.MaxLength, plural(*schema.MaxLength, "character"))
	case schema.Pattern != "" && !v.schemas.patterns[schema.Pattern].MatchString(s):
		wanted := "must match " + schema.Pattern
		if schema.PatternDescription != "" {
			wanted = "must be " + schema.PatternDescription
		}
		v.add("string_pattern_mismatch", loc, s, secret, map[string]any{"pattern": schema.Pattern}, "%s", wanted)
	case len(schema.Enum) > 0 && !slices.Contains(schema.Enum, any(s)):
		v.add("literal_error", loc, s, secret, map[string]any{"expected": schema.Enum}, "must be one of %s", join(schema.Enum))
	case schema.Format == "uuid" && !isUUID(s):
		v.add("uuid_parsing", loc, s, secret, nil, "must be a UUID in the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
	case schema.Format == "date-time" && !isTimestamp(s):
		v.add("datetime_parsing", loc, s, secret, nil, "must be an RFC 3339 timestamp such as 2026-04-23T12:00:00Z")
	}
}

func isUUID(s string) bool {
	_, ok := id.Parse[string](s)
	return ok
}

func isTimestamp(s string) bool {
	var t api.Time
	return t.UnmarshalText([]byte(s)) == nil
}

func (v *validator) number(schema *huma.Schema, n jsontext.Value, loc []any, secret bool) {
	if schema.Type == huma.TypeInteger {
		if _, err := strconv.ParseInt(n.String(), 10, 64); err != nil {
			v.wrongType(schema, n, loc, secret)
			return
		}
	}
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || math.IsInf(f, 0) {
		v.add("value_error", loc, nil, secret, nil, "number out of range")
		return
	}
	switch {
	case schema.Minimum != nil && f < *schema.Minimum:
		v.add("greater_than_equal", loc, n, secret, map[string]any{"ge": *schema.Minimum}, "must be at least %s", plain(*schema.Minimum))
	case schema.Maximum != nil && f > *schema.Maximum:
		v.add("less_than_equal", loc, n, secret, map[string]any{"le": *schema.Maximum}, "must be at most %s", plain(*schema.Maximum))
	}
}

// plain writes a bound without an exponent.
func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (v *validator) list(schema *huma.Schema, list []any, loc []any, secret bool) {
	switch {
	case schema.MaxItems != nil && len(list) > *schema.MaxItems:
		v.add("too_long", loc, nil, secret, map[string]any{"max_length": *schema.MaxItems},
			"at most %d %s", *schema.MaxItems, plural(*schema.MaxItems, "item"))
		return
	case schema.MinItems != nil && len(list) < *schema.MinItems:
		v.add("value_error", loc, list, secret, map[string]any{"min_length": *schema.MinItems},
			"at least %d %s", *schema.MinItems, plural(*schema.MinItems, "item"))
	}
	seen := map[string]bool{}
	for i, x := range list {
		at := append(slices.Clone(loc), i)
		v.value(schema.Items, x, at, secret)
		if s, ok := x.(string); ok && schema.UniqueItems {
			if seen[s] {
				v.add("value_error", at, x, secret, nil, "occurs twice; items must be unique")
			}
			seen[s] = true
		}
	}
}

func (v *validator) object(schema *huma.Schema, object map[string]any, loc []any, secret bool) {
	for _, name := range schema.Required {
		if _, ok := object[name]; !ok {
			v.add("missing", append(slices.Clone(loc), name), nil, true, nil, "is required")
		}
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names) // problems in a stable order
	for _, name := range names {
		at := append(slices.Clone(loc), name)
		if prop := schema.Properties[name]; prop != nil {
			v.value(prop, object[name], at, secret)
		} else if v.closed && schema.Properties != nil {
			v.add("extra_forbidden", at, object[name], secret, nil, "unknown member; remove it")
		}
	}
	if limit, ok := schema.Extensions[extMaxBytes].(int); ok {
		if jsonSize(object) > limit {
			v.add("value_error", loc, nil, secret, map[string]any{"max_bytes": limit}, "at most %d bytes of JSON", limit)
		}
	}
}

// noNUL reports every string, member names included, that contains U+0000:
// PostgreSQL cannot store it.
func (v *validator) noNUL(x any, loc []any) {
	switch x := x.(type) {
	case string:
		if strings.ContainsRune(x, 0) {
			v.add("value_error", loc, nil, true, nil, "must not contain the character U+0000")
		}
	case []any:
		for i, item := range x {
			v.noNUL(item, append(slices.Clone(loc), i))
		}
	case map[string]any:
		for name, item := range x {
			if strings.ContainsRune(name, 0) {
				v.add("value_error", loc, nil, true, nil, "a member name must not contain the character U+0000")
			}
			v.noNUL(item, append(slices.Clone(loc), name))
		}
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func join(values []any) string {
	var texts []string
	for _, value := range values {
		texts = append(texts, fmt.Sprint(value))
	}
	return strings.Join(texts, ", ")
}
